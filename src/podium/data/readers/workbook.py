"""Excel workbooks: the rows of one sheet below the names of its columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, time
from typing import Any

from podium.data.readers.base import BadRow, Reader, Row
from podium.data.readers.layout import Layout, find_header, name_columns
from podium.data.sources import SourceFile
from podium.errors import DataError
from podium.text import did_you_mean

_SAMPLE_ROWS = 200


class Workbook(Reader):
    """The first sheet of a workbook, or the one that `dataset.sheet` names; empty rows are left out."""

    name = "xlsx"
    extensions = (".xlsx", ".xlsm")
    unit = "row"

    def rows(self, columns: Collection[str] | None = None) -> Iterator[Row | BadRow]:
        self.notes.clear()
        for file in self.source.files:
            layout = self._layout(file)
            width = len(layout.names)
            below = not layout.header
            for number, cells in self._cells(file):
                if below and any(cell not in (None, "") for cell in cells):
                    padded = [*cells, *[None] * (width - len(cells))][:width]
                    yield Row(file.name, number, dict(zip(layout.names, padded, strict=True)))
                below = below or any(cell is not None for cell in cells)

    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for file in self.source.files for name in self._layout(file).names))

    def found(self) -> list[str]:
        lines = []
        for file in self.source.files:
            with _opened(file) as book:
                others = [name for name in book.sheetnames if name != self._sheet(file, book)]
                also = f"; not read: {', '.join(others)} (dataset.sheet=NAME)" if others else ""
                first = "the first row has the names" if self._layout(file).header else "without a row of names"
                lines.append(f"{file.name}: sheet {self._sheet(file, book)!r}, {first}{also}")
        return lines

    def doubts(self) -> list[str]:
        return [doubt for file in self.source.files if (doubt := self._layout(file).doubt)]

    def _layout(self, file: SourceFile) -> Layout:
        known: dict[str, Layout] = self.__dict__.setdefault("_layouts", {})
        if file.name not in known:
            records = []
            for _, cells in self._cells(file):
                if any(cell is not None for cell in cells):
                    records.append(["" if cell is None else str(cell) for cell in cells])
                if len(records) == _SAMPLE_ROWS:
                    break
            while records and not any(len(row) == len(records[0]) and row[-1] for row in records):
                records = [row[: len(records[0]) - 1] for row in records]
            header, doubt = find_header(file.name, records, self.config.header)
            names, named = name_columns(file.name, records[0] if records else (), header)
            known[file.name] = Layout("", header, names, named, doubt)
        return known[file.name]

    def _cells(self, file: SourceFile) -> Iterator[tuple[int, list[Any]]]:
        with _opened(file) as book:
            sheet = book[self._sheet(file, book)]
            for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
                yield number, [cell.isoformat() if isinstance(cell, (date, time)) else cell for cell in row]

    def _sheet(self, file: SourceFile, book: Any) -> str:
        names = book.sheetnames
        if self.config.sheet is None:
            return str(names[0])
        if self.config.sheet not in names:
            hint = did_you_mean(self.config.sheet, names)
            raise DataError(
                f"dataset.sheet must be a sheet of {file.name}, but got {self.config.sheet!r}; it has: "
                f"{', '.join(names)}{hint}"
            )
        return self.config.sheet


@contextmanager
def _opened(file: SourceFile) -> Iterator[Any]:
    import openpyxl

    try:
        book = openpyxl.load_workbook(file.path, read_only=True, data_only=True)
    except Exception as error:
        raise DataError(f"{file.name} must be an Excel workbook, but cannot be read as one: {error}") from error
    try:
        yield book
    finally:
        book.close()
