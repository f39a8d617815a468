"""Core slots, which limit how many cores Podium's processes use on this machine.

A slot is an advisory lock on a file in the temporary directory of this user. The kernel releases it when the process
that holds it ends for whatever reason.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import cycle
from pathlib import Path

from podium.devices.hardware import available_cores

_POLL_SECONDS = 0.02
_held: ContextVar[list[int]] = ContextVar("held_slots")
"""Descriptors of the locked slots."""


@contextmanager
def core_slots(wanted: int = 1) -> Iterator[int]:
    """Hold `wanted` of this machine's cores (all of them when it has fewer), waiting until they are free.

    Yields the number held. Inside another `core_slots` of the same context it yields at once what is held already.
    """
    held = _held.get([])
    if held:
        yield len(held)
        return
    total = available_cores()
    taken: list[int] = []
    token = _held.set(taken)
    try:
        _acquire(taken, min(wanted, total), total)
        yield len(taken)
    finally:
        _held.reset(token)
        _release(taken)


def release_slots() -> None:
    """Give back what this context holds before it ends, because from now on it only waits for others."""
    _release(_held.get([]))


def _release(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _acquire(taken: list[int], wanted: int, total: int) -> None:
    """Lock `wanted` of `total` slots; one process does this at a time, so that none waits with half of its slots."""
    directory = slots_directory()
    gate = _open(directory / "gate")
    numbers: set[int] = set()
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for number in cycle(range(total)):
            if len(taken) == wanted:
                return
            if number not in numbers and (descriptor := _try_lock(directory / f"core-{number}")) is not None:
                taken.append(descriptor)
                numbers.add(number)
            if number == total - 1 and len(taken) < wanted:
                time.sleep(_POLL_SECONDS)
    finally:
        os.close(gate)


def slots_directory() -> Path:
    """The directory of this user's slots, made when needed."""
    directory = Path(tempfile.gettempdir()) / f"podium-{os.getuid()}" / "cores"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def _try_lock(path: Path) -> int | None:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
