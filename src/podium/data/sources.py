"""Where the rows come from: the declared paths, resolved to a role, a format and named files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from podium.config.paths import locate
from podium.config.schema import DatasetConfig
from podium.data.formats import EXTENSIONS, infer_format, visible
from podium.errors import DataError, InputError

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")
SPLIT_STEMS = {
    "train": "path",
    "valid": "validation_path",
    "validation": "validation_path",
    "dev": "validation_path",
} | {"test": "test_path"}
"""File stems that name a split, and the `dataset` field each belongs in."""


@dataclass(frozen=True)
class SourceFile:
    """One file: the name people see, which does not depend on where the data set lies, and its place."""

    name: str
    path: Path


@dataclass(frozen=True)
class Source:
    """Rows for one role.

    Attributes:
        role: the split its rows belong to; rows of `train` are split further where no file fixes a split.
        location: a local path in text form, or a database URL for format `sql`.
        split: the split of a saved Hugging Face `DatasetDict` to read; None for a single data set.
        ignored: entries beside the data that hold no rows, by display name.
    """

    role: Role
    location: str
    format: str
    files: tuple[SourceFile, ...] = ()
    split: str | None = None
    ignored: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What display names of this source start with, so that files of several roles never share a name."""
        return "" if self.role == "train" else f"{self.role}:"


def resolve_sources(config: DatasetConfig) -> tuple[Source, ...]:
    """Find the sources a data set is read from, in the order train, validation, test.

    A saved `DatasetDict` brings its own `validation` and `test` unless a path is given for them.

    Raises:
        DataError: a path is missing, holds no data, or its format is not one that Podium reads.
    """
    given = {"train": config.path, "validation": config.validation_path, "test": config.test_path}
    sources: dict[Role, Source] = {}
    for role in ROLES:
        location = given[role]
        if location is not None:
            sources[role] = _resolve(config, role, location)
    main = sources["train"]
    if main.split is not None:
        splits = _dict_splits(Path(main.location))
        for role in ROLES:
            if role not in sources and role in splits and role != main.split:
                sources[role] = _datasets_source(role, Path(main.location), role)
    return tuple(sources[role] for role in ROLES if role in sources)


def _resolve(config: DatasetConfig, role: Role, location: str) -> Source:
    if config.format == "sql" and (role == "train" or "://" in location):
        return Source(role, location, "sql")
    field = "path" if role == "train" else f"{role}_path"
    try:
        path = locate(location)
    except InputError as error:
        raise DataError(f"dataset.{field}: {error}") from error
    if not path.exists():
        raise DataError(f"dataset.{field} must name an existing file or folder, but {path} does not exist")
    kind = infer_format(path, config.task) if config.format in ("auto", "sql") else config.format
    if kind == "datasets":
        return _datasets_source(role, path, _split_of(path, role))
    prefix = "" if role == "train" else f"{role}:"
    if kind == "folder":
        files, ignored = _folder_files(path)
    elif path.is_dir():
        files, ignored = _shards(path, kind)
    else:
        files, ignored = [SourceFile(path.name, path)], []
    named = tuple(SourceFile(prefix + file.name, file.path) for file in files)
    return Source(role, str(path), kind, named, ignored=tuple(ignored))


def _folder_files(path: Path) -> tuple[list[SourceFile], list[str]]:
    if not path.is_dir():
        raise DataError(f"dataset.format=folder needs a directory with one folder per label, but {path} is a file")
    files: list[SourceFile] = []
    ignored: list[str] = []
    for entry in visible(path):
        if not entry.is_dir():
            ignored.append(entry.name)
            continue
        members = visible(entry)
        below = [member for member in members if member.is_dir()]
        if below:
            raise DataError(
                f"a label folder must hold its files directly, but {entry} holds the folder {below[0].name!r}; set "
                "dataset.path (and dataset.test_path) to the directory whose folders are the labels"
            )
        files.extend(SourceFile(f"{entry.name}/{member.name}", member) for member in members)
    if not files:
        raise DataError(f"dataset.format=folder needs folders with one file per row, but {path} holds none")
    return files, ignored


def _shards(path: Path, kind: str) -> tuple[list[SourceFile], list[str]]:
    files = [entry for entry in visible(path) if entry.is_file()]
    typed = [file for file in files if EXTENSIONS.get(file.suffix.lower()) == kind] or files
    splits = {SPLIT_STEMS[file.stem.lower()]: file.name for file in typed if file.stem.lower() in SPLIT_STEMS}
    if len(splits) > 1:
        fields = " ".join(f"dataset.{field}={path / name}" for field, name in splits.items())
        raise DataError(f"dataset.path names a directory whose files are splits of their own; give each: {fields}")
    if not typed:
        raise DataError(f"a data set directory must hold {kind} files, but {path} holds none")
    return [SourceFile(file.name, file) for file in typed], [file.name for file in files if file not in typed]


def _dict_splits(path: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads((path / "dataset_dict.json").read_text())["splits"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path / 'dataset_dict.json'} must list the splits of a saved data set: {error}") from error


def _split_of(path: Path, role: Role) -> str | None:
    if not (path / "dataset_dict.json").is_file():
        return None
    splits = _dict_splits(path)
    if role in splits:
        return role
    if len(splits) == 1:
        return splits[0]
    raise DataError(f"the saved data set {path} must have a split named {role!r}, but it has: {', '.join(splits)}")


def _datasets_source(role: Role, path: Path, split: str | None) -> Source:
    root = path / split if split is not None else path
    prefix = "" if role == "train" else f"{role}:"
    try:
        data = [str(file["filename"]) for file in json.loads((root / "state.json").read_text())["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{root} must be a folder that `datasets` saved, but its state.json is not: {error}") from error
    files = tuple(SourceFile(prefix + name, root / name) for name in [*data, "dataset_info.json"])
    return Source(role, str(path), "datasets", files, split)
