"""Finds and ends what a process started, and what that started, also in sessions and groups of their own."""

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
    """Become the parent of every descendant whose own parent has ended, so that `descendants` still finds it.

    Only Linux can do this (prctl(2), PR_SET_CHILD_SUBREAPER); on other systems such a descendant is not found.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int | None = None) -> list[int]:
    """Living processes below `pid`, or below this process; parents come before their children."""
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(pid).children(recursive=True)
        return [process.pid for process in below if _lives(process)]
    return []


def terminate_descendants(pid: int | None = None) -> None:
    """Send SIGTERM to every process below `pid`, or below this process."""
    for descendant in descendants(pid):
        _send(descendant, signal.SIGTERM)


def kill_descendants(pid: int | None = None) -> None:
    """Send SIGKILL to every process below `pid`, or below this process, and to those that they start meanwhile."""
    end = time.monotonic() + _GONE_SECONDS
    while (found := descendants(pid)) and time.monotonic() < end:
        for descendant in found:
            _send(descendant, signal.SIGKILL)
        time.sleep(0.001)


def end_descendants(grace: float) -> None:
    """Ask every process below this one to end, and kill those that have not after `grace` seconds."""
    found = psutil.Process().children(recursive=True)
    terminate_descendants()
    for process in psutil.wait_procs(found, timeout=grace)[1]:
        kill_tree(process.pid)


def kill_tree(pid: int) -> None:
    """Send SIGKILL to every process below `pid`, to `pid` itself, and to its process group if it leads one.

    It is not stopped before. A stopped process could not end with its parent if that were killed at this moment.
    """
    kill_descendants(pid)
    _send(pid, signal.SIGKILL)
    kill_group(pid)


def kill_group(pid: int) -> None:
    """Send SIGKILL to what is left of the process group that `pid` leads."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    # A program that belongs to another user cannot be ended by this one.
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
