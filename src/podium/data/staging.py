"""First pass: rows stream from the sources through the checks into one Arrow file.

What splits need of each row (label, place, digest) goes into an index in memory.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podium.config.schema import DatasetConfig
from podium.data.formats import open_reader
from podium.data.index import RowIndex
from podium.data.lines import FALLBACK
from podium.data.readers.base import Reader
from podium.data.rows import BadRow, Row, row_id
from podium.data.sources import Source
from podium.data.validation import RowCheck, ValidRow
from podium.errors import DataError
from podium.events import emit
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.text import did_you_mean

EXAMPLES = 20
"""Rejected rows that are kept as examples."""

REWRITTEN = "rewritten"
"""Name under which labels and tags that were rewritten to another form are counted."""

_SHOWN = 5
_BATCH_ROWS = 10_000
_BATCH_BYTES = 4 << 20
_PROGRESS_SECONDS = 1.0


@dataclass
class Staged:
    """What the first pass found.

    Attributes:
        path: Arrow stream with the columns id, content and target, the last one in provisional numbers.
        read: rows met, good or bad.
        rejected: rows that break the schema; `examples` names the first of them.
        notes: counted remarks of readers and checks.
    """

    path: Path
    index: RowIndex
    read: int = 0
    rejected: int = 0
    examples: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def stage(sources: Sequence[Source], config: DatasetConfig, path: Path) -> Staged:
    """Read, check and keep every row of `sources` in the Arrow stream `path`.

    Raises:
        DataError: a source cannot be read or lacks a column; or rows are bad and `on_bad_row` is `fail`.
    """
    staged = Staged(path, RowIndex(config.task))
    with _BatchWriter(path, staged.index).open() as writer:
        reported = time.monotonic()
        for source in sources:
            reader = open_reader(source, config)
            for row in _checked(reader, config):
                staged.read += 1
                if isinstance(row, BadRow):
                    staged.rejected += 1
                    if len(staged.examples) < EXAMPLES:
                        staged.examples.append(str(row))
                elif not staged.rejected or config.on_bad_row == "drop":
                    staged.index.add(row, source.role, reader.unit)
                    staged.notes[REWRITTEN] += row.rewritten
                    writer.add(row)
                if staged.read % 512 == 0 and time.monotonic() - reported > _PROGRESS_SECONDS:
                    emit("rows", done=staged.read, total=None)
                    reported = time.monotonic()
            staged.notes[FALLBACK] += reader.notes[FALLBACK]
    emit("rows", done=staged.read, total=None)
    if staged.rejected and config.on_bad_row == "fail":
        raise _bad_rows(staged)
    return staged


def _checked(reader: Reader, config: DatasetConfig) -> Iterator[ValidRow | BadRow]:
    names = column_names(reader, config)
    if names is None:
        return
    check = RowCheck(config, *names, reader.unit).check
    for row in reader.rows(names):
        yield check(row) if isinstance(row, Row) else row


def column_names(reader: Reader, config: DatasetConfig) -> tuple[str, str] | None:
    """Names of the content and target columns of a source; None for a source without rows and header.

    Where the config has the default names `text` and `label`, a source may have the usual names of the task instead,
    such as `tokens` and `tags`.

    Raises:
        DataError: a column is missing; the message lists the columns and suggests the nearest.
    """
    if reader.fixed_columns is not None:
        return reader.fixed_columns
    columns = reader.columns()
    if not columns:
        return None
    task = TASKS.get(config.task)
    return (
        _column("text_column", task.content_names, columns, reader, config),
        _column("label_column", task.target_names, columns, reader, config),
    )


def _column(field: str, usual: Sequence[str], columns: Sequence[str], reader: Reader, config: DatasetConfig) -> str:
    wanted: str = getattr(config, field)
    for name in (wanted, *(usual if wanted == DatasetConfig.model_fields[field].default else ())):
        if name in columns:
            return name
    source = reader.source.files[0].name if reader.source.files else "the query's result"
    hint = did_you_mean(wanted, columns, cutoff=0.5) or "."
    raise DataError(
        f"dataset.{field} must name a column, but {source} has no {wanted!r}{hint} Its columns: {', '.join(columns)}. "
        f"Set dataset.{field}=NAME"
    )


def _bad_rows(staged: Staged) -> DataError:
    shown = "\n".join(f"  {example}" for example in staged.examples[:_SHOWN])
    more = f"\n  and {staged.rejected - _SHOWN} more" if staged.rejected > _SHOWN else ""
    return DataError(
        f"every row must keep the schema, but {staged.rejected} of {staged.read} do not:\n{shown}{more}\n"
        "Correct them, or set dataset.on_bad_row=drop to leave them out (they are counted and recorded)"
    )


def row_schema(task: Task, number: Any) -> Any:
    """Arrow schema of rows of a task: id, content and target; `number` is the type of a label index."""
    import pyarrow as pa

    content = pa.list_(pa.string()) if task.words else pa.string()
    target = pa.list_(number) if task.several else number
    return pa.schema([("id", pa.string()), (task.content, content), (task.target, target)])


class _BatchWriter:
    """Writes rows to an Arrow stream in batches of bounded size."""

    def __init__(self, path: Path, index: RowIndex) -> None:
        self._path = path
        self._index = index
        self._task = TASKS.get(index.task)
        self._columns: list[list[Any]] = []
        self._size = 0
        self._writer: Any = None

    @contextmanager
    def open(self) -> Iterator[_BatchWriter]:
        """Open the file for the length of the block."""
        import pyarrow as pa

        self._schema = row_schema(self._task, pa.int32())
        self._columns = [[] for _ in self._schema]
        with pa.OSFile(str(self._path), "wb") as sink, pa.ipc.new_stream(sink, self._schema) as self._writer:
            yield self
            self._flush()

    def add(self, row: ValidRow) -> None:
        """Append one row."""
        self._columns[0].append(row_id(row.file, row.line))
        self._columns[1].append(row.content)
        number = self._index.number_of
        self._columns[2].append([number(one) for one in row.target] if self._task.several else number(row.target))
        self._size += row.size
        if self._size >= _BATCH_BYTES or len(self._columns[0]) >= _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._columns[0]:
            arrays = [pa.array(values, field.type) for values, field in zip(self._columns, self._schema, strict=True)]
            self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._columns = [[] for _ in self._schema]
        self._size = 0
