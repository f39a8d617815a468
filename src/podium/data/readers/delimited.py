"""CSV and TSV with a header line."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Collection, Iterator
from typing import ClassVar

from podium.config.schema import DatasetConfig
from podium.data.lines import text_lines, too_long
from podium.data.readers.base import Content, Reader
from podium.data.rows import BadRow, Row
from podium.data.sources import Source, SourceFile
from podium.errors import DataError


class Delimited(Reader):
    """Fields between delimiters; a quoted field may hold delimiters, line ends and doubled quotes.

    A record that is broken, or that an unclosed quote makes longer than `max_row_bytes`, is one bad row with the number
    of its first line. Reading continues at the next line.

    Attributes:
        delimiter: between two fields.
        literal: whether a broken record is read without quoting, if that gives as many fields as the header has.
    """

    contents = frozenset[Content]({"text"})
    delimiter: ClassVar[str]
    literal: ClassVar[bool]

    def __init__(self, source: Source, config: DatasetConfig) -> None:
        super().__init__(source, config)
        csv.field_size_limit(max(csv.field_size_limit(), config.max_row_bytes))

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        """Yield one row per record below the header."""
        self.notes.clear()
        for file in self.source.files:
            records = self._records(file)
            header = self._header(file, next(records, None))
            for record in records:
                if isinstance(record, BadRow):
                    yield record
                else:
                    yield Row(file.name, record[0], dict(zip(header, record[1], strict=True)))

    def columns(self) -> tuple[str, ...]:
        """The names in the header."""
        names: dict[str, None] = {}
        for file in self.source.files:
            names |= dict.fromkeys(self._header(file, next(self._records(file), None)))
        return tuple(names)

    def _header(self, file: SourceFile, first: tuple[int, list[str]] | BadRow | None) -> list[str]:
        if first is None:
            return []
        if isinstance(first, BadRow):
            raise DataError(f"the first line must be a header, but {first}")
        header = [name.strip() for name in first[1]]
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise DataError(
                f"column names must be unique, but {file.name} has {', '.join(map(repr, twice))} more than once"
            )
        return header

    def _records(self, file: SourceFile) -> Iterator[tuple[int, list[str]] | BadRow]:
        feed = _Feed(text_lines(file, self.config, self.notes), self.config.max_row_bytes)
        width: int | None = None
        while True:
            parser = csv.reader(feed, delimiter=self.delimiter, strict=True)
            try:
                for fields in parser:
                    if not fields:
                        feed.start()
                        continue
                    if width is not None and len(fields) != width:
                        raise csv.Error(f"must have the {width} fields of the header, but has {len(fields)}")
                    width = len(fields)
                    yield feed.record[0][0], fields
                    feed.start()
                return
            except csv.Error as error:
                yield self._recover(file, feed, width, f"is not a valid record: {error}")
            except _TooLongError:
                yield self._recover(file, feed, width, f"{too_long(self.config)} (or a quote is not closed)")
            except _BrokenError as error:
                yield error.row
                feed.start()

    def _recover(self, file: SourceFile, feed: _Feed, width: int | None, reason: str) -> tuple[int, list[str]] | BadRow:
        number, line = feed.record[0]
        feed.replay()
        fields = line.rstrip("\r\n").split(self.delimiter)
        if self.literal and len(fields) == width:
            return number, fields
        return BadRow(file.name, number, None, reason)


class Csv(Delimited):
    """Comma-separated values (RFC 4180)."""

    name = "csv"
    extensions = (".csv",)
    delimiter = ","
    literal = False


class Tsv(Delimited):
    """Tab-separated values.

    Many files are written without quoting, so that their quotes may not pair up.
    """

    name = "tsv"
    extensions = (".tsv", ".tab")
    delimiter = "\t"
    literal = True


class _TooLongError(Exception):
    """The record grew beyond the limit."""


class _BrokenError(Exception):
    """A line of the record cannot be read."""

    def __init__(self, row: BadRow) -> None:
        self.row = row


class _Feed:
    """Lines for `csv.reader`. Those of the current record are kept, so that all but the first can be read again."""

    def __init__(self, lines: Iterator[tuple[int, str] | BadRow], limit: int) -> None:
        self._lines = lines
        self._again: deque[tuple[int, str]] = deque()
        self._limit = limit
        self._size = 0
        self.record: list[tuple[int, str]] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        item = self._again.popleft() if self._again else next(self._lines)
        if isinstance(item, BadRow):
            raise _BrokenError(item)
        self.record.append(item)
        self._size += len(item[1])
        if self._size > self._limit:
            raise _TooLongError
        return item[1]

    def start(self) -> None:
        """Begin a record at the next line."""
        self.record.clear()
        self._size = 0

    def replay(self) -> None:
        """Begin a record at the second line of the current one."""
        self._again.extendleft(reversed(self.record[1:]))
        self.start()
