"""The rows that are to be predicted: read by the data room, named by an id, and chosen by the user."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.data.index import row_id
from podium.data.readers.base import BadRow, Reader, Row
from podium.errors import DataError, InputError
from podium.tasks.columns import missing
from podium.text import did_you_mean, shortened

FIRST_TRY = 5
"""How many rows a call without a choice predicts."""

_FILTERED_ROWS = 1000
_SHOWN = 5
_ID_NAMES = ("id", "custom_id")
"""Usual names of columns that name rows; the second one is that of OpenAI's batch files."""
_PROBLEMS = 1000
_HASH_BYTES = 8
_BLOB_LIMIT = 1 << 28


class InputRow(NamedTuple):
    """One row.

    Attributes:
        values: field values by column.
        content: what a trained model reads of it: a text or a list of words; None where a template reads the columns.
        problem: why it cannot be predicted; None where it can.
    """

    id: str
    values: Mapping[str, Any]
    content: Any = None
    problem: str | None = None


@dataclass(frozen=True)
class Choice:
    """Which rows are predicted: those that all conditions hold for.

    Attributes:
        first: so many from the beginning; None for no limit.
        random: so many at random, by `seed`. A row keeps its lot when others are added, so more rows include fewer.
        ids: these alone.
        where: an SQL expression over the columns.
    """

    first: int | None = None
    random: int | None = None
    seed: int = 0
    ids: tuple[str, ...] | None = None
    where: str = ""

    def __str__(self) -> str:
        parts = [] if self.ids is None else [f"{len(self.ids)} by id"]
        parts += [f"those where {self.where}"] if self.where else []
        parts += [] if self.random is None else [f"{self.random} at random (seed {self.seed})"]
        parts += [] if self.first is None else [f"the first {self.first}"]
        return ", ".join(parts) or "all"


@dataclass
class Survey:
    """What one pass over the data found.

    Attributes:
        total: rows of the data.
        chosen: for each of them whether it is to be predicted.
        problems: of the chosen rows that cannot be predicted, so far as they are kept: the message by id.
        bad: how many of these there are.
    """

    total: int
    chosen: NDArray[np.bool_]
    problems: dict[str, str] = field(default_factory=dict)
    bad: int = 0

    @property
    def count(self) -> int:
        return int(self.chosen.sum())


class RowSource:
    """The rows of one source of data, streamed: memory holds a few at a time.

    Args:
        reader: reads them, with all their columns.
        content: column that a trained model reads; None for a prompted one.
        problem: what is wrong with a content, None when nothing is.
        id_column: column that names the rows; None to name them by file and line.
        rows: gives the rows where they are not what the reader gives.
    """

    def __init__(
        self,
        reader: Reader,
        content: str | None = None,
        problem: Callable[[Any], str | None] = lambda _: None,
        id_column: str | None = None,
        rows: Callable[[], Iterator[Row | BadRow]] | None = None,
    ) -> None:
        self.reader = reader
        self._rows = rows or reader.rows
        self.content = content
        self.id_column = id_column
        self._problem = problem

    def __iter__(self) -> Iterator[InputRow]:
        for row in self._rows():
            place = row_id(row.file, row.line)
            if isinstance(row, BadRow):
                yield InputRow(place, {}, problem=row.reason)
                continue
            name = place
            if self.id_column is not None and not missing(given := row.values.get(self.id_column)):
                name = str(given)
            content = problem = None
            if self.content is not None:
                content = row.values.get(self.content)
                problem = self._problem(content)
                problem = problem and f"field {self.content!r} {problem}"
            yield InputRow(name, row.values, content, problem)

    def chosen(self, survey: Survey) -> Iterator[InputRow]:
        """The chosen rows, in the order of the data."""
        return (row for row, wanted in zip(self, survey.chosen, strict=False) if wanted)

    def survey(self, choice: Choice) -> Survey:
        """Look at all rows once, and choose.

        Raises:
            DataError: there are no rows, the ids of `id_column` repeat, or none is chosen.
            InputError: an id is unknown, or the expression cannot be computed.
        """
        total, passed, wanted = 0, array("q"), set(choice.ids or ())
        lots, hashes = array("Q"), array("q")
        problems: dict[int, tuple[str, str]] = {}
        ids = frozenset(wanted)
        for number, (row, passes) in enumerate(self._filtered(choice.where)):
            total = number + 1
            if self.id_column is not None:
                hashes.append(hash(row.id))
            wanted.discard(row.id)
            if not passes or (choice.ids is not None and row.id not in ids):
                continue
            passed.append(number)
            if choice.random is not None:
                lots.append(_lot(choice.seed, row.id))
            if row.problem is not None and len(problems) < _PROBLEMS:
                problems[number] = (row.id, row.problem)
        if not total:
            raise DataError(f"a data set must have rows, but {self.reader.source.location} has none")
        self._check_ids(hashes, wanted)
        numbers = np.array(passed, np.int64)
        if choice.random is not None:
            numbers = np.sort(numbers[np.argsort(np.array(lots, np.uint64), kind="stable")[: choice.random]])
        numbers = numbers[: choice.first]
        if not len(numbers):
            raise DataError(f"at least one row must be chosen, but of {total} rows ({choice}) none is")
        chosen = np.zeros(total, np.bool_)
        chosen[numbers] = True
        bad = {row: reason for number, (row, reason) in problems.items() if chosen[number]}
        return Survey(total, chosen, bad, len(bad))

    def _filtered(self, where: str) -> Iterator[tuple[InputRow, bool]]:
        if not where:
            yield from ((row, True) for row in self)
            return
        with closing(_Where(where, self.reader.columns())) as expression:
            rows = iter(self)
            while part := list(islice(rows, _FILTERED_ROWS)):
                yield from zip(part, expression.holds([row.values for row in part]), strict=True)

    def _check_ids(self, hashes: array[int], unknown: set[str]) -> None:
        if unknown:
            near = did_you_mean(min(unknown), islice((row.id for row in self), _FILTERED_ROWS))
            known = shortened([row.id for row in islice(self, _SHOWN)], _SHOWN)
            raise InputError(
                f"every id must be one of the data's, but unknown are {len(unknown)}: "
                f"{shortened(sorted(unknown), _SHOWN)}{near}; the data begins with {known}"
            )
        values, counts = np.unique(np.array(hashes, np.int64), return_counts=True)
        repeated = set(values[counts > 1].tolist())
        if repeated:
            names = islice((row.id for row in self if hash(row.id) in repeated), 1)
            raise DataError(
                f"ids must differ, but those of column {self.id_column!r} repeat in {len(repeated)} cases, as "
                f"{next(names)!r} does; name another column with --id-column, or use --id-column '' to name rows by "
                "their line"
            )


def id_column(reader: Reader, given: str | None) -> str | None:
    """The column that names the rows: the one given, or one with a usual name whose values all differ; else None.

    Raises:
        InputError: there is no such column.
    """
    columns = reader.columns()
    if given:
        if given not in columns:
            raise InputError(
                f"--id-column must name a column, but got {given!r}{did_you_mean(given, columns)}; the data has: "
                f"{', '.join(columns)}"
            )
        return given
    found = next((name for name in columns if name.lower() in _ID_NAMES), None)
    if given is not None or found is None:
        return None
    seen = array("q")
    for row in reader.rows({found}):
        if isinstance(row, BadRow):
            continue
        if missing(row.values.get(found)):
            return None
        seen.append(hash(str(row.values[found])))
    return found if len(np.unique(np.array(seen, np.int64))) == len(seen) > 0 else None


def plain(value: Any) -> Any:
    """A value as JSON can hold it: times, decimals and bytes become text."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return None if missing(value) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else str(value)


def _lot(seed: int, row: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{row}".encode(), digest_size=_HASH_BYTES).digest())


class _Where:
    """An SQL expression over the columns, computed by SQLite in memory; it can read these rows and nothing else.

    A text that looks like a number is compared as one, since the values of some formats are all texts.
    """

    def __init__(self, expression: str, columns: Sequence[str]) -> None:
        self._expression = expression
        self._columns = tuple(columns)
        self._database = sqlite3.connect(":memory:")
        self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _BLOB_LIMIT)
        names = ", ".join(f"{_quoted(name)} NUMERIC" for name in self._columns)
        self._database.execute(f"CREATE TABLE data ({names})")

    def holds(self, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether it holds for each row."""
        places = ", ".join(["?"] * len(self._columns))
        values = [[_stored(row.get(name)) for name in self._columns] for row in rows]
        self._database.execute("DELETE FROM data")
        self._database.executemany(f"INSERT INTO data VALUES ({places})", values)
        first = self._database.execute("SELECT min(rowid) FROM data").fetchone()[0]
        self._database.set_authorizer(_reading_only)
        try:
            # The line end closes a comment in the expression.
            query = f"SELECT rowid FROM data WHERE ({self._expression}\n)"
            found = {number - first for (number,) in self._database.execute(query)}
        except sqlite3.Error as error:
            raise InputError(
                f"--where must be an SQL expression over the columns ({', '.join(self._columns)}), such as "
                f'"length({_quoted(self._columns[0])}) > 20", but {self._expression!r} is not: {error}'
            ) from error
        finally:
            self._database.set_authorizer(None)
        return [number in found for number in range(len(rows))]

    def close(self) -> None:
        self._database.close()


def _reading_only(action: int, _: str | None, name: str | None, *others: str | None) -> int:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ):
        return sqlite3.SQLITE_OK
    harmless = action == sqlite3.SQLITE_FUNCTION and name != "load_extension"
    return sqlite3.SQLITE_OK if harmless else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stored(value: Any) -> Any:
    value = plain(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
