"""The contract of a reader, and the registry that chooses one by format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import ClassVar, TypeVar

from podium.config.schema import DatasetConfig, Task
from podium.data.rows import BadRow, Row
from podium.data.sources import Source
from podium.errors import DataError

PEEK_ROWS = 200
"""Rows looked at where only rows tell which columns a source has."""


class Reader(ABC):
    """Streams the rows of one source.

    A reader holds no more than a few rows at a time, each of at most `max_row_bytes` where its format can
    tell before reading one. It yields every row it meets, in file order, as a `Row` or a `BadRow`, and
    raises `DataError` only where nothing more can be read. `rows` may be called again, and starts anew.

    Attributes:
        unit: what the number of a row counts, for messages.
        tasks: tasks whose rows the format can hold.
        fixed_columns: names of content and target where the format has no named columns.
        notes: counted remarks, such as rows decoded with the fallback encoding; they restart with `rows`.
    """

    unit: ClassVar[str] = "line"
    tasks: ClassVar[frozenset[Task]] = frozenset({"text-classification", "ner"})
    fixed_columns: ClassVar[tuple[str, str] | None] = None

    def __init__(self, source: Source, config: DatasetConfig) -> None:
        self.source = source
        self.config = config
        self.notes: Counter[str] = Counter()

    @abstractmethod
    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows; fields outside `columns` may be left out.

        Raises:
            DataError: the source cannot be read on.
        """

    def columns(self) -> tuple[str, ...]:
        """Names of the columns, as far as the first rows or a header tell.

        Raises:
            DataError: the source cannot be read.
        """
        names: dict[str, None] = {}
        for row in islice(self.rows(), PEEK_ROWS):
            if isinstance(row, Row):
                names |= dict.fromkeys(row.values)
        return tuple(names)


READERS: dict[str, type[Reader]] = {}
"""Readers by format."""

_R = TypeVar("_R", bound=type[Reader])


def register(*formats: str) -> Callable[[_R], _R]:
    """Class decorator: the reader of `formats`."""

    def add(reader: _R) -> _R:
        READERS.update(dict.fromkeys(formats, reader))
        return reader

    return add


def open_reader(source: Source, config: DatasetConfig) -> Reader:
    """Choose the reader of a source by its format.

    Raises:
        DataError: the format cannot hold rows of the configured task.
    """
    reader = READERS[source.format]
    if config.task not in reader.tasks:
        fit = ", ".join(name for name, other in READERS.items() if config.task in other.tasks)
        raise DataError(
            f"dataset.format must be able to hold rows of dataset.task={config.task}, but {source.format} cannot; "
            f"use one of: {fit}"
        )
    return reader(source, config)
