"""What readers yield: rows as their format gives them, and rows that cannot be read, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One row as its format gives it, before any check.

    Attributes:
        file: display name of the source file.
        line: number of the line (or of the row, in formats without lines) from 1; 0 if the whole file is the row.
        values: field values by column name.
        document: line where the document of the row begins; 0 if no document begins before it.
    """

    file: str
    line: int
    values: Mapping[str, Any]
    document: int = 0


class BadRow(NamedTuple):
    """One row that breaks the schema. `field` is None if the reason concerns the row as a whole."""

    file: str
    line: int
    field: str | None
    reason: str
    unit: str = "line"

    def __str__(self) -> str:
        where = place(self.file, self.line, self.unit)
        return f"{where}: {self.reason}" if self.field is None else f"{where}, field {self.field!r}: {self.reason}"


def row_id(file: str, line: int) -> str:
    """Id of a row in a prepared data set: `reviews.jsonl:14`, or only the file if the whole file is the row."""
    return f"{file}:{line}" if line else file


def place(file: str, line: int, unit: str = "line") -> str:
    """Place of a row for people: `reviews.jsonl line 14`, or only the file if the whole file is the row."""
    return f"{file} {unit} {line}" if line else file
