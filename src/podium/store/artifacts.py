"""Artifacts, which are trees of files named by the digest of their manifest, on a file system and in an object store.

Layout below the root: `artifacts/DIGEST/manifest.json` and `artifacts/DIGEST/files/...`. The manifest is written last
and removed first, so an artifact without one does not exist.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from podium.errors import DamagedArtifact, StoreError
from podium.keys import digest_bytes, manifest_of
from podium.store.files import Files, LocalFiles, flush, guarded
from podium.store.manifest import check_files, check_names, dump_manifest, load_manifest
from podium.store.workspace import Workspace, discard

_SINGLE_PUT_BYTES = 64 << 20
_ATTEMPTS = 3

_log = logging.getLogger(__name__)


class Artifacts(Protocol):
    """Where artifacts are kept. Safe for several processes; `digest` is always that of the manifest."""

    def put(self, digest: str, manifest: Mapping[str, str], source: Path) -> None:
        """Store the files of `source`; does nothing when the artifact is there and whole.

        Raises:
            StoreError: the storage failed, or the source changed meanwhile.
        """

    def verify(self, digest: str) -> Path:
        """Local directory of the artifact's files, each just checked by digest.

        Raises:
            DamagedArtifact: the artifact is not stored, or not whole.
            StoreError: the storage failed.
        """

    def contains(self, digest: str) -> bool:
        """Whether the artifact was stored; it may have been damaged since."""

    def remove(self, digest: str) -> None:
        """Remove an artifact; one that is already gone is fine."""


class LocalArtifacts:
    """Artifacts on a mounted file system, read where they are stored.

    A new artifact is staged beside its place and renamed. Files of a scratch folder are linked instead of copied.
    """

    def __init__(self, root: Path, workspace: Workspace) -> None:
        self.root = root
        self.workspace = workspace

    def put(self, digest: str, manifest: Mapping[str, str], source: Path) -> None:
        target = self._folder(digest)
        with guarded("store an artifact", str(target)):
            if self._is_whole(digest):
                return
            with self.workspace.folder() as staging:
                staged = staging / "artifact"
                self._stage(manifest, source, staged / "files")
                try:
                    check_files(staged / "files", manifest, digest)
                except DamagedArtifact as error:
                    raise StoreError(f"{source} must not change while it is stored, but it did: {error}") from error
                (staged / "manifest.json").write_bytes(dump_manifest(manifest))
                for path in (staged, *staged.rglob("*")):
                    flush(path)
                self._publish(staged, target, digest)

    def verify(self, digest: str) -> Path:
        folder = self._folder(digest)
        with guarded("read an artifact", str(folder)):
            try:
                data = (folder / "manifest.json").read_bytes()
            except FileNotFoundError:
                data = None
            check_files(folder / "files", load_manifest(data, digest, str(folder)), digest)
        return folder / "files"

    def contains(self, digest: str) -> bool:
        return (self._folder(digest) / "manifest.json").is_file()

    def remove(self, digest: str) -> None:
        folder = self._folder(digest)
        with guarded("remove an artifact", str(folder)):
            # It disappears at once, before its files are deleted.
            hidden = self.workspace.new_path()
            try:
                folder.rename(hidden)
            except FileNotFoundError:
                return
            discard(hidden)

    def _folder(self, digest: str) -> Path:
        return self.root / digest

    def _is_whole(self, digest: str) -> bool:
        if not self._folder(digest).exists():
            return False
        try:
            self.verify(digest)
        except DamagedArtifact as error:
            _log.warning("%s; storing it anew", error)
            self.remove(digest)
            return False
        return True

    def _stage(self, manifest: Mapping[str, str], source: Path, target: Path) -> None:
        for name in manifest:
            original = _file(source, name)
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not self._link(original, copy):
                shutil.copyfile(original, copy)
            copy.chmod(0o444)

    def _link(self, original: Path, copy: Path) -> bool:
        ours = original.resolve().is_relative_to(self.workspace.root.resolve())
        if not ours or original.is_symlink() or original.stat().st_nlink > 1:
            return False
        try:
            copy.hardlink_to(original)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK):
                return False
            raise
        return True

    def _publish(self, staged: Path, target: Path, digest: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            try:
                staged.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if self._is_whole(digest):
                    return
            else:
                flush(target.parent)
                return
        raise StoreError(
            f"cannot store an artifact at {target}: other writers keep leaving it damaged there. "
            "Check the disk, then run the same command again"
        )


class RemoteArtifacts:
    """Artifacts in an object store, read from a local cache of verified copies.

    A cached copy is used as long as the store lists the same objects (by entity tag, size and time) as when it was
    downloaded, and the copy's own bytes still have their digests.
    """

    def __init__(self, files: Files, cache: LocalArtifacts, cache_files: LocalFiles) -> None:
        self.files = files
        self.cache = cache
        self.cache_files = cache_files

    def put(self, digest: str, manifest: Mapping[str, str], source: Path) -> None:
        with guarded("read an artifact", str(source)):
            sizes = {name: _file(source, name).stat().st_size for name in manifest}
        if self.contains(digest) and self._sizes(digest) == sizes:
            return
        for _ in range(_ATTEMPTS):
            self._upload(digest, manifest, source)
            if self._sizes(digest) == sizes:
                self.files.write(self._manifest(digest), dump_manifest(manifest))
                return
        raise StoreError(
            f"cannot store an artifact at {self.files.path(self._folder(digest))}: the files there must have the sizes "
            f"{sizes}, but have {self._sizes(digest)}. Check that nothing else writes there, then run the command again"
        )

    def verify(self, digest: str) -> Path:
        place = self._manifest(digest)
        manifest = load_manifest(self.files.read(place), digest, self.files.path(place))
        listed = self._listing(digest)
        check_names(listed, manifest, digest)
        mark = digest_bytes(json.dumps(listed, sort_keys=True, default=str).encode()).encode()
        if self.cache_files.read(f"marks/{digest}") == mark:
            try:
                return self.cache.verify(digest)
            except DamagedArtifact as error:
                _log.warning("%s; downloading it again", error)
        with self.cache.workspace.folder() as download:
            for name in manifest:
                self._download(f"{self._folder(digest)}/{name}", download / name)
            check_files(download, manifest, digest)
            self.cache.put(digest, manifest, download)
        self.cache_files.write(f"marks/{digest}", mark)
        return self.cache.verify(digest)

    def contains(self, digest: str) -> bool:
        return self.files.read(self._manifest(digest)) is not None

    def remove(self, digest: str) -> None:
        self.files.remove(self._manifest(digest))
        for name in self._listing(digest):
            self.files.remove(f"{self._folder(digest)}/{name}")

    def _manifest(self, digest: str) -> str:
        return f"artifacts/{digest}/manifest.json"

    def _folder(self, digest: str) -> str:
        return f"artifacts/{digest}/files"

    def _listing(self, digest: str) -> dict[str, dict[str, object]]:
        folder = self._folder(digest)
        with self.files.guard("list", folder):
            found = self.files.fs.find(self.files.path(folder), detail=True)
        start = len(self.files.path(folder)) + 1
        return {path[start:]: dict(info) for path, info in found.items()}

    def _sizes(self, digest: str) -> dict[str, object]:
        return {name: info["size"] for name, info in self._listing(digest).items()}

    def _upload(self, digest: str, manifest: Mapping[str, str], source: Path) -> None:
        folder = self._folder(digest)
        for name in self._listing(digest).keys() - manifest.keys():
            self.files.remove(f"{folder}/{name}")
        for name in manifest:
            path = _file(source, name)
            with guarded("read an artifact", str(path)):
                data = path.read_bytes() if path.stat().st_size <= _SINGLE_PUT_BYTES else None
            if data is not None:
                self.files.write(f"{folder}/{name}", data)
                continue
            with self.files.guard("write", f"{folder}/{name}"):
                self.files.fs.put_file(str(path), self.files.path(f"{folder}/{name}"))
        if manifest_of(source) != manifest:
            raise StoreError(f"{source} must not change while it is stored, but it did: run the same command again")

    def _download(self, name: str, target: Path) -> None:
        with guarded("download", str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
        with self.files.guard("download", name):
            try:
                self.files.fs.get_file(self.files.path(name), str(target))
            except FileNotFoundError as error:
                raise DamagedArtifact(f"{self.files.path(name)} was removed while it was downloaded") from error


def _file(source: Path, name: str) -> Path:
    return source if source.is_file() else source / name
