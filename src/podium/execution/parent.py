"""How a process ends when the process that started it is gone, even if that was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection

from podium.execution.descendants import kill_descendants

WATCH_PARENT = "PODIUM_WATCH_PARENT"
"""Set for a program whose launcher holds the other end of its standard input open and never writes to it."""

_POLL_SECONDS = 0.2


def end_with_parent() -> None:
    """From now on, end this process and all that it started once its parent is gone.

    A thread waits for the end of a pipe, which takes no processor time. A program that was not started by
    `podium.execution.launch`, such as one started by hand, has no such pipe and is left alone.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    elif os.environ.pop(WATCH_PARENT, None):
        threading.Thread(target=_end_with, args=(0,), daemon=True).start()


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
