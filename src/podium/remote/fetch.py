"""Remote files and folders, fetched once into a cache that all processes of a user share.

Layout of the cache, `$XDG_CACHE_HOME/podium/fetched`, which may be deleted while nothing runs:

    files/ID/NAME        a file that is whole; ID is a digest of its address and of what identifies its content there
    files/ID.partial     what has arrived of one; the next process goes on from there
    trees/ID/NAME/...    a folder at one moment, made of links to its files

What identifies a content is what the other side says: an entity tag or a digest, else the time of its last change, with
the size. Podium's own keys come from the bytes, as they do for local files.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from base64 import b64decode
from collections.abc import Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from filelock import FileLock, Timeout

from podium.errors import InputError
from podium.events import emit
from podium.keys import canonical_json, digest_bytes
from podium.remote.filesystems import explained, open_uri, refuse_credentials, scheme_of
from podium.text import shortened

_CHUNK = 8 << 20
_PARALLEL = 8
_PROGRESS_SECONDS = 2.0
_SHOWN = 5
_TAGS = (
    *("blob_id", "xet_hash", "md5Hash", "ETag", "etag", "Content-MD5", "Digest", "LastModified", "Last-Modified"),
    *("last_modified", "updated", "modified", "mtime", "created"),
)
"""What file systems call that which identifies a content, the surest first."""

_log = logging.getLogger(__name__)


def cache_home() -> Path:
    """The directory of this user for what can be made or fetched again at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium"


@functools.cache
def fetch(uri: str, patterns: tuple[str, ...] = ()) -> Path:
    """The local copy of a remote file or folder, checked by size and, where the other side gives one, by digest.

    What is in the cache is not fetched again. A process asks the other side once and stays with what it found.

    Args:
        patterns: names of the files directly in a folder that are wanted; without them everything below it is.

    Raises:
        InputError: nothing is there, or it cannot be reached, read or checked; the message says what to do.
        StoreError: the cache cannot be written.
    """
    refuse_credentials(uri)
    fs, root = open_uri(uri, "file or folder")
    cache = cache_home() / "fetched"
    with explained(uri, cache):
        info = fs.info(root)
        if info["type"] != "directory":
            if uri.endswith("/"):
                raise InputError(f"{uri} must be a folder, but {scheme_of(uri)} has only a file there; name one file")
            file = _file(fs, info, uri, cache)
            _fetch_missing(fs, uri, [file], cache)
            return file.target
        files = {name: _file(fs, one, uri, cache) for name, one in _listed(fs, info, uri, patterns).items()}
        mark = digest_bytes(canonical_json({name: file.target.parent.name for name, file in files.items()}))
        tree = cache / "trees" / mark[:32] / _name(uri)
        if not tree.is_dir():
            _fetch_missing(fs, uri, list(files.values()), cache)
            _link(files, tree)
        return tree


@dataclass(frozen=True)
class _File:
    """A remote file: what identifies its content, algorithm and digest if known, and its place in the cache."""

    path: str
    size: int | None
    tag: str
    digest: tuple[str, str] | None
    target: Path


def _file(fs: Any, info: Mapping[str, Any], uri: str, cache: Path) -> _File:
    path, size, tag = str(info["name"]), info.get("size"), _tag(info)
    if not tag:
        raise InputError(
            f"{uri} must have an entity tag or the time of its last change, by which a change is seen, but its server "
            "gives neither; download it and give its path"
        )
    mark = digest_bytes(canonical_json({"at": f"{scheme_of(uri)}://{path}", "tag": tag, "size": size}))
    return _File(path, size, tag, _digest(fs, info), cache / "files" / mark[:32] / _name(path))


def _tag(info: Mapping[str, Any]) -> str:
    name = next((name for name in _TAGS if info.get(name)), "")
    found = info.get(name, "")
    # The listing of a folder may give as a number what is a date elsewhere.
    return f"{name}={found.timestamp() if isinstance(found, datetime) else found}" if name else ""


def _digest(fs: Any, info: Mapping[str, Any]) -> tuple[str, str] | None:
    if info.get("lfs"):
        return "sha256", info["lfs"]["sha256"]
    if encoded := info.get("md5Hash") or info.get("Content-MD5"):
        return "md5", b64decode(encoded).hex()
    tag = str(info.get("ETag", "")).strip('"')
    return ("md5", tag) if "s3" in fs.protocol and re.fullmatch("[0-9a-f]{32}", tag) else None


def _listed(fs: Any, info: Mapping[str, Any], uri: str, patterns: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
    start = len(info["name"].rstrip("/")) + 1
    found = {path[start:]: one for path, one in fs.find(info["name"], detail=True).items() if one["type"] == "file"}
    if outside := [name for name in found if not is_inside(name)]:
        raise InputError(f"files must have paths below their folder, but {uri} holds {outside[0]!r}; rename it")
    wanted = {
        name: one
        for name, one in found.items()
        if not patterns or ("/" not in name and any(fnmatchcase(name, pattern) for pattern in patterns))
    }
    if not wanted:
        expected = f"files named {' or '.join(patterns)}" if patterns else "files"
        raise InputError(
            f"{uri} must hold {expected}, but has {shortened(sorted(found), _SHOWN) or 'none'}; check the address"
        )
    return wanted


def is_inside(name: str) -> bool:
    """Whether a path is relative, in normal form, and stays below the folder that it is resolved against."""
    path = PurePosixPath(name)
    rooted = not path.parts or path.is_absolute() or ".." in path.parts
    return not rooted and "\\" not in name and "\0" not in name and path.as_posix() == name


def _name(address: str) -> str:
    """The last part of an address, without a query: what the local copy is called."""
    path = unquote(urlsplit(address).path) if scheme_of(address) == "https" else address
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return name if is_inside(name) else "data"


class _Progress:
    """Counts the bytes that are there, says so from time to time, and lets threads know that they are to stop."""

    def __init__(self, uri: str, total: int) -> None:
        self.uri, self.total, self.done = uri, total, 0
        self.stopped = threading.Event()
        self._lock, self._reported = threading.Lock(), time.monotonic()

    def add(self, size: int) -> None:
        if self.stopped.is_set():
            raise CancelledError
        with self._lock:
            self.done += size
            if time.monotonic() - self._reported > _PROGRESS_SECONDS:
                self._reported = time.monotonic()
                emit("fetching", uri=self.uri, done=self.done, total=self.total)
                _log.info("fetching %s: %s of %s", self.uri, _megabytes(self.done), _megabytes(self.total))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _fetch_missing(fs: Any, uri: str, files: list[_File], cache: Path) -> None:
    missing = [file for file in files if not file.target.exists()]
    if not missing:
        return
    (cache / "files").mkdir(parents=True, exist_ok=True)
    progress = _Progress(uri, sum(file.size or 0 for file in missing))
    _log.info("fetching %s (files: %d, %s)", uri, len(missing), _megabytes(progress.total))
    pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch")
    try:
        for _ in pool.map(lambda file: _fetch_file(fs, uri, file, progress), missing):
            pass
    except BaseException:
        progress.stopped.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    held = sum(file.stat().st_size for file in (cache / "files").glob("*/*"))
    _log.info("fetched %s; the cache %s has %s and may be deleted", uri, cache, _megabytes(held))


def _fetch_file(fs: Any, uri: str, file: _File, progress: _Progress) -> None:
    folder = file.target.parent
    partial = folder.with_name(f"{folder.name}.partial")
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("waiting for another process, which fetches %s", file.path)
        lock.acquire()
    try:
        if not file.target.exists():
            _download(fs, file, partial, progress)
            _check(fs, uri, file, partial)
            partial.chmod(0o444)
            folder.mkdir(exist_ok=True)
            partial.rename(file.target)
        # Whoever waits for this lock, or makes it anew, finds the file.
        Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def _download(fs: Any, file: _File, partial: Path, progress: _Progress) -> None:
    """Append to `partial` what it lacks of the file."""
    with partial.open("ab") as sink:
        if file.size is not None and file.size <= _CHUNK:
            sink.truncate(0)
            sink.write(fs.cat_file(file.path))
            progress.add(file.size)
        elif sink.tell() != file.size:
            try:
                _copy(fs, file, sink, progress, _CHUNK)
            except ValueError:
                # An http server that knows no ranges gives the file from its beginning, as a stream.
                progress.add(-sink.tell())
                sink.truncate(0)
                sink.seek(0)
                _copy(fs, file, sink, progress, 0)
        sink.flush()
        os.fsync(sink.fileno())


def _copy(fs: Any, file: _File, sink: Any, progress: _Progress, block: int) -> None:
    with fs.open(file.path, "rb", block_size=block, **({"cache_type": "none"} if block else {})) as source:
        if sink.tell():
            source.seek(sink.tell())
            progress.add(sink.tell())
        while data := source.read(_CHUNK):
            sink.write(data)
            sink.flush()
            progress.add(len(data))


def _check(fs: Any, uri: str, file: _File, partial: Path) -> None:
    """Raise InputError unless the file is whole and, as far as the other side lets one know, right."""
    name, size, wrong = file.target.name, partial.stat().st_size, ""
    if file.size is not None and size < file.size:
        raise InputError(f"{name} of {uri} ended after {size} of {file.size} bytes; run the same command to go on")
    if file.size is not None and size > file.size:
        wrong = f"{size} bytes came instead of {file.size}"
    elif file.digest is not None:
        with partial.open("rb") as stream:
            found = hashlib.file_digest(stream, file.digest[0]).hexdigest()
        if found != file.digest[1] and not ("s3" in fs.protocol and _is_encrypted(fs, file.path)):
            wrong = f"its {file.digest[0]} is {found} instead of {file.digest[1]}"
    elif size > _CHUNK and _tag(fs.info(file.path)) != file.tag:
        wrong = "it was changed meanwhile"
    if wrong:
        partial.unlink()
        raise InputError(f"{name} of {uri} did not arrive as it is there: {wrong}; run the same command again")


def _is_encrypted(fs: Any, path: str) -> bool:
    """Whether S3 keeps an object under a key, or in a directory bucket, so that its entity tag is no MD5."""
    bucket, key, _ = fs.split_path(path)
    head = fs.call_s3("head_object", Bucket=bucket, Key=key)
    by_key = head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head
    return by_key or bucket.endswith("--x-s3")


def _link(files: Mapping[str, _File], tree: Path) -> None:
    """Make `tree` of links to the files, at once."""
    staging = tree.parent.with_name(f"{tree.parent.name}.{uuid4().hex[:12]}")
    for name, file in files.items():
        link = staging / tree.name / name
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.hardlink_to(file.target)
        except OSError:
            shutil.copyfile(file.target, link)
    try:
        staging.rename(tree.parent)
    except OSError:
        if not tree.is_dir():  # no other process was faster
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
