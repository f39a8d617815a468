"""What a process started and what that started, however far it went: also into sessions and groups of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

import psutil

_SET_CHILD_SUBREAPER = 36
_GONE_SECONDS = 5.0


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own has ended, so that `descendants` still finds it.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER. Only Linux has it; elsewhere such a descendant is not found.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int | None = None) -> list[int]:
    """Living processes below `pid`, or this process; parents come before their children."""
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(pid).children(recursive=True)
        return [process.pid for process in below if _lives(process)]
    return []


def kill_descendants(pid: int | None = None) -> None:
    """Send SIGKILL to every process below `pid`, or this process, and to those that they start meanwhile."""
    end = time.monotonic() + _GONE_SECONDS
    while (found := descendants(pid)) and time.monotonic() < end:
        for descendant in found:
            # A program that another user owns cannot be ended by this one.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(descendant, signal.SIGKILL)
        time.sleep(0.001)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
