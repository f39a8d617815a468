"""The small files of a store, over fsspec: written whole or not at all, with errors that say what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem

from podium.errors import InputError, PodiumError, StoreError, disk_full_message, is_disk_full
from podium.store.process import ProcessIdentity

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")

_FOREIGN_AGE_SECONDS = 7 * 24 * 3600
"""Age at which files of another host are cleared, where it is unknown which processes have ended."""

_memory_lock = threading.Lock()


@contextmanager
def guarded(action: str, place: str, failures: type[Exception] = OSError) -> Iterator[None]:
    """Turn failures of the storage into a StoreError that names the place and says what to do."""
    try:
        yield
    except PodiumError:
        raise
    except failures as error:
        problem = f" at {place}: {type(error).__name__}: {error}"
        if is_disk_full(error):
            problem = ": " + disk_full_message(error, place, "set store=DIRECTORY on another disk")
        elif getattr(error, "errno", None) in _REFUSED or isinstance(error, PermissionError):
            problem = (
                f": {place} must be readable and writable, but is not ({error}). Correct its permissions, or set "
                "store=DIRECTORY to a place you may write to"
            )
        raise StoreError(f"cannot {action}{problem}") from error


def check_name(name: str, what: str) -> str:
    """Return `name`, or raise InputError when it cannot be a file name in every store."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{what} must be made of letters, digits and . _ = - and start with one of the first two, but got {name!r}"
        )
    return name


def check_digest(digest: str) -> str:
    """Return `digest`, or raise InputError when it is not 64 hexadecimal digits."""
    if not _DIGEST.fullmatch(digest):
        raise InputError(f"a digest is 64 lower-case hexadecimal digits, but got {digest!r}")
    return digest


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
        """An empty folder, removed at the end with all it holds.

        Before, what ended processes of this host left is removed, and what another host left more than a week ago.
        """
        with guarded("make a scratch directory", str(self.root)):
            path = self.new_path()
            for entry in self.root.iterdir():
                if _is_stale(entry):
                    discard(entry)
            path.mkdir()
        try:
            yield path
        finally:
            discard(path)


def _is_stale(entry: Path) -> bool:
    current = ProcessIdentity.current()
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


class Files:
    """Files below `root` of an fsspec file system, named by relative POSIX paths.

    A write is one put, which object stores make visible whole or not at all. All methods raise StoreError when the
    storage fails.
    """

    failures: type[Exception] = Exception

    def __init__(self, fs: Any, root: str) -> None:
        self.fs = fs
        self.root = root

    def path(self, name: str) -> str:
        """Path of `name` as the file system wants it."""
        return f"{self.root}/{name}"

    def guard(self, action: str, name: str) -> AbstractContextManager[None]:
        """`guarded` for a file of this storage."""
        return guarded(action, self.path(name), self.failures)

    def read(self, name: str) -> bytes | None:
        """All bytes of a file, or None where there is none."""
        with self.guard("read", name), suppress(FileNotFoundError):
            return bytes(self.fs.cat_file(self.path(name)))
        return None

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file; readers see the old bytes or the new, never a mixture."""
        with self.guard("write", name):
            self.fs.pipe_file(self.path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Create a file unless it exists; if several callers try at once, exactly one gets True.

        This holds for file systems with a conditional put (s3, gs, az), and for memory within one process.
        """
        with self.guard("create", name), _memory_lock, suppress(FileExistsError):
            self.fs.pipe_file(self.path(name), data, mode="create")
            return True
        return False

    def names(self, folder: str) -> list[str]:
        """Names directly below a folder, sorted; none where it does not exist."""
        found: list[str] = []
        with self.guard("list", folder), suppress(FileNotFoundError):
            found = self.fs.ls(self.path(folder), detail=False)
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found)

    def remove(self, name: str) -> None:
        """Remove a file; one that is already gone is fine."""
        with self.guard("remove", name), suppress(FileNotFoundError):
            self.fs.rm_file(self.path(name))


class LocalFiles(Files):
    """Files on a mounted file system, which are written to a temporary place, flushed to the disk and renamed."""

    failures = OSError

    def __init__(self, root: Path, workspace: Workspace) -> None:
        super().__init__(LocalFileSystem(), str(root))
        self.workspace = workspace

    def write(self, name: str, data: bytes) -> None:
        with self.guard("write", name):
            final = Path(self.path(name))
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.workspace.new_path()
            try:
                _write_through(temporary, data, os.O_TRUNC)
                temporary.replace(final)
            finally:
                temporary.unlink(missing_ok=True)
            flush(final.parent)

    def create(self, name: str, data: bytes) -> bool:
        # A reader may see the file empty for the moment before it is filled.
        with self.guard("create", name):
            final = Path(self.path(name))
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_through(final, data, os.O_EXCL)
            except FileExistsError:
                return False
            except OSError:
                final.unlink(missing_ok=True)
                raise
            return True


def _write_through(path: Path, data: bytes, flag: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o644), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def flush(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DocumentFolder:
    """Small mutable documents under one prefix: what a computation writes down while it runs, such as a trial ledger.

    Each write replaces one document atomically: a reader sees the old text or the new, even after the writer was
    killed. If two processes write the same document, the last one wins, so give each writer its own names.

    Methods raise InputError for a name that is not a plain file name, and StoreError when the storage fails.

    Attributes:
        place: path or key of the folder in its file system.
    """

    def __init__(self, files: Files, prefix: str) -> None:
        self._files = files
        self._prefix = prefix
        self._folder = "/".join(("documents", *(check_name(part, "a document prefix") for part in prefix.split("/"))))
        self.place = files.path(self._folder)

    def below(self, name: str) -> DocumentFolder:
        """The folder `name` inside this one."""
        return DocumentFolder(self._files, f"{self._prefix}/{name}")

    def put(self, name: str, text: str) -> None:
        """Create or replace a document; it keeps its old text when the storage fails."""
        self._files.write(self._path(name), text.encode())

    def get(self, name: str) -> str | None:
        """Text of a document, or None where there is none."""
        data = self._files.read(self._path(name))
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError as error:
            place = self._files.path(self._path(name))
            raise StoreError(f"a document must be UTF-8 text, but {place} is damaged ({error}); remove it") from error

    def remove(self, name: str) -> None:
        """Remove a document; one that is already gone is fine."""
        self._files.remove(self._path(name))

    def names(self) -> list[str]:
        """Names of all documents under the prefix, sorted."""
        return self._files.names(self._folder)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{check_name(name, 'a document name')}"
