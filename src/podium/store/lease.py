"""Leases: of several processes that need the same result, one computes it and the others wait.

Each holding is a file numbered by its generation, created exclusively, so a race to take over has exactly
one winner. The holder rewrites a counter in its file; a waiter takes over when the holder is a process of
its own host that ended, or when the counter stood still for the silence threshold by the waiter's own
monotonic clock. Clocks of different hosts are never compared. The newest file is never deleted, only
marked released, because generations must not be numbered anew under a slow waiter.

A holder that was suspended beyond the threshold may find itself replaced; both then compute, and the store
takes the same result twice. That costs time, not correctness.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from podium.errors import StoreError
from podium.events import emit
from podium.store.files import Files
from podium.store.owner import Owner

_MAX_POLL_SECONDS = 1.0

_log = logging.getLogger(__name__)


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Owner
    beats: int = 0
    released: bool = False

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


@dataclass(frozen=True)
class LeasePlace:
    """Where the generations of one lease are kept, and what log messages call it."""

    files: Files
    folder: str
    title: str

    def generations(self) -> list[int]:
        """Numbers of all holdings that have a file."""
        return [int(name.removesuffix(".json")) for name in self.files.names(self.folder)]

    def newest(self) -> int:
        """Number of the newest holding; 0 when there was none yet."""
        return max(self.generations(), default=0)

    def path(self, generation: int) -> str:
        """File of one holding."""
        return f"{self.folder}/{generation:08d}.json"


@contextmanager
def hold_lease(place: LeasePlace, heartbeat_seconds: float, silence_seconds: float) -> Iterator[None]:
    """Hold a lease, waiting for it as long as another holder lives.

    Args:
        place: which lease.
        heartbeat_seconds: time between two rewrites of the counter.
        silence_seconds: how long the counter stands still before a holder counts as dead.

    Raises:
        StoreError: the storage failed while the lease was acquired.
    """
    owner = Owner.current()
    generation = _acquire(place, owner, min(_MAX_POLL_SECONDS, heartbeat_seconds), silence_seconds)
    pulse = _Pulse(place, owner, generation, heartbeat_seconds)
    pulse.start()
    try:
        yield
    finally:
        pulse.end()


def _acquire(place: LeasePlace, owner: Owner, poll_seconds: float, silence_seconds: float) -> int:
    seen: tuple[int, bytes | None] | None = None
    seen_at = 0.0
    announced = 0
    while True:
        generation = place.newest()
        data = place.files.read(place.path(generation)) if generation else None
        if (generation, data) != seen:
            seen, seen_at = (generation, data), time.monotonic()
        state = _parse(data)
        fault = _fault(state, time.monotonic() - seen_at, silence_seconds)
        if generation == 0 or fault or (state and state.released):
            if not place.files.create(place.path(generation + 1), _State(owner=owner).to_bytes()):
                continue
            if fault:
                _log.warning("taking over %s: %s", place.title, fault)
            for old in place.generations():
                if old <= generation:
                    place.files.remove(place.path(old))
            return generation + 1
        if announced != generation:
            announced = generation
            holder = state.owner if state else "another process"
            _log.warning("waiting for %s: %s is computing it", place.title, holder)
            emit("step_waiting", owner=str(holder))
        time.sleep(poll_seconds)


def _fault(state: _State | None, silent_seconds: float, silence_seconds: float) -> str | None:
    """Why the holder of a lease counts as dead, or None."""
    if state is not None and state.released:
        return None
    holder = state.owner if state else "a process that did not get to write its name"
    if state is not None and state.owner.is_dead():
        return f"{holder} ended without finishing it"
    if silent_seconds > silence_seconds:
        return f"{holder} gave no sign of life for {silent_seconds:.1f} s"
    return None


class _Pulse(threading.Thread):
    """Rewrites the counter of a held lease until it ends or another process took over."""

    def __init__(self, place: LeasePlace, owner: Owner, generation: int, heartbeat_seconds: float) -> None:
        super().__init__(name=f"lease {place.title}", daemon=True)
        self._place = place
        self._owner = owner
        self._generation = generation
        self._heartbeat_seconds = heartbeat_seconds
        self._ended = threading.Event()
        self._lost = False
        self._beats = 0

    def run(self) -> None:
        while not self._ended.wait(self._heartbeat_seconds):
            self._beats += 1
            try:
                if self._place.newest() > self._generation:
                    self._lost = True
                    _log.warning("lost the lease of %s: this process was silent for too long", self._place.title)
                    return
                self._write(released=False)
            except StoreError as error:
                _log.warning("no sign of life for %s could be written, trying again: %s", self._place.title, error)

    def end(self) -> None:
        """Stop the heartbeat and free the lease; a failure to free it leaves that to the silence threshold."""
        self._ended.set()
        self.join()
        if self._lost:
            return
        try:
            self._write(released=True)
        except StoreError as error:
            _log.warning(
                "the lease of %s could not be released, others wait until it counts as silent: %s",
                self._place.title,
                error,
            )

    def _write(self, released: bool) -> None:
        state = _State(owner=self._owner, beats=self._beats, released=released)
        self._place.files.write(self._place.path(self._generation), state.to_bytes())


def _parse(data: bytes | None) -> _State | None:
    try:
        return _State.model_validate_json(data) if data else None
    except ValidationError:
        return None
