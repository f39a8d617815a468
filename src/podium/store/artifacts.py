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
from contextlib import suppress
from pathlib import Path

from podium.errors import DamagedArtifact, StoreError
from podium.keys import canonical_json, digest_bytes, manifest_of
from podium.remote.fetch import is_inside
from podium.store.files import Files, LocalFiles, Workspace, discard, flush, guarded
from podium.text import shortened

_SINGLE_PUT_BYTES = 64 << 20
_SHOWN = 5

_log = logging.getLogger(__name__)


class LocalArtifacts:
    """Artifacts on a mounted file system, read where they are stored. Safe for several processes.

    A new artifact is staged beside its place and renamed. Files of a scratch folder are linked instead of copied.
    Methods raise DamagedArtifact for one that is not there or not whole, and StoreError when the storage fails.
    """

    def __init__(self, root: Path, workspace: Workspace) -> None:
        self.root = root
        self.workspace = workspace

    def put(self, digest: str, manifest: Mapping[str, str], source: Path) -> None:
        """Store the files of `source`, whose manifest has this digest; an artifact that is there and whole stays."""
        target = self.root / digest
        with guarded("store an artifact", str(target)):
            if target.exists():
                try:
                    self.verify(digest)
                except DamagedArtifact as error:
                    _log.warning("%s; storing it anew", error)
                    self.remove(digest)
                else:
                    return
            with self.workspace.folder() as staging:
                staged = staging / "artifact"
                for name in manifest:
                    self._stage(_file(source, name), staged / "files" / name)
                try:
                    _check_files(staged / "files", manifest, digest)
                except DamagedArtifact as error:
                    raise StoreError(f"{source} must not change while it is stored, but it did: {error}") from error
                (staged / "manifest.json").write_bytes(canonical_json(dict(manifest)))
                for path in (staged, *staged.rglob("*")):
                    flush(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    staged.rename(target)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    self.verify(digest)  # another writer was faster
                flush(target.parent)

    def verify(self, digest: str) -> Path:
        """Local directory of the artifact's files, each just checked by digest."""
        folder = self.root / digest
        with guarded("read an artifact", str(folder)):
            try:
                data = (folder / "manifest.json").read_bytes()
            except FileNotFoundError:
                data = None
            _check_files(folder / "files", _load_manifest(data, digest, str(folder)), digest)
        return folder / "files"

    def contains(self, digest: str) -> bool:
        """Whether the artifact was stored; it may have been damaged since."""
        return (self.root / digest / "manifest.json").is_file()

    def remove(self, digest: str) -> None:
        """Remove an artifact; one that is already gone is fine."""
        with guarded("remove an artifact", str(self.root / digest)), suppress(FileNotFoundError):
            # It disappears at once, before its files are deleted.
            hidden = self.workspace.new_path()
            (self.root / digest).rename(hidden)
            discard(hidden)

    def _stage(self, original: Path, copy: Path) -> None:
        """Link a file that only the workspace has, where the file system can; copy any other."""
        copy.parent.mkdir(parents=True, exist_ok=True)
        ours = original.resolve().is_relative_to(self.workspace.root.resolve())
        if ours and not original.is_symlink() and original.stat().st_nlink == 1:
            with suppress(OSError):
                copy.hardlink_to(original)
        if not copy.exists():
            shutil.copyfile(original, copy)
        copy.chmod(0o444)


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
        folder = self._folder(digest)
        with guarded("read an artifact", str(source)):
            sizes = {name: _file(source, name).stat().st_size for name in manifest}
        if self.contains(digest) and self._sizes(digest) == sizes:
            return
        for name in self._listing(digest).keys() - manifest.keys():
            self.files.remove(f"{folder}/{name}")
        for name, size in sizes.items():
            path = _file(source, name)
            if size > _SINGLE_PUT_BYTES:
                with self.files.guard("write", f"{folder}/{name}"):
                    self.files.fs.put_file(str(path), self.files.path(f"{folder}/{name}"))
                continue
            with guarded("read an artifact", str(path)):
                data = path.read_bytes()
            self.files.write(f"{folder}/{name}", data)
        if manifest_of(source) != manifest:
            raise StoreError(f"{source} must not change while it is stored, but it did: run the same command again")
        if self._sizes(digest) != sizes:
            raise StoreError(
                f"cannot store an artifact at {self.files.path(folder)}: the files there must have the sizes {sizes}, "
                f"but have {self._sizes(digest)}. Check that nothing else writes there, then run the command again"
            )
        self.files.write(self._manifest(digest), canonical_json(dict(manifest)))

    def verify(self, digest: str) -> Path:
        place = self._manifest(digest)
        manifest = _load_manifest(self.files.read(place), digest, self.files.path(place))
        listed = self._listing(digest)
        _check_names(listed, manifest, digest)
        mark = digest_bytes(json.dumps(listed, sort_keys=True, default=str).encode()).encode()
        if self.cache_files.read(f"marks/{digest}") == mark:
            try:
                return self.cache.verify(digest)
            except DamagedArtifact as error:
                _log.warning("%s; downloading it again", error)
        with self.cache.workspace.folder() as download:
            for name in manifest:
                place = f"{self._folder(digest)}/{name}"
                with guarded("download", str(download / name)):
                    (download / name).parent.mkdir(parents=True, exist_ok=True)
                with self.files.guard("download", place):
                    try:
                        self.files.fs.get_file(self.files.path(place), str(download / name))
                    except FileNotFoundError as error:
                        raise DamagedArtifact(f"{self.files.path(place)} was removed meanwhile") from error
            _check_files(download, manifest, digest)
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


def _file(source: Path, name: str) -> Path:
    return source if source.is_file() else source / name


def read_source(path: Path) -> dict[str, str]:
    """Manifest of a file or directory that is to be stored; a link to a file counts as that file.

    Raises:
        StoreError: `path` holds no file, or something else, such as a link to a directory or a broken link.
    """
    if not path.exists():
        raise StoreError(f"an artifact is made from a file or a directory, but there is nothing at {path}")
    if path.is_dir():
        for entry in path.rglob("*"):
            if not entry.is_file() and (entry.is_symlink() or not entry.is_dir()):
                raise StoreError(
                    f"an artifact holds files and directories, but {entry} is neither; "
                    "replace a link by what it leads to"
                )
    manifest = manifest_of(path)
    if not manifest:
        raise StoreError(f"an artifact must hold at least one file, but {path} has none")
    odd = [name for name in manifest if not is_inside(name)]
    if odd:
        raise StoreError(f"file names in an artifact have no backslash, but got {odd[0]!r} in {path}")
    return manifest


def _load_manifest(data: bytes | None, digest: str, place: str) -> dict[str, str]:
    if data is None:
        raise DamagedArtifact(f"artifact {digest} is not in the store: there is no manifest at {place}")
    if digest_bytes(data) != digest:
        raise DamagedArtifact(f"artifact {digest} is damaged: its manifest at {place} is not the one that was stored")
    manifest: dict[str, str] = json.loads(data)
    outside = [name for name in manifest if not is_inside(name)]
    if outside:
        raise DamagedArtifact(f"a manifest names files inside its artifact, but {place} names {outside[0]!r}")
    return manifest


def _check_files(path: Path, manifest: Mapping[str, str], digest: str) -> None:
    try:
        found = manifest_of(path)
    except FileNotFoundError as error:
        raise DamagedArtifact(f"artifact {digest} was removed while it was read: {error}") from error
    _check_names(found, manifest, digest)
    changed = [name for name in manifest if manifest[name] != found[name]]
    if changed:
        raise DamagedArtifact(f"artifact {digest} is damaged at {path}: changed {shortened(changed, _SHOWN)}")


def _check_names(found: Mapping[str, object], manifest: Mapping[str, str], digest: str) -> None:
    missing = sorted(manifest.keys() - found.keys())
    extra = sorted(found.keys() - manifest.keys())
    faults = [
        f"{fault} {shortened(names, _SHOWN)}" for fault, names in (("missing", missing), ("extra", extra)) if names
    ]
    if faults:
        raise DamagedArtifact(f"artifact {digest} is damaged: {'; '.join(faults)}")
