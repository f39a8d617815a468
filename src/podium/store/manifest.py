"""Manifests: which files an artifact is made of, and whether given files are those."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from podium.errors import DamagedArtifact, InputError, StoreError
from podium.keys import canonical_json, digest_bytes, manifest_of
from podium.store.files import is_inside
from podium.text import shortened

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MANIFEST = TypeAdapter(dict[str, str])
_SHOWN = 5


def check_digest(digest: str) -> str:
    """Return `digest`, or raise InputError when it is not 64 hexadecimal digits."""
    if not _DIGEST.fullmatch(digest):
        raise InputError(f"a digest is 64 lower-case hexadecimal digits, but got {digest!r}")
    return digest


def read_source(path: Path) -> dict[str, str]:
    """Manifest of a file or directory that is to be stored; a link to a file counts as that file.

    Raises:
        StoreError: there is nothing at `path`, it holds no file, or it holds something that is neither a
            file nor a directory, such as a link to a directory or a broken link.
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


def dump_manifest(manifest: Mapping[str, str]) -> bytes:
    """The stored form of a manifest; its sha256 is the digest of the artifact."""
    return canonical_json(dict(manifest))


def load_manifest(data: bytes | None, digest: str, place: str) -> dict[str, str]:
    """Read the manifest of the artifact `digest`.

    Raises:
        DamagedArtifact: it is missing, does not have the digest, or names a path outside the artifact.
    """
    if data is None:
        raise DamagedArtifact(f"artifact {digest} is not in the store: there is no manifest at {place}")
    if digest_bytes(data) != digest:
        raise DamagedArtifact(f"artifact {digest} is damaged: its manifest at {place} is not the one that was stored")
    try:
        manifest = _MANIFEST.validate_json(data)
    except ValidationError as error:
        raise DamagedArtifact(f"a manifest maps file names to digests, but {place} does not: {error}") from error
    outside = [name for name in manifest if not is_inside(name)]
    if outside:
        raise DamagedArtifact(f"a manifest names files inside its artifact, but {place} names {outside[0]!r}")
    return manifest


def check_files(path: Path, manifest: Mapping[str, str], digest: str) -> None:
    """Compare the files below `path` with a manifest, by digest.

    Raises:
        DamagedArtifact: a file is changed, missing or extra.
    """
    try:
        found = manifest_of(path)
    except FileNotFoundError as error:
        raise DamagedArtifact(f"artifact {digest} was removed while it was read: {error}") from error
    check_names(found, manifest, digest)
    changed = [name for name in manifest if manifest[name] != found[name]]
    if changed:
        raise DamagedArtifact(f"artifact {digest} is damaged at {path}: {_listed('changed', changed)}")


def check_names(found: Mapping[str, object], manifest: Mapping[str, str], digest: str) -> None:
    """Compare the names of files with a manifest.

    Raises:
        DamagedArtifact: a file is missing or extra.
    """
    missing = sorted(manifest.keys() - found.keys())
    extra = sorted(found.keys() - manifest.keys())
    if missing or extra:
        faults = [_listed(fault, names) for fault, names in (("missing", missing), ("extra", extra)) if names]
        raise DamagedArtifact(f"artifact {digest} is damaged: {'; '.join(faults)}")


def _listed(fault: str, names: list[str]) -> str:
    return f"{fault} {shortened(names, _SHOWN)}"
