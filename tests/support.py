"""What tests of several packages share: waiting without a bound that a busy machine could break."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

PATIENCE_SECONDS = 300.0
"""How long a test waits for what must happen; only a test that fails takes so long."""


def eventually(happened: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `happened()` is true; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {seconds:g} s"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def assert_gone(*pids: int) -> None:
    """Wait until none of the processes runs."""
    eventually(lambda: not any(map(alive, pids)))
