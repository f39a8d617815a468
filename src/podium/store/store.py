"""The artifact store: results under their kind and key, artifacts under their digest.

A result is one record file that names its artifacts by digest. Artifacts are stored first and the record last, each
atomically, so a reader sees a whole result or none. Layout below the root:

    records/KIND/DIGEST.json     a record, the parts of its key, and a checksum over both
    artifacts/DIGEST/            manifest.json and files/ of one artifact
    documents/PREFIX/NAME        small mutable documents
    leases/KIND/DIGEST/          who computes a result now
    tmp/, cache/                 local stores only: scratch space, and what can be rebuilt
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem

from podium.errors import DamagedArtifact, InputError, StoreError
from podium.keys import Key, canonical_json, digest_bytes, digest_manifest
from podium.records import ArtifactRef, Record
from podium.remote.fetch import cache_home
from podium.remote.filesystems import open_uri
from podium.store.artifacts import LocalArtifacts, RemoteArtifacts, read_source
from podium.store.files import DocumentFolder, Files, LocalFiles, Workspace, check_digest, check_name, guarded
from podium.store.lease import Lease
from podium.text import shortened

R = TypeVar("R", bound=Record)

_PREFIX = re.compile(r"(?:([a-z][a-z_-]*)/)?([0-9a-f]*)")
_SHOWN = 20

_log = logging.getLogger(__name__)


class ArtifactStore:
    """Results and artifacts below one fsspec URI; safe for many processes and threads at once.

    Methods raise StoreError when the storage fails, and InputError for a name or a digest that is none.

    Args:
        uri: a directory, `file://`, `memory://`, `s3://`, `gs://` or another fsspec URI.
        heartbeat_seconds: how often the holder of a lease shows that it lives.
        silence_seconds: how long a holder on another host is silent before it counts as dead.

    Attributes:
        uri: where the store is; absolute when it is a directory.

    Raises:
        InputError: no file system is known for the URI.
        StoreError: the store cannot be written.
    """

    def __init__(self, uri: str, *, heartbeat_seconds: float = 5.0, silence_seconds: float = 30.0) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._silence_seconds = silence_seconds
        self._files: Files
        self._artifacts: LocalArtifacts | RemoteArtifacts
        fs, root = open_uri(uri, "store")
        local = isinstance(fs, LocalFileSystem)
        self.uri = root if local else uri.rstrip("/")
        self._local_root = Path(root) if local else cache_home() / digest_bytes(self.uri.encode())[:16]
        self._workspace = Workspace(self._local_root / "tmp")
        local_files = LocalFiles(self._local_root, self._workspace)
        local_artifacts = LocalArtifacts(self._local_root / "artifacts", self._workspace)
        self._files = local_files if local else Files(fs, root)
        self._artifacts = local_artifacts if local else RemoteArtifacts(self._files, local_artifacts, local_files)
        probe = f"tmp/probe-{uuid4().hex}"
        self._files.write(probe, b"")
        self._files.remove(probe)

    def files_uri(self, artifact: ArtifactRef) -> str:
        """Where the files of an artifact lie, for other tools."""
        return f"{self.uri}/artifacts/{artifact.digest}/files"

    def put_artifact(self, name: str, path: Path) -> ArtifactRef:
        """Store a file or a directory under the digest of its files; storing the same again does nothing.

        Files below `scratch()` of a local store are linked instead of copied and become read-only, so finish writing
        them first.

        Raises:
            StoreError: `path` holds no file, or something that is neither a file nor a directory, or the storage
                fails; nothing is left half stored.
        """
        with guarded("read an artifact", str(path)):
            manifest = read_source(path)
            size = sum((path if path.is_file() else path / entry).stat().st_size for entry in manifest)
        digest = digest_manifest(manifest)
        self._artifacts.put(digest, manifest, path)
        return ArtifactRef(name=name, digest=digest, files=len(manifest), size_bytes=size)

    def fetch(self, ref: ArtifactRef) -> Path:
        """Local directory that holds the artifact's files, checked by digest on every call.

        A local store gives its own directory, a remote one a cached copy: read it, never write to it.
        An artifact made from a single file is a directory that holds that file.

        Raises:
            DamagedArtifact: the artifact is missing, or a file of it is changed, missing or extra.
        """
        return self._artifacts.verify(check_digest(ref.digest))

    def put(self, key: Key, record: Record) -> None:
        """Make a result visible under its key, replacing an older one; its artifacts must be stored already.

        Raises:
            StoreError: the record changes on its way through JSON, or the storage fails. An older record of the key is
                then still there.
        """
        text = record.to_json()
        if type(record).from_json(text) != record:
            raise StoreError(
                f"a record must read back from JSON as it was, but {key} does not: look for a number that is not finite"
            )
        body = {"parts": dict(key.parts), "record": json.loads(text)}
        body["sha256"] = digest_bytes(canonical_json(body))
        self._files.write(self._record_path(key.kind, key.digest), json.dumps(body, indent=1).encode())

    def get(self, record_type: type[R], digest: str) -> R | None:
        """The result of a key, or None when there is none that is whole.

        Every artifact of it is checked by digest; a remote store downloads what its cache lacks. If the record or an
        artifact is damaged, both are removed with a warning, so that the result is computed again. A record that this
        version of Podium cannot read counts as absent and is left to be replaced.
        """
        path = self._record_path(record_type.kind, digest)
        damaged = []
        try:
            body = self._read(path)
            if body is None:
                return None
            record = record_type.from_json(json.dumps(body["record"]))
        except InputError as error:
            _log.warning("the record %s cannot be read and will be computed anew: %s", self._files.path(path), error)
            return None
        except DamagedArtifact as error:
            _log.warning("%s; it is removed and will be computed anew", error)
            self._files.remove(path)
            return None
        for ref in record.artifacts.values():
            try:
                self.fetch(ref)
            except DamagedArtifact as error:
                damaged.append(ref.digest)
                _log.warning("%s; the result %s is removed and will be computed anew", error, self._files.path(path))
        if damaged:
            self._files.remove(path)
        for one in damaged:
            self._artifacts.remove(one)
        return None if damaged else record

    def find(self, prefix: str) -> list[tuple[str, str]]:
        """Kind and digest of every stored result whose digest starts with `prefix`, sorted.

        `kind/prefix` looks at one kind only.

        Raises:
            InputError: `prefix` is not made of an optional kind and hexadecimal digits.
        """
        match = _PREFIX.fullmatch(prefix.strip().lower())
        if match is None:
            raise InputError(
                f"a key is given by the first digits of its digest, as DIGITS or KIND/DIGITS, but got {prefix!r}"
            )
        kind, digits = match.groups()
        kinds = [kind] if kind else self._files.names("records")
        found = ((kind, name.removesuffix(".json")) for kind in kinds for name in self._files.names(f"records/{kind}"))
        return sorted(entry for entry in found if entry[1].startswith(digits))

    def resolve(self, prefix: str) -> tuple[str, str]:
        """Kind and digest of the one stored result whose digest starts with `prefix`.

        Raises:
            InputError: no result, or more than one, starts with it; the message lists the candidates.
        """
        found = self.find(prefix)
        if len(found) == 1:
            return found[0]
        if not found:
            raise InputError(
                f"no result in the store {self.uri} has a key that starts with {prefix!r}; "
                f"it holds {len(self.find(''))} results"
            )
        shown = shortened([f"{kind}/{digest}" for kind, digest in found], _SHOWN, separator="\n  ")
        raise InputError(
            f"a key prefix must name one result, but {prefix!r} names {len(found)}; give more digits:\n  {shown}"
        )

    def parts(self, kind: str, digest: str) -> dict[str, Any]:
        """The inputs behind the key of a stored result.

        Raises:
            InputError: there is no such result.
            StoreError: its record is damaged.
        """
        body = self._read(self._record_path(kind, digest))
        if body is None:
            raise InputError(f"there is no result {kind}/{digest} in the store {self.uri}")
        parts: dict[str, Any] = body["parts"]
        return parts

    def lease(self, key: Key) -> AbstractContextManager[None]:
        """Be the only process that computes the result of `key`; call `get` again once inside.

        Waits while another process computes it, and logs that; a process that died or is silent is replaced. A thread
        that holds a lease must not ask for it again, because it would wait for itself.
        """
        folder = f"leases/{check_name(key.kind, 'a kind')}/{check_digest(key.digest)}"
        title = f"{key.kind}/{key.short}"
        return Lease(self._files, folder, title, self._heartbeat_seconds, self._silence_seconds).held()

    def scratch(self) -> AbstractContextManager[Path]:
        """An empty local directory, removed at the end; on the file system of a local store."""
        return self._workspace.folder()

    def cache(self, name: str) -> Path:
        """A lasting local directory for what can be rebuilt at any time; its content is not checked."""
        path = self._local_root / "cache" / check_name(name, "a cache name")
        with guarded("make a cache directory", str(path)):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def documents(self, prefix: str) -> DocumentFolder:
        """The mutable documents under `prefix`, one or more plain names joined by `/`."""
        return DocumentFolder(self._files, prefix)

    def _record_path(self, kind: str, digest: str) -> str:
        return f"records/{check_name(kind, 'a kind')}/{check_digest(digest)}.json"

    def _read(self, path: str) -> dict[str, Any] | None:
        """The content of a record file, None where there is none; DamagedArtifact when its checksum does not hold."""
        data = self._files.read(path)
        if data is None:
            return None
        with suppress(ValueError, TypeError, AttributeError, KeyError):
            body: dict[str, Any] = json.loads(data)
            if body.pop("sha256") == digest_bytes(canonical_json(body)):
                return body
        raise DamagedArtifact(f"the record {self._files.path(path)} is damaged: run the pipeline again to replace it")
