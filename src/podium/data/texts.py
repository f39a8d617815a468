"""Reads texts and labels of a data set from its files, where no splits are needed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from podium.config.schema import DatasetConfig
from podium.data.formats import open_reader, resolve_sources
from podium.data.rows import BadRow
from podium.data.staging import column_names
from podium.errors import DataError
from podium.tasks import TASKS

MOST_ROWS = 100_000


@dataclass(frozen=True)
class Texts:
    """Inputs for a model.

    Attributes:
        rows: texts, or lists of words.
        labels: labels, or tags, that occur.
    """

    rows: list[Any]
    labels: frozenset[str]


def read_texts(config: DatasetConfig) -> Texts:
    """Read the contents of the test files, or of the training files if there are none; at most `MOST_ROWS`.

    Rows that cannot be read or have no content are skipped. If one column is both content and label, there are no
    labels.

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
    rows: list[Any] = []
    labels: set[str] = set()
    first = ""
    for row in islice(reader.rows({content, target}), MOST_ROWS):
        if isinstance(row, BadRow):
            first = first or str(row)
            continue
        value, label = row.values.get(content), row.values.get(target)
        if task.content_problem(value) is None:
            rows.append(value)
            if target != content:
                with suppress(ValueError):  # a row without a label still has a text
                    read, _ = task.read_target(label, value, config.task_options)
                    labels.update(read if task.several else [read])
    if not rows:
        kind = "list of tokens" if task.words else "text"
        raise DataError(
            f"{source.location} must have rows with a {kind} in column {content!r}, but none has"
            + (f"; the first that cannot be read: {first}" if first else "; name it with --text-column")
        )
    return Texts(rows, frozenset(labels))
