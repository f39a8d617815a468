"""The small files of a store, over fsspec: written whole or not at all, with errors that say what to do."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from podium.errors import InputError, PodiumError, StoreError, disk_full_message, is_disk_full
from podium.store.workspace import Workspace

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")

_memory_lock = threading.Lock()


@contextmanager
def guarded(action: str, place: str, failures: type[Exception] = OSError) -> Iterator[None]:
    """Turn failures of the storage into a StoreError that names the place and says what to do."""
    try:
        yield
    except PodiumError:
        raise
    except failures as error:
        raise StoreError(_explain(action, place, error)) from error


def _explain(action: str, place: str, error: Exception) -> str:
    if is_disk_full(error):
        return f"cannot {action}: {disk_full_message(error, place, 'set store=DIRECTORY on another disk')}"
    if getattr(error, "errno", None) in _REFUSED or isinstance(error, PermissionError):
        return (
            f"cannot {action}: {place} must be readable and writable, but is not ({error}). "
            "Correct its permissions, or set store=DIRECTORY to a place you may write to"
        )
    return f"cannot {action} at {place}: {type(error).__name__}: {error}"


def check_name(name: str, what: str) -> str:
    """Return `name`, or raise InputError when it cannot be a file name in every store."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{what} must be made of letters, digits and . _ = - and start with one of the first two, but got {name!r}"
        )
    return name


def is_inside(name: str) -> bool:
    """Whether a path is relative, in normal form, and stays below the folder that it is resolved against."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and "\0" not in name
        and path.as_posix() == name
    )


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
        with self.guard("read", name):
            try:
                return bytes(self.fs.cat_file(self.path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file; readers see the old bytes or the new, never a mixture."""
        with self.guard("write", name):
            self.fs.pipe_file(self.path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Create a file unless it exists; if several callers try at once, exactly one gets True.

        This holds for file systems with a conditional put (s3, gs, az), and for memory within one process.
        """
        with self.guard("create", name), _memory_lock:
            try:
                self.fs.pipe_file(self.path(name), data, mode="create")
            except FileExistsError:
                return False
            return True

    def names(self, folder: str) -> list[str]:
        """Names directly below a folder, sorted; none where it does not exist."""
        with self.guard("list", folder):
            try:
                found = self.fs.ls(self.path(folder), detail=False)
            except FileNotFoundError:
                return []
            return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found)

    def remove(self, name: str) -> None:
        """Remove a file; one that is already gone is fine."""
        with self.guard("remove", name):
            try:
                self.fs.rm_file(self.path(name))
            except FileNotFoundError:
                return


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


def open_uri(uri: str) -> tuple[Any, str]:
    """File system and root path of a store URI.

    Listings are not cached: other processes write to the same store.

    Raises:
        InputError: no file system is known under that protocol, or its package is not installed.
    """
    try:
        fs, root = fsspec.url_to_fs(uri, use_listings_cache=False)
    except ImportError as error:
        raise InputError(
            f"the store {uri!r} needs a package that is not installed: {error}. "
            "Install podium[s3] or podium[gcs], or use a local directory"
        ) from error
    except ValueError as error:
        raise InputError(
            f"a store is a directory or an fsspec URI such as s3://bucket/path, but got {uri!r}: {error}"
        ) from error
    return fs, root.rstrip("/")
