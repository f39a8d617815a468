"""Tables, text and sections: what a task, a scenario or a step hands to the report, which renders it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from podium.display.charts import IntervalChart, ParallelChart, PlotChart


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        note: a second line in small type.
        tag: a short code behind the text, such as the code of a reason.
        share: from 0 to 1: the length of a bar behind the text or, in a matrix, the depth of the shading.
        title: what is shown when a reader points at the cell.
    """

    text: str
    note: str = ""
    tag: str = ""
    share: float | None = None
    style: str = ""
    title: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        mark: set behind the heading of the row that stands out, such as `★ winner`.
        muted: whether the row is not a candidate, such as a baseline.
    """

    cells: Sequence[Cell | str]
    mark: str = ""
    muted: bool = False

    @property
    def all_cells(self) -> list[Cell]:
        return [one if isinstance(one, Cell) else Cell(one) for one in self.cells]


@dataclass(frozen=True)
class Table:
    """A table with one heading per column.

    Attributes:
        label: names the table for screen readers.
        align: `l` or `r` for each column.
        rows: plain sequences of cells among them are rows without a mark.
        caption: a line above the table.
        heading: number of the column that names each row.
        style: `tight` for a table that is only as wide as its content, `matrix` for a shaded matrix of counts.
    """

    label: str
    columns: Sequence[str]
    align: str
    rows: Sequence[Row | Sequence[Cell | str]]
    caption: str = ""
    heading: int = 0
    style: Literal["", "tight", "matrix"] = ""

    def __post_init__(self) -> None:
        widths = {len(self.columns), len(self.align), *(len(row.cells) for row in self.lines)}
        if len(widths) > 1:
            raise ValueError(f"every row of {self.label!r} must have {len(self.columns)} cells, but got {widths}")

    @property
    def lines(self) -> list[Row]:
        return [row if isinstance(row, Row) else Row(row) for row in self.rows]


@dataclass(frozen=True)
class Text:
    """A paragraph; `small` and `muted` ones explain, a `warning` stands out."""

    text: str
    style: Literal["", "muted", "small", "warning"] = ""


@dataclass(frozen=True)
class Facts:
    """Names with their values; short ones (`narrow`) are set in two columns."""

    items: Sequence[tuple[str, str]]
    narrow: bool = False


@dataclass(frozen=True)
class Points:
    """A list of sentences, each with a short code behind it or an empty string."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Text to be copied as it is, such as a command."""

    text: str


@dataclass(frozen=True)
class Section:
    """A titled part of the report; sections among its blocks are a level below.

    Attributes:
        folded: `closed` or `open` at first, for one that the reader opens; empty for a section that is always seen.
        mark: set behind the title of the section that stands out, such as `★ winner`.
    """

    title: str
    blocks: Sequence[Block]
    folded: Literal["", "closed", "open"] = ""
    mark: str = ""


@dataclass(frozen=True)
class Columns:
    """Sections side by side where the page is wide enough."""

    sections: Sequence[Section]


Block = Table | Text | Facts | Points | Code | Section | Columns | IntervalChart | PlotChart | ParallelChart
"""What a section is made of."""
