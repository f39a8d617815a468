"""Where rows come from: the files, or the address, that hold the rows of one split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from podium.errors import DataError

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")

SPLIT_STEMS = {
    "train": "path",
    "valid": "validation_path",
    "validation": "validation_path",
    "dev": "validation_path",
    "test": "test_path",
}
"""The stems of files that are named after a split, and the `dataset` field that each of them belongs in."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set, and the name by which messages and fingerprints call it wherever the data set lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class Source:
    """Rows of one role.

    Attributes:
        role: the split its rows belong to; rows of `train` are split further where no file fixes a split.
        location: a local path as text, or a URL for formats that are read from one.
        format: name of the format.
        files: the files that hold the rows, in reading order; empty for formats that are read from a URL.
        split: the part of `location` that holds these rows, for formats that keep several splits in one place.
        ignored: names of entries beside the data that hold no rows.
    """

    role: Role
    location: str
    format: str
    files: tuple[SourceFile, ...] = ()
    split: str | None = None
    ignored: tuple[str, ...] = ()


def prefix_of(role: Role) -> str:
    """What the names of the files of a role begin with, so that files of two roles never share a name."""
    return "" if role == "train" else f"{role}:"


def visible(path: Path) -> list[Path]:
    """Entries of a directory in name order, without hidden ones."""
    return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))


def split_files(files: list[Path]) -> dict[str, Path]:
    """The files that are named after a split, by the `dataset` field that each of them belongs in."""
    return {SPLIT_STEMS[file.stem.lower()]: file for file in files if file.stem.lower() in SPLIT_STEMS}


def shards(path: Path, extensions: tuple[str, ...], what: str) -> tuple[list[SourceFile], list[str]]:
    """The files of a directory with one of the extensions (all files where none has one), and names of the others.

    Raises:
        DataError: there are no files, or they are splits of their own.
    """
    files = [entry for entry in visible(path) if entry.is_file()]
    typed = [file for file in files if file.suffix.lower() in extensions] or files
    splits = split_files(typed)
    if len(splits) > 1:
        fields = " ".join(f"dataset.{field}={file}" for field, file in splits.items())
        raise DataError(f"dataset.path names a directory whose files are splits of their own; give each: {fields}")
    if not typed:
        raise DataError(f"a data set directory must hold {what} files, but {path} holds none")
    return [SourceFile(file.name, file) for file in typed], [file.name for file in files if file not in typed]
