"""Leases: of several processes that need the same result, one computes it and the others wait.

Each holding of a lease is a file, numbered by its generation and created exclusively, so that exactly one process wins
a race to take over. The holder rewrites a counter in its file. A waiter takes over when the holder is a process of its
own host that has ended, or when the counter has not changed for the silence threshold by the waiter's own monotonic
clock; clocks of different hosts are never compared. The newest file is only marked as released and never deleted, since
a slow waiter could otherwise see its generation number used again.

A holder that was suspended for longer than the threshold may find that it was replaced. Then both compute, and the
store gets the same result twice, which costs time but is correct.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from podium.errors import StoreError
from podium.events import emit
from podium.store.files import Files
from podium.store.process import ProcessIdentity

_MAX_POLL_SECONDS = 1.0

_log = logging.getLogger(__name__)


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: ProcessIdentity
    beats: int = 0
    released: bool = False


@dataclass
class Lease:
    """One lease as seen by one process.

    Attributes:
        files: where the generations are kept.
        title: what log messages call the lease.
        heartbeat_seconds: time between two rewrites of the counter.
        silence_seconds: how long the counter may stand still before the holder counts as dead.
    """

    files: Files
    folder: str
    title: str
    heartbeat_seconds: float
    silence_seconds: float
    _state: _State = field(default_factory=lambda: _State(owner=ProcessIdentity.current()))
    _generation: int = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease, after waiting for it as long as another holder lives."""
        self._acquire()
        ended = threading.Event()
        pulse = threading.Thread(target=self._beat, args=(ended,), name=f"lease {self.title}", daemon=True)
        pulse.start()
        try:
            yield
        finally:
            ended.set()
            pulse.join()
            if self._generation:  # it was not lost
                try:
                    self._write(released=True)
                except StoreError as error:
                    _log.warning(
                        "the lease of %s could not be released, others wait until it counts as silent: %s",
                        self.title,
                        error,
                    )

    def _acquire(self) -> None:
        seen: tuple[int, bytes | None] | None = None
        seen_at = 0.0
        announced = 0
        while True:
            generation = self._newest()
            data = self.files.read(self._path(generation)) if generation else None
            if (generation, data) != seen:
                seen, seen_at = (generation, data), time.monotonic()
            try:
                state = _State.model_validate_json(data) if data else None
            except ValidationError:
                state = None
            fault = self._fault(state, time.monotonic() - seen_at)
            if generation == 0 or fault or (state and state.released):
                if not self.files.create(self._path(generation + 1), self._state.model_dump_json().encode()):
                    continue
                if fault:
                    _log.warning("taking over %s: %s", self.title, fault)
                for old in self._generations():
                    if old <= generation:
                        self.files.remove(self._path(old))
                self._generation = generation + 1
                return
            if announced != generation:
                announced = generation
                holder = str(state.owner if state else "another process")
                _log.warning("waiting for %s: %s is computing it", self.title, holder)
                emit("step_waiting", owner=holder)
            time.sleep(min(_MAX_POLL_SECONDS, self.heartbeat_seconds))

    def _fault(self, state: _State | None, silent_seconds: float) -> str | None:
        """Why the holder counts as dead, or None."""
        if state is not None and state.released:
            return None
        holder = state.owner if state else "a process that did not get to write its name"
        if state is not None and state.owner.has_ended():
            return f"{holder} ended without finishing it"
        if silent_seconds > self.silence_seconds:
            return f"{holder} gave no sign of life for {silent_seconds:.1f} s"
        return None

    def _beat(self, ended: threading.Event) -> None:
        """Rewrite the counter until `ended` is set or another process has taken over."""
        while not ended.wait(self.heartbeat_seconds):
            try:
                if self._newest() > self._generation:
                    _log.warning("lost the lease of %s: this process was silent for too long", self.title)
                    self._generation = 0
                    return
                self._write(beats=self._state.beats + 1)
            except StoreError as error:
                _log.warning("no sign of life for %s could be written, trying again: %s", self.title, error)

    def _write(self, **changed: Any) -> None:
        self._state = self._state.model_copy(update=changed)
        self.files.write(self._path(self._generation), self._state.model_dump_json().encode())

    def _generations(self) -> list[int]:
        return [int(name.removesuffix(".json")) for name in self.files.names(self.folder)]

    def _newest(self) -> int:
        """Number of the newest holding; 0 when there was none yet."""
        return max(self._generations(), default=0)

    def _path(self, generation: int) -> str:
        return f"{self.folder}/{generation:08d}.json"
