"""Content keys, by which a result that exists already is found.

A key is the sha256 of canonical JSON of the typed, resolved inputs that shape a result, and of the digests of the
artifacts that it reads. Paths, times and random ids are never part of a key. Fields that do not shape results carry a
`NotKeyed` marker with the reason; a mutation test proves that every other field changes a key.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

SCHEMA_VERSION = 2
"""Part of every key: raise it when the meaning of a stored result changes."""


@dataclass(frozen=True)
class NotKeyed:
    """Marks a config field that does not shape results, with the reason why."""

    reason: str


@dataclass(frozen=True)
class Key:
    """Name of a result, made of its kind and the sha256 of the parts that shape it.

    Attributes:
        kind: what the result is, such as data, study, refit or report.
        digest: 64 hexadecimal digits.
        parts: the inputs behind the digest, kept so that `podium explain` can show them.
    """

    kind: str
    digest: str
    parts: Mapping[str, Any]

    @classmethod
    def of(cls, kind: str, **parts: Any) -> Key:
        """The key of `kind` with these parts, which have a canonical JSON form without NaN and infinities."""
        normal = {name: _normalise(value) for name, value in parts.items()}
        body = {"kind": kind, "schema": SCHEMA_VERSION, "parts": normal}
        return cls(kind, hashlib.sha256(canonical_json(body)).hexdigest(), normal)

    @property
    def short(self) -> str:
        """The first twelve digits, for people."""
        return self.digest[:12]

    def __str__(self) -> str:
        return f"{self.kind}/{self.digest}"


def canonical_json(value: Any) -> bytes:
    """`value` as JSON with sorted keys, without spaces or NaN, so that equal values give equal bytes."""
    text = json.dumps(_normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def keyed(model: BaseModel) -> dict[str, Any]:
    """The fields of a config model that shape results, by name, without those marked `NotKeyed`."""
    return {
        name: _normalise(getattr(model, name))
        for name, info in type(model).model_fields.items()
        if not any(isinstance(mark, NotKeyed) for mark in info.metadata)
    }


def _normalise(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return keyed(value)
    if isinstance(value, Mapping):
        return {str(name): _normalise(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normalise(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a key part must be finite, but got {value}")
        return 0.0 if value == 0 else value
    raise TypeError(f"a key part must be JSON-like or a config model, but got {type(value).__name__}: {value!r}")


def digest_bytes(data: bytes) -> str:
    """sha256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of the bytes of one file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest_of(path: Path) -> dict[str, str]:
    """Digest of every file at or below `path`, by POSIX path relative to it, sorted; of a single file by its name."""
    if path.is_file():
        return {path.name: digest_file(path)}
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {file.relative_to(path).as_posix(): digest_file(file) for file in files}


def digest_manifest(manifest: Mapping[str, str]) -> str:
    """One digest for a tree of files: the sha256 of its manifest."""
    return digest_bytes(canonical_json(dict(manifest)))


def digest_tree(path: Path) -> str:
    """One digest for all files at or below `path`."""
    return digest_manifest(manifest_of(path))
