"""Imported first by the fork server: ends it while it imports the rest, should the process that started it be gone.

Once it serves, it notices that by itself.
"""

from __future__ import annotations

import os
import threading

from podium.execution.environment import SERVER_PARENT

_POLL_SECONDS = 0.2

_served = threading.Event()


def _watch(parent: int) -> None:
    while not _served.wait(_POLL_SECONDS):
        if os.getppid() != parent:
            os._exit(1)


_watcher = threading.Thread(target=_watch, args=(int(os.environ[SERVER_PARENT]),), daemon=True)
_watcher.start()


def stop_watching() -> None:
    """End the watch; a server must not fork while it has another thread."""
    _served.set()
    _watcher.join()
