"""Parquet files and folders saved by Hugging Face `datasets`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from podium.data.readers.base import Content, Reader
from podium.data.rows import BadRow, Row
from podium.data.sources import Role, Source, SourceFile
from podium.errors import DataError

_BATCH_ROWS = 256
_DICTIONARY = "dataset_dict.json"
_STATE = "state.json"


class Parquet(Reader):
    """Apache Parquet, read in small batches and only in the columns that are needed."""

    name = "parquet"
    extensions = (".parquet", ".pq")
    unit = "row"

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        return head.startswith(b"PAR1")

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per record; the number counts rows within its file."""
        for file in self.source.files:
            with _parquet(file.path, file.name) as parquet:
                names = [name for name in parquet.schema_arrow.names if columns is None or name in columns]
                number = 0
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                    for values in batch.to_pylist():
                        number += 1
                        yield Row(file.name, number, values)

    def columns(self) -> tuple[str, ...]:
        """The names in the schema of the files."""
        names: dict[str, None] = {}
        for file in self.source.files:
            with _parquet(file.path, file.name) as parquet:
                names |= dict.fromkeys(parquet.schema_arrow.names)
        return tuple(names)


def _parquet(path: Path, name: str) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{name} must be a Parquet file, but cannot be read as one: {error}") from error


class SavedDataset(Reader):
    """A folder that `datasets.Dataset.save_to_disk` wrote, memory-mapped; class numbers become class names.

    A saved `DatasetDict` is a folder with one such folder per split.
    """

    name = "datasets"
    markers = (_DICTIONARY, _STATE)
    unit = "row"

    @classmethod
    def find(cls, path: Path, role: Role) -> Source:
        if not (path / _DICTIONARY).is_file():
            return cls._part(path, role, None)
        splits = _splits_of(path)
        if role not in splits and len(splits) > 1:
            raise DataError(f"the saved data set {path} must have a split named {role!r}, but has {', '.join(splits)}")
        return cls._part(path, role, role if role in splits else splits[0])

    @classmethod
    def implied(cls, train: Source, role: Role) -> Source | None:
        path = Path(train.location)
        if train.split in (None, role) or role not in _splits_of(path):
            return None
        return cls._part(path, role, role)

    @classmethod
    def _part(cls, path: Path, role: Role, split: str | None) -> Source:
        """The rows of one split, or of a folder that holds a single data set."""
        root = path if split is None else path / split
        try:
            names = [str(file["filename"]) for file in json.loads((root / _STATE).read_text())["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{root} must be a folder that `datasets` saved, but its {_STATE} is not: {error}"
            ) from error
        files = [SourceFile(name, root / name) for name in [*names, "dataset_info.json"]]
        return replace(cls._source(path, role, files), split=split)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per record."""
        data = self._load()
        names = [name for name in data.column_names if columns is None or name in columns]
        translate = {name: _class_names(data.features[name]) for name in names}
        display = self.source.prefix + (self.source.split or Path(self.source.location).name)
        number = 0
        for batch in data.select_columns(names).with_format("arrow").iter(batch_size=_BATCH_ROWS):
            for values in batch.to_pylist():
                number += 1
                yield Row(display, number, {name: translate[name](value) for name, value in values.items()})

    def columns(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(self._load().column_names)

    def _load(self) -> Any:
        import datasets

        root = Path(self.source.location)
        try:
            return datasets.load_from_disk(str(root if self.source.split is None else root / self.source.split))
        except Exception as error:
            raise DataError(f"{root} must be a folder that `datasets` saved, but cannot be loaded: {error}") from error


def _splits_of(path: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads((path / _DICTIONARY).read_text())["splits"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path / _DICTIONARY} must list the splits of a saved data set: {error}") from error


def _class_names(feature: Any) -> Callable[[Any], Any]:
    """The translation of a feature's values: class numbers become names, and -1 (by convention no label) None."""
    if hasattr(feature, "int2str"):
        return lambda value: None if value is None or value < 0 else feature.int2str(value)
    inner = getattr(feature, "feature", None)
    if inner is not None and hasattr(inner, "int2str"):
        one = _class_names(inner)
        return lambda values: None if values is None else [one(value) for value in values]
    return lambda value: value
