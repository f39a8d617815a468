"""The texts of a data set as they stand in its files, for what needs inputs and no splits."""

from __future__ import annotations

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
    """Inputs of a model.

    Attributes:
        rows: texts, or lists of words.
        labels: labels, or tags, that occur.
    """

    rows: list[Any]
    labels: frozenset[str]


def read_texts(config: DatasetConfig) -> Texts:
    """Texts of the test files where there are any, else of the training files; no more than `MOST_ROWS`.

    Rows that cannot be read, or have no text, are passed over. One column may be both text and label: then there are no
    labels.

    Raises:
        DataError: no row has a text of the right kind.
    """
    sources = {source.role: source for source in resolve_sources(config)}
    source = sources.get("test", sources["train"])
    reader = open_reader(source, config)
    names = column_names(reader, config)
    if names is None:
        raise DataError(f"a data set must have rows, but {source.location} has none")
    content, target = names
    words = TASKS.get(config.task).words
    wanted = list if words else str
    rows: list[Any] = []
    labels: set[str] = set()
    first = ""
    for row in islice(reader.rows({content, target}), MOST_ROWS):
        if isinstance(row, BadRow):
            first = first or str(row)
            continue
        value, label = row.values.get(content), row.values.get(target)
        if isinstance(value, wanted) and value:
            rows.append(value)
            labels |= _labels(label) if target != content else set()
    if not rows:
        kind = "list of tokens" if words else "text"
        raise DataError(
            f"{source.location} must have rows with a {kind} in column {content!r}, but none has"
            + (f"; the first that cannot be read: {first}" if first else "; name it with --text-column")
        )
    return Texts(rows, frozenset(labels))


def _labels(value: Any) -> set[str]:
    if value is None:
        return set()
    return {str(item) for item in value} if isinstance(value, list) else {str(value)}
