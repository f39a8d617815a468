"""CSV and TSV, with a header line or without one."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar

from podium.config.schema import DatasetConfig
from podium.data.readers.base import BadRow, Content, Reader, Row
from podium.data.readers.layout import (
    UNNAMED,
    Layout,
    find_delimiter,
    find_header,
    find_quote,
    fitted,
    lines_above,
    mended,
    name_columns,
    parts_all,
)
from podium.data.sources import Source, SourceFile
from podium.errors import DataError

MENDED = "records whose quotes were read with blanks before them, or with backslashes in them"
EMPTY = "records without any value, which were left out"
BEYOND = "records with a value in a column without a name; is a delimiter in a text that is not quoted?"

_SAMPLE_LINES = 200
_SAMPLE_CHARACTERS = 1 << 18


class Delimited(Reader):
    """Fields between delimiters; a quoted field may hold delimiters, line ends and doubled quotes.

    A record that is broken, or that an unclosed quote makes longer than `max_row_bytes`, is one bad row with the number
    of its first line. Reading continues at the next line. Columns without a name at the end are left out where empty.

    A broken record of a file with tabs is read without quoting, if that gives as many fields as there are columns.

    Attributes:
        delimiters: what may stand between two fields; in each file the first one that parts its header, else the first.
        sniffed: those that tell the format of a file whose extension is not known.
        others: what else may, where no delimiter parts all the first lines alike.
    """

    contents = frozenset[Content]({"text", "tokens"})
    encoded = True
    delimiters: ClassVar[str]
    sniffed: ClassVar[str]
    others: ClassVar[str] = ""
    lenient = True

    def __init__(self, source: Source, config: DatasetConfig) -> None:
        super().__init__(source, config)
        csv.field_size_limit(max(csv.field_size_limit(), config.max_row_bytes))
        self._layouts: dict[str, Layout] = {}

    @classmethod
    def sniffs(cls, head: bytes, path: Path, content: Content | None) -> bool:
        lines = head.decode("utf-8", "replace").splitlines()[:_SAMPLE_LINES]
        lines = lines[:-1] if len(lines) > 2 else lines
        return any(parts_all(lines, delimiter) for delimiter in cls.sniffed)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        self.notes.clear()
        for file in self.source.files:
            if (layout := self.layout(file)) is None:
                continue
            unnamed = [place for place, name in enumerate(layout.names) if name.startswith(UNNAMED) and place]
            for record in self._records(file, layout):
                if isinstance(record, BadRow):
                    yield record
                    continue
                if not any(field.strip() for field in record[1]):
                    self.notes[EMPTY] += 1
                    continue
                if unnamed and any(record[1][place] for place in unnamed):
                    self.notes[BEYOND] += 1
                yield Row(file.name, record[0], dict(zip(layout.names, record[1], strict=True)))

    def columns(self) -> tuple[str, ...]:
        layouts = [layout for file in self.source.files if (layout := self.layout(file)) is not None]
        return tuple(dict.fromkeys(name for layout in layouts for name in layout.names))

    def found(self) -> list[str]:
        layouts = {file.name: layout for file in self.source.files if (layout := self.layout(file)) is not None}
        return [*super().found(), *(f"{name}: {layout}" for name, layout in layouts.items())]

    def doubts(self) -> list[str]:
        layouts = (self.layout(file) for file in self.source.files)
        return [layout.doubt for layout in layouts if layout is not None and layout.doubt]

    def layout(self, file: SourceFile) -> Layout | None:
        """How the file is laid out, as its first lines show; None where it has no lines."""
        if file.name not in self._layouts:
            notes = self.notes.copy()
            lines: list[str] = []
            size = 0
            for item in islice(self.lines(file), _SAMPLE_LINES):
                if isinstance(item, BadRow):
                    if not lines:
                        raise DataError(f"the first line must be a header, but {item}")
                    continue
                if (size := size + len(item[1])) > _SAMPLE_CHARACTERS and lines:
                    break
                if lines or item[1].strip():
                    lines.append(item[1])
            self.notes.clear()
            self.notes.update(notes)
            if not lines:
                return None
            self._layouts[file.name] = self._laid_out(file, lines)
        return self._layouts[file.name]

    def _laid_out(self, file: SourceFile, lines: list[str]) -> Layout:
        given = {"tab": "\t", "\\t": "\t"}.get(self.config.delimiter, self.config.delimiter)
        skipped = lines_above(lines)
        lines, quote = lines[skipped:], find_quote(lines[skipped:])
        delimiter = find_delimiter(lines, self.delimiters, self.others) if given == "auto" else given
        records: list[list[str]] = []
        try:
            records += (
                fields for fields in csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True) if fields
            )
        except csv.Error as error:
            if not records:
                if delimiter != "\t":
                    raise DataError(f"the first line must be a header, but {file.name} line 1: {error}") from error
                records = [line.rstrip("\r\n").split(delimiter) for line in lines]
        header, doubt = find_header(file.name, records, self.config.header)
        first = next(iter(self._layouts.values()), None)
        if header and self.config.header is None and first is not None and not first.header:
            header = len(records[0]) != len(first.names)
        names, named = name_columns(file.name, records[0], header)
        return Layout(delimiter, header, names, named, doubt, quote, skipped)

    def _records(self, file: SourceFile, layout: Layout) -> Iterator[tuple[int, list[str]] | BadRow]:
        lines = _Lines(islice(self.lines(file), layout.skipped, None), self.config.max_row_bytes)
        below = not layout.header
        while True:
            try:
                for fields in csv.reader(lines, delimiter=layout.delimiter, quotechar=layout.quote, strict=True):
                    if fields and below:
                        yield lines.record[0][0], _all_fields(fields, layout)
                    below = below or bool(fields)
                    lines.record.clear()
                return
            except csv.Error as error:
                reason = f"is not a valid record: {error}"
            except _BrokenError as error:
                if error.row is not None:
                    lines.record.clear()
                    yield error.row
                    continue
                reason = f"{self.too_long()} (or a quote is not closed)"
            first = lines.back_to_second()
            if below:
                yield self._mended(first, layout) or BadRow(file.name, first[0], None, reason)
            below = True

    def _mended(self, item: tuple[int, str], layout: Layout) -> tuple[int, list[str]] | None:
        number, line = item
        fields = line.rstrip("\r\n").split(layout.delimiter)
        if layout.delimiter == "\t" and len(fields) == len(layout.names):
            return number, fields
        if (fit := mended(line, layout)) is None:
            return None
        self.notes[MENDED] += 1
        return number, fit


class Csv(Delimited):
    """Comma-separated values (RFC 4180), or what spreadsheets write where the comma is the decimal mark."""

    name = "csv"
    extensions = (".csv",)
    delimiters = ",;\t|"
    sniffed = ",;|"


class Tsv(Delimited):
    """Tab-separated values. Many files are written without quoting, so that their quotes may not pair up."""

    name = "tsv"
    extensions = (".tsv", ".tab")
    delimiters = "\t"
    others = ",;|"
    sniffed = "\t"


class _Lines:
    """The lines of a file for a CSV parser. Of a record that is broken, all lines but the first are read again.

    Attributes:
        record: number and text of the lines of the record that is being read.
    """

    def __init__(self, lines: Iterator[tuple[int, str] | BadRow], limit: int) -> None:
        self.record: list[tuple[int, str]] = []
        self._lines = lines
        self._limit = limit
        self._again: deque[tuple[int, str]] = deque()
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        item = self._again.popleft() if self._again else next(self._lines)
        if isinstance(item, BadRow):
            raise _BrokenError(item)
        self._size = len(item[1]) + (self._size if self.record else 0)
        self.record.append(item)
        if self._size > self._limit:
            raise _BrokenError(None)
        return item[1]

    def back_to_second(self) -> tuple[int, str]:
        """The first line of the record; the others are read again."""
        first, *rest = self.record
        self._again.extendleft(reversed(rest))
        self.record.clear()
        return first


def _all_fields(fields: list[str], layout: Layout) -> list[str]:
    if (fit := fitted(fields, layout)) is None:
        what = "the header" if layout.header else "the first line"
        raise csv.Error(f"must have the {len(layout.names)} fields of {what}, but has {len(fields)}")
    return fit


class _BrokenError(Exception):
    """A line of the record cannot be read; or, without a row, the record grew beyond the limit."""

    def __init__(self, row: BadRow | None) -> None:
        self.row = row
