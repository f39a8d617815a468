"""Temporary files of a store, on its own file system; those of processes that ended are cleared."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from podium.store.process import ProcessIdentity

_FOREIGN_AGE_SECONDS = 7 * 24 * 3600
"""Age at which files of another host are cleared, where it is unknown which processes have ended."""


class Workspace:
    """Makes temporary files and folders under `root`, each named after the process that made it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def new_path(self) -> Path:
        """A path under the root that does not exist yet; the caller removes or renames what it puts there."""
        self.root.mkdir(parents=True, exist_ok=True)
        owner = ProcessIdentity.current()
        return self.root / f"{owner.host_mark}-{owner.pid}-{owner.started:.2f}-{uuid4().hex[:12]}"

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder, removed at the end with all it holds."""
        self.clear_stale()
        path = self.new_path()
        path.mkdir()
        try:
            yield path
        finally:
            discard(path)

    def clear_stale(self) -> None:
        """Remove what ended processes of this host left, and what another host left more than a week ago."""
        if not self.root.is_dir():
            return
        current = ProcessIdentity.current()
        for entry in self.root.iterdir():
            if self._is_stale(entry, current):
                discard(entry)

    @staticmethod
    def _is_stale(entry: Path, current: ProcessIdentity) -> bool:
        mark, _, rest = entry.name.partition("-")
        if mark == current.host_mark:
            pid, started, _ = rest.split("-")
            return ProcessIdentity(host=current.host, pid=int(pid), started=float(started)).has_ended()
        try:
            return time.time() - entry.stat().st_mtime > _FOREIGN_AGE_SECONDS
        except FileNotFoundError:
            return False


def discard(path: Path) -> None:
    """Remove a file or folder, which another process may remove at the same time."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
