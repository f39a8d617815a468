"""The formats in which predictions are written, one class each; every file is whole or not there."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from podium.plugins import Registry

Rows = Callable[[], Iterator[Mapping[str, Any]]]
"""Gives the rows from the beginning each time it is called: JSON-like values by column, all rows with all columns."""

_BATCH_ROWS = 1000


class Writer(ABC):
    """A format of predictions. It holds a few rows at a time.

    Another package adds a subclass as an entry point of the group `podium.writers`, under its `name`.

    Attributes:
        name: as `--format` gives it.
        extensions: of file names, with the dot; the first one is used where the user names no file.
    """

    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]

    @abstractmethod
    def write(self, rows: Rows, columns: tuple[str, ...], stream: BinaryIO) -> None:
        """Write all rows, of which there is at least one, to `stream`."""


WRITERS: Registry[Writer] = Registry(
    "podium.writers",
    "--format",
    {
        "jsonl": "podium.inference.writers:JSONL",
        "csv": "podium.inference.writers:CSV",
        "parquet": "podium.inference.writers:PARQUET",
        "json": "podium.inference.writers:JSON",
        "yaml": "podium.inference.writers:YAML",
        "openai-batch": "podium.inference.writers:OPENAI_BATCH",
    },
)
"""The formats by name."""


def writer_for(path: Path) -> Writer | None:
    """The writer whose extension a file has; None where none has it."""
    return next((one for one in WRITERS.all() if path.suffix.lower() in one.extensions), None)


class _JsonLines(Writer):
    """One object per line."""

    name = "jsonl"
    extensions = (".jsonl", ".ndjson")

    def write(self, rows: Rows, columns: tuple[str, ...], stream: BinaryIO) -> None:
        for row in rows():
            stream.write(_json(row) + b"\n")


class _Json(Writer):
    """One array of objects."""

    name = "json"
    extensions = (".json",)

    def write(self, rows: Rows, columns: tuple[str, ...], stream: BinaryIO) -> None:
        for number, row in enumerate(rows()):
            stream.write((b",\n" if number else b"[\n") + _json(row))
        stream.write(b"\n]\n")


class _Csv(Writer):
    """RFC 4180 with a header; lists and mappings are JSON texts, and what is missing is empty."""

    name = "csv"
    extensions = (".csv",)

    def write(self, rows: Rows, columns: tuple[str, ...], stream: BinaryIO) -> None:
        text = io.TextIOWrapper(stream, "utf-8", errors="replace", newline="", write_through=True)
        table = csv.writer(text)
        table.writerow(columns)
        for row in rows():
            table.writerow([_cell(row[name]) for name in columns])
        text.detach()


class _Yaml(Writer):
    """One list of mappings."""

    name = "yaml"
    extensions = (".yaml", ".yml")

    def write(self, rows: Rows, columns: tuple[str, ...], stream: BinaryIO) -> None:
        import yaml

        for row in rows():
            text = yaml.dump([dict(row)], Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=1000)
            stream.write(text.encode("utf-8", "replace"))


class _Parquet(Writer):
    """Apache Parquet. A column whose values share no type is one of JSON texts."""

    name = "parquet"
    extensions = (".parquet", ".pq")

    def write(self, rows: Rows, columns: tuple[str, ...], stream: BinaryIO) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        mixed, schema = _schema(rows, columns)
        with pq.ParquetWriter(stream, schema) as writer:
            for part in _parts(rows):
                values = {name: [_text(row[name]) if name in mixed else row[name] for row in part] for name in columns}
                arrays = [pa.array(values[name], schema.field(name).type) for name in columns]
                writer.write_table(pa.table(arrays, schema=schema))


class _OpenAIBatch(Writer):
    """The results of OpenAI's batch interface, for what reads these; it has no column of the data but the id."""

    name = "openai-batch"
    extensions = (".results",)

    def write(self, rows: Rows, columns: tuple[str, ...], stream: BinaryIO) -> None:
        from podium.inference.backends.openai_batch import result_line

        for row in rows():
            stream.write(_json(result_line(row)) + b"\n")


def _schema(rows: Rows, columns: tuple[str, ...]) -> tuple[set[str], Any]:
    """The columns without a common type, and the schema of all."""
    import pyarrow as pa

    mixed: set[str] = set()
    found = pa.schema([pa.field(name, pa.null()) for name in columns])
    for part in _parts(rows):
        fields = []
        for name in columns:
            try:
                own = pa.array([row[name] for row in part]).type
                both = (pa.schema([pa.field(name, kind)]) for kind in (found.field(name).type, own))
                fields.append(pa.unify_schemas(list(both), promote_options="permissive").field(name))
            except (pa.ArrowException, OverflowError):
                mixed.add(name)
                fields.append(pa.field(name, pa.string()))
        found = pa.schema(fields)
    # A mapping without any key is none that Parquet knows, nor is a column of nothing but null in some readers.
    usual = [
        pa.field(one.name, pa.string()) if one.name in mixed or pa.types.is_null(one.type) else one for one in found
    ]
    return mixed, pa.schema(usual)


def _parts(rows: Rows) -> Iterator[list[Mapping[str, Any]]]:
    each = rows()
    while part := list(islice(each, _BATCH_ROWS)):
        yield part


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    return _text(value) if isinstance(value, (list, dict)) else value


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


JSONL, JSON, CSV, YAML, PARQUET = _JsonLines(), _Json(), _Csv(), _Yaml(), _Parquet()
OPENAI_BATCH = _OpenAIBatch()
