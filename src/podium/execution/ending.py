"""How processes end: with all that they started, with the process that started them, and on signals."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from types import FrameType
from typing import Any, NoReturn

import psutil

WATCH_PARENT = "PODIUM_WATCH_PARENT"
"""Set for a program whose launcher holds the other end of its standard input open and never writes to it."""

_SET_CHILD_SUBREAPER = 36
_GONE_SECONDS = 5.0
_POLL_SECONDS = 0.2


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


def kill_descendants(pid: int | None = None) -> None:
    """Send SIGKILL to every process below `pid`, or below this process, and to those that they start meanwhile."""
    end = time.monotonic() + _GONE_SECONDS
    while (found := descendants(pid)) and time.monotonic() < end:
        for descendant in found:
            send(descendant, signal.SIGKILL)
        time.sleep(0.001)


def end_descendants(grace: float) -> None:
    """Ask every process below this one to end, and kill those that have not after `grace` seconds."""
    found = psutil.Process().children(recursive=True)
    for descendant in descendants():
        send(descendant, signal.SIGTERM)
    for process in psutil.wait_procs(found, timeout=grace)[1]:
        kill_tree(process.pid)


def kill_tree(pid: int) -> None:
    """Send SIGKILL to every process below `pid`, to `pid` itself, and to its process group if it leads one.

    It is not stopped before. A stopped process could not end with its parent if that were killed at this moment.
    """
    kill_descendants(pid)
    send(pid, signal.SIGKILL)
    kill_group(pid)


def kill_group(pid: int) -> None:
    """Send SIGKILL to what is left of the process group that `pid` leads."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, unless it is gone or belongs to another user."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def end_with_parent() -> None:
    """From now on, end this process and all that it started once its parent is gone.

    A thread waits for the end of a pipe, which takes no processor time. A program that was not started by
    `podium.execution.launch`, such as one started by hand, has no such pipe and is left alone.
    """
    parent = multiprocessing.parent_process()
    if parent is not None or os.environ.pop(WATCH_PARENT, ""):
        threading.Thread(target=_end_with, args=(parent.sentinel if parent else 0,), daemon=True).start()


def _end_with(pipe: int) -> None:
    connection.wait([pipe])
    try:
        kill_descendants()
    finally:
        leads_group = os.getpgid(0) == os.getpid()
        (os.killpg if leads_group else os.kill)(os.getpid(), signal.SIGKILL)


@contextmanager
def ending_with(parent: int) -> Iterator[None]:
    """End this process if its parent is no longer the process `parent` while the body runs.

    This is for a process that forks afterwards: the watching thread is gone at the end.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_POLL_SECONDS):
            if os.getppid() != parent:
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the body, unless it is handled already, so that children are stopped too."""
    with _handled({signal.SIGTERM: _exit} if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else {}):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let no signal but SIGKILL interrupt a clean-up; a step gets Ctrl-C from the terminal and from its run."""
    with _handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_IGN)):
        yield


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let SIGINT and SIGTERM that arrive in the body take effect at its end."""
    arrived: list[int] = []
    try:
        with _handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), lambda number, _: arrived.append(number))):
            yield
    finally:
        for number in arrived:
            signal.raise_signal(number)


@contextmanager
def group_signals_survived() -> Iterator[None]:
    """Survive what a child sends to its process group, as `kill 0` does, without ignoring it: children inherit that."""
    with _handled(dict.fromkeys((signal.SIGHUP, signal.SIGINT, signal.SIGTERM), lambda *_: None)):
        yield


@contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals so while the body runs; only the main thread can."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items() if main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
