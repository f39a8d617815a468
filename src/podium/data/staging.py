"""Reads the rows of sources: checked into one Arrow file, or only their texts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from podium.config.schema import DatasetConfig
from podium.data.formats import open_reader, resolve_sources
from podium.data.index import RowIndex, ValidRow, check_row, row_id
from podium.data.readers.base import BadRow, Reader, Row
from podium.data.shapes import rows_of
from podium.data.shared_values import SharedValues
from podium.data.sources import Source
from podium.errors import DataError
from podium.events import emit
from podium.tasks import TASKS
from podium.tasks.columns import columns_named
from podium.text import did_you_mean

EXAMPLES = 20
"""Rejected rows that are kept as examples."""

REWRITTEN = "rewritten"
"""Name under which labels and tags that were rewritten to another form are counted."""

MOST_TEXTS = 100_000

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
        doubts: what is uncertain about how the files are read.
        shared: what the other columns of the train rows say of their labels.
    """

    path: Path
    index: RowIndex
    read: int = 0
    rejected: int = 0
    examples: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    doubts: list[str] = field(default_factory=list)
    shared: SharedValues = field(default_factory=SharedValues)


def stage(sources: Sequence[Source], config: DatasetConfig, path: Path) -> Staged:
    """Read, check and keep every row of `sources` in the Arrow stream `path`.

    What splits need of each row (label, place, digest) goes into an index in memory.

    Raises:
        DataError: a source cannot be read or lacks a column; or rows are bad and `on_bad_row` is `fail`.
    """
    import pyarrow as pa

    task = TASKS.get(config.task)
    staged = Staged(path, RowIndex(config.task))
    schema, number = row_schema(config.task, pa.int32()), staged.index.number_of
    batch: list[dict[str, Any]] = []
    size = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for row in _checked(sources, config, staged):
            target = [number(one) for one in row.target] if task.several else number(row.target)
            batch.append({"id": row_id(row.file, row.line), task.content: row.content, task.target: target})
            size += row.size
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_ROWS:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
                batch, size = [], 0
        writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
    emit("rows", done=staged.read, total=None)
    if staged.rejected and config.on_bad_row == "fail":
        shown = "\n".join(f"  {example}" for example in staged.examples[:_SHOWN])
        more = f"\n  and {staged.rejected - _SHOWN} more" if staged.rejected > _SHOWN else ""
        raise DataError(
            f"every row must keep the schema, but {staged.rejected} of {staged.read} do not:\n{shown}{more}\n"
            "Correct them, or set dataset.on_bad_row=drop to leave them out (they are counted and recorded)"
        )
    return staged


def _checked(sources: Sequence[Source], config: DatasetConfig, staged: Staged) -> Iterator[ValidRow]:
    """The valid rows of the sources, after they and the others were counted in `staged`."""
    reported = time.monotonic()
    for source in sources:
        reader = open_reader(source, config)
        names = column_names(reader, config)
        if names is None:
            names = ("", "")  # nothing in it is a row with columns; what there is counts as bad
        before = staged.read
        for read in rows_of(reader, names, config):
            row = read if isinstance(read, BadRow) else check_row(read, names, config, reader.unit)
            staged.read += 1
            if isinstance(row, BadRow):
                staged.rejected += 1
                if len(staged.examples) < EXAMPLES:
                    staged.examples.append(str(row))
            elif not staged.rejected or config.on_bad_row == "drop":
                staged.index.add(row, source.role, reader.unit)
                staged.notes[REWRITTEN] += row.rewritten
                if source.role == "train" and isinstance(read, Row):
                    staged.shared.see(read.values, names, str(row.target))
                yield row
            if staged.read % 512 == 0 and time.monotonic() - reported > _PROGRESS_SECONDS:
                emit("rows", done=staged.read, total=None)
                reported = time.monotonic()
        if staged.read == before and source.role != "train":
            staged.doubts.append(f"the {source.role} file {source.location} has no rows; they are split off train")
        staged.notes.update(reader.notes)
        staged.doubts += reader.doubts()


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

    def column(field: str, usual: Sequence[str]) -> str:
        wanted: str = getattr(config, field)
        for name in (wanted, *(usual if wanted == DatasetConfig.model_fields[field].default else ())):
            if set(columns_named(name, columns)) <= set(columns):
                return name
        source = reader.source.files[0].name if reader.source.files else "the query's result"
        hint = did_you_mean(wanted, columns, cutoff=0.5) or "."
        unlabelled = ""
        if reader.source.role == "test" and field == "label_column":
            unlabelled = "; if its rows have no labels, name it with dataset.predict_path, and the winner predicts them"
        raise DataError(
            f"dataset.{field} must name a column, but {source} has no {wanted!r}{hint} Its columns: "
            f"{', '.join(columns)}. Set dataset.{field}=NAME{unlabelled}"
        )

    task = TASKS.get(config.task)
    return column("text_column", task.content_names), column("label_column", task.target_names)


def row_schema(task_name: str, number: Any) -> Any:
    """Arrow schema of rows of a task: id, content and target; `number` is the type of a label index."""
    import pyarrow as pa

    task = TASKS.get(task_name)
    content = pa.list_(pa.string()) if task.words else pa.string()
    return pa.schema(
        [("id", pa.string()), (task.content, content), (task.target, pa.list_(number) if task.several else number)]
    )


class Texts(NamedTuple):
    """Inputs for a model, texts or lists of words, and the labels or tags that occur."""

    rows: list[Any]
    labels: frozenset[str]


def read_texts(config: DatasetConfig) -> Texts:
    """Read the contents of the test files, or of the training files if there are none; at most `MOST_TEXTS`.

    Rows that cannot be read or have no content are skipped. If one column is both
    content and label, there are no labels.

    Raises:
        DataError: no row has content that the task can use.
    """
    sources = {source.role: source for source in resolve_sources(config)}
    source = sources.get("test", sources["train"])
    reader = open_reader(source, config)
    names = column_names(reader, config)
    if names is None:
        raise DataError(f"a data set must have rows, but {source.location} has none")
    content, target = names
    task = TASKS.get(config.task)
    texts: list[Any] = []
    labels: set[str] = set()
    first = ""
    for row in islice(rows_of(reader, names, config), MOST_TEXTS):
        if isinstance(row, BadRow):
            first = first or str(row)
        elif task.content_problem(value := row.values.get(content)) is None:
            texts.append(value)
            if target != content:
                with suppress(ValueError):  # a row without a label still has a text
                    read, _ = task.read_target(row.values.get(target), value, config.task_options)
                    labels.update(read if task.several else [read])
    if not texts:
        kind = "list of tokens" if task.words else "text"
        raise DataError(
            f"{source.location} must have rows with a {kind} in column {content!r}, but none has"
            + (f"; the first that cannot be read: {first}" if first else "; name it with --text-column")
        )
    return Texts(texts, frozenset(labels))
