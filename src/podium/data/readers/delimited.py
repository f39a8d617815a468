"""CSV and TSV with a header line."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import ClassVar

from podium.config.schema import DatasetConfig
from podium.data.readers.base import BadRow, Content, Reader, Row
from podium.data.sources import Source, SourceFile
from podium.errors import DataError


class Delimited(Reader):
    """Fields between delimiters; a quoted field may hold delimiters, line ends and doubled quotes.

    A record that is broken, or that an unclosed quote makes longer than `max_row_bytes`, is one bad row with the number
    of its first line. Reading continues at the next line.

    Attributes:
        delimiters: what may stand between two fields; in each file the first one that parts its header, else the first.
        literal: whether a broken record is read without quoting, if that gives as many fields as the header has.
    """

    contents = frozenset[Content]({"text"})
    delimiters: ClassVar[str]
    literal: ClassVar[bool]

    def __init__(self, source: Source, config: DatasetConfig) -> None:
        super().__init__(source, config)
        csv.field_size_limit(max(csv.field_size_limit(), config.max_row_bytes))

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        self.notes.clear()
        for file in self.source.files:
            records = self._records(file)
            header = _header(file, next(records, None))
            for record in records:
                if isinstance(record, BadRow):
                    yield record
                else:
                    yield Row(file.name, record[0], dict(zip(header, record[1], strict=True)))

    def columns(self) -> tuple[str, ...]:
        headers = [_header(file, next(self._records(file), None)) for file in self.source.files]
        return tuple(dict.fromkeys(name for header in headers for name in header))

    def _records(self, file: SourceFile) -> Iterator[tuple[int, list[str]] | BadRow]:
        lines = self.lines(file)
        start = list(islice(lines, 1))
        lines, delimiter = chain(start, lines), self._delimiter(start)
        # Of a record that is broken, all lines but the first are read again.
        record: list[tuple[int, str]] = []
        again: deque[tuple[int, str]] = deque()
        width: int | None = None

        def feed() -> Iterator[str]:
            size = 0
            while (item := again.popleft() if again else next(lines, None)) is not None:
                if isinstance(item, BadRow):
                    raise _BrokenError(item)
                size = len(item[1]) + (size if record else 0)
                record.append(item)
                if size > self.config.max_row_bytes:
                    raise _BrokenError(None)
                yield item[1]

        while True:
            try:
                for fields in csv.reader(feed(), delimiter=delimiter, strict=True):
                    if fields:
                        if width not in (None, len(fields)):
                            raise csv.Error(f"must have the {width} fields of the header, but has {len(fields)}")
                        width = len(fields)
                        yield record[0][0], fields
                    record.clear()
                return
            except csv.Error as error:
                reason = f"is not a valid record: {error}"
            except _BrokenError as error:
                if error.row is not None:
                    record.clear()
                    yield error.row
                    continue
                reason = f"{self.too_long()} (or a quote is not closed)"
            number, line = record[0]
            again.extendleft(reversed(record[1:]))
            record.clear()
            fields = line.rstrip("\r\n").split(delimiter)
            literal = self.literal and len(fields) == width
            yield (number, fields) if literal else BadRow(file.name, number, None, reason)

    def _delimiter(self, start: list[tuple[int, str] | BadRow]) -> str:
        """What parts the fields of the first line."""
        header = [item[1] for item in start if not isinstance(item, BadRow)]
        for one in self.delimiters:
            with suppress(csv.Error):
                if any(len(fields) > 1 for fields in csv.reader(header, delimiter=one, strict=True)):
                    return one
        return self.delimiters[0]


class Csv(Delimited):
    """Comma-separated values (RFC 4180), or what spreadsheets write where the comma is the decimal mark."""

    name = "csv"
    extensions = (".csv",)
    delimiters = ",;\t|"
    literal = False


class Tsv(Delimited):
    """Tab-separated values. Many files are written without quoting, so that their quotes may not pair up."""

    name = "tsv"
    extensions = (".tsv", ".tab")
    delimiters = "\t"
    literal = True


class _BrokenError(Exception):
    """A line of the record cannot be read; or, without a row, the record grew beyond the limit."""

    def __init__(self, row: BadRow | None) -> None:
        self.row = row


def _header(file: SourceFile, first: tuple[int, list[str]] | BadRow | None) -> list[str]:
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
