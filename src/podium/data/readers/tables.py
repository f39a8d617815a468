"""Sources whose rows come in columns: Parquet and Arrow files, folders of Hugging Face `datasets`, and SQL queries."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from podium.data.compressed import SUFFIXES, open_file
from podium.data.readers.base import BadRow, Content, Reader, Row, flattened
from podium.data.sources import Role, Source, SourceFile, prefix_of
from podium.errors import DataError

_ARROW_FILE = b"ARROW1"
_BATCH_ROWS = 256
_FETCHED_ROWS = 500
_DICTIONARY = "dataset_dict.json"
_STATE = "state.json"


class Columnar(Reader):
    """Files that hold columns, read in small batches and only in the columns that are needed."""

    unit = "row"

    @abstractmethod
    def opened(self, file: SourceFile) -> AbstractContextManager[tuple[Any, Callable[[list[str]], Iterable[Any]]]]:
        """The Arrow schema of a file, and what gives the batches of some of its columns."""

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        for file in self.source.files:
            with self.opened(file) as (schema, batches_of):
                wanted = None if columns is None else {*columns, *(name.partition(".")[0] for name in columns)}
                names = [name for name in schema.names if wanted is None or name in wanted]
                classes = _feature_names(schema.metadata)
                for number, values in enumerate(_records(batches_of(names), classes), start=1):
                    yield Row(file.name, number, flattened(values))

    def columns(self) -> tuple[str, ...]:
        names: list[str] = []
        for file in self.source.files:
            with self.opened(file) as (schema, _):
                names += schema.names
        return tuple(dict.fromkeys(names))


class Parquet(Columnar):
    """Apache Parquet."""

    name = "parquet"
    extensions = (".parquet", ".pq")

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        return head.startswith(b"PAR1")

    @contextmanager
    def opened(self, file: SourceFile) -> Iterator[tuple[Any, Callable[[list[str]], Iterable[Any]]]]:
        import pyarrow
        import pyarrow.parquet

        try:
            parquet = pyarrow.parquet.ParquetFile(open_file(file.path) if file.path.suffix in SUFFIXES else file.path)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{file.name} must be a Parquet file, but cannot be read as one: {error}") from error
        with parquet:
            yield parquet.schema_arrow, lambda names: parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names)


class Arrow(Columnar):
    """Apache Arrow's own files and streams, Feather among them, as `datasets` keeps them, too."""

    name = "arrow"
    extensions = (".arrow", ".feather")

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        return head.startswith(_ARROW_FILE)

    @contextmanager
    def opened(self, file: SourceFile) -> Iterator[tuple[Any, Callable[[list[str]], Iterable[Any]]]]:
        import pyarrow

        with open_file(file.path) as stream:
            whole = stream.read(len(_ARROW_FILE)) == _ARROW_FILE
            stream.seek(0)
            try:
                arrow = (pyarrow.ipc.open_file if whole else pyarrow.ipc.open_stream)(stream)
            except (pyarrow.ArrowException, OSError) as error:
                raise DataError(f"{file.name} must be an Arrow file, but cannot be read as one: {error}") from error
            parts = (arrow.get_batch(place) for place in range(arrow.num_record_batches)) if whole else arrow
            yield (
                arrow.schema,
                lambda names: (
                    part.select(names).slice(start, _BATCH_ROWS)
                    for part in parts
                    for start in range(0, part.num_rows, _BATCH_ROWS)
                ),
            )


def _feature_names(metadata: Any) -> dict[str, list[str]]:
    """The names of numbered classes, by column, as `datasets` writes them into the schema of its files."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    found = {}
    for name, feature in features.items():
        inner = feature.get("feature") if isinstance(feature, dict) else None
        for one in (feature, inner, inner[0] if isinstance(inner, list) and inner else None):
            if isinstance(one, dict) and one.get("_type") == "ClassLabel" and one.get("names"):
                found[str(name)] = [str(label) for label in one["names"]]
    return found


def _named(value: Any, names: list[str]) -> Any:
    """The name of a class number, or the names in a list of them; -1 is by convention no label."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if not isinstance(value, int) or value >= len(names):
        return value
    return None if value < 0 else names[value]


def _records(batches: Any, classes: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    """The rows of Arrow batches, with the names of numbered `classes`, given by column, and bytes in UTF-8 as texts."""
    for batch in batches:
        raw = [column.name for column in batch.schema if str(column.type).endswith("binary")]
        for values in batch.to_pylist():
            texts = {name: _text(values[name]) for name in raw}
            named = {name: _named(values[name], classes[name]) for name in classes.keys() & values.keys()}
            yield values | texts | named


def _text(value: bytes | None) -> str | bytes | None:
    """The text that bytes hold, as some writers leave out that a column has texts; other bytes as they are."""
    with suppress(UnicodeDecodeError):
        return None if value is None else value.decode()
    return value


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
        return cls._source(path, role, files, split=split)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        data = self._load()
        names = [name for name in data.column_names if columns is None or name in columns]
        display = prefix_of(self.source.role) + (self.source.split or Path(self.source.location).name)
        batches = data.select_columns(names).with_format("arrow").iter(batch_size=_BATCH_ROWS)
        inner = {name: getattr(feature, "feature", feature) for name, feature in data.features.items()}
        classes = {name: one.names for name, one in inner.items() if hasattr(one, "int2str")}
        for number, values in enumerate(_records(batches, classes), start=1):
            yield Row(display, number, flattened(values))

    def columns(self) -> tuple[str, ...]:
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


class SqlQuery(Reader):
    """The result of the SELECT `dataset.query` at the database URL `dataset.path`, streamed if the driver can.

    Nothing is ever committed.
    """

    name = "sql"
    contents = frozenset[Content]({"text"})
    unit = "row"
    by_query = True

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        with _result(self.source.location, self.config.query or "") as result:
            for number, values in enumerate(result, start=1):
                yield Row(f"{prefix_of(self.source.role)}query", number, dict(zip(result.keys(), values, strict=True)))

    def columns(self) -> tuple[str, ...]:
        with _result(self.source.location, self.config.query or "") as result:
            return tuple(result.keys())

    def digests(self) -> dict[str, str]:
        """The digest of the columns and rows of the result."""
        hasher = hashlib.sha256(json.dumps(self.columns()).encode())
        with _result(self.source.location, self.config.query or "") as result:
            for values in result:
                hasher.update(b"\n" + json.dumps(list(values), default=repr).encode())
        return {f"{prefix_of(self.source.role)}query": hasher.hexdigest()}


@contextmanager
def _result(location: str, query: str) -> Iterator[Any]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        url = make_url(location)
    except ArgumentError as error:
        raise DataError(
            "dataset.path must be a database URL such as sqlite:////folder/data.db when dataset.format=sql; what was "
            "given does not parse as one"
        ) from error
    shown = url.render_as_string(hide_password=True)
    file = url.database
    in_file = url.get_backend_name() == "sqlite" and file and file != ":memory:" and not file.startswith("file:")
    if in_file and not Path(str(file)).is_file():
        raise DataError(f"dataset.path must name an existing database, but {shown} has no file {file}")
    try:
        engine = create_engine(url)
    except (NoSuchModuleError, ImportError) as error:
        raise DataError(f"the driver of {shown} must be installed, but it is not: {error}") from error
    try:
        with engine.connect().execution_options(stream_results=True, yield_per=_FETCHED_ROWS) as connection:
            yield connection.execute(text(query))
    except SQLAlchemyError as error:
        raise DataError(f"dataset.query must run on {shown}, but it fails: {str(error).splitlines()[0]}") from error
    finally:
        engine.dispose()
