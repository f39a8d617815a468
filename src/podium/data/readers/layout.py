"""How a file with delimiters is laid out: what parts its fields, and whether its first line names them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from podium.errors import DataError
from podium.tasks import TASKS
from podium.tasks.columns import LABEL_NAMES, TEXT_NAMES, is_number

NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
UNNAMED = "unnamed_"

_KNOWN = {*TEXT_NAMES, *LABEL_NAMES, "id", "index", "title", "tag", "word", "token", "tokens", "tags", "pos", "summary"}
_AGREEING = 0.9
_FEW = 20
_ENOUGH = 4
_WORDS = 5
_SEPARATOR = re.compile(r"sep=(.)")
_MENDED = ({"skipinitialspace": True}, {"escapechar": "\\", "doublequote": False})


@dataclass(frozen=True)
class Layout:
    """What was found in the first lines of a file.

    Attributes:
        header: whether its first line names the columns.
        skipped: lines above the first record that say something about the file.
        named: how many fields a record has at least: columns without a name at the end may be missing.
        doubt: what is uncertain, with the setting that decides it; empty where nothing is.
    """

    delimiter: str
    header: bool
    names: tuple[str, ...]
    named: int
    doubt: str = ""
    quote: str = '"'
    skipped: int = 0

    def __str__(self) -> str:
        first = "the first line has the names" if self.header else "without a line of names"
        quoted = ", fields in single quotes" if self.quote == "'" else ""
        above = f", left out above it: {self.skipped} lines" if self.skipped else ""
        return f"parted by {NAMES.get(self.delimiter, repr(self.delimiter))}, {first}{quoted}{above}"


def lines_above(lines: Sequence[str]) -> int:
    """How many of the first lines are no records: `sep=;` as spreadsheets have it, and comments after `# `."""
    found = 0
    below = next((line for line in lines if not line.startswith("# ")), "")
    for line in lines[:-1]:
        if not (_SEPARATOR.fullmatch(line.strip()) or (line.startswith("# ") and _fewer(line, below))):
            break
        found += 1
    return found if found < len(lines) - 1 else 0


def _fewer(comment: str, below: str) -> bool:
    """Whether a line is no record beside the line below: it has fewer delimiters of a kind, or is above usual names."""
    parts = [below.lower().strip().split(one) for one in NAMES if one != " "]
    named = any(len({field.strip(' "') for field in fields} & {*TEXT_NAMES, *LABEL_NAMES}) > 1 for fields in parts)
    return named or any(comment.count(one) < below.count(one) for one in NAMES if one != " ")


def find_quote(lines: Sequence[str]) -> str:
    """The single quote where every line begins and ends with one, else the double quote."""
    stripped = [line.strip() for line in lines if line.strip()]
    single = len(stripped) > 2 and all(len(line) > 1 and line[0] == line[-1] == "'" for line in stripped)
    return "'" if single else '"'


def find_delimiter(lines: Sequence[str], known: str, others: str) -> str:
    """What parts the fields of these lines: the first of `known` that parts the first line, if the other lines agree.

    Where they do not, and one of `known` or `others` parts all lines alike, it is that one.
    """
    chosen = next((one for one in known if _width(lines[:1], one) > 1), known[0])
    if parts_all(lines, chosen):
        return chosen
    return next((one for one in known + others if parts_all(lines, one)), chosen)


def parts_all(lines: Sequence[str], delimiter: str) -> bool:
    """Whether a delimiter parts all of the lines, with few exceptions, into equally many fields."""
    return _agreement(lines, delimiter) >= _AGREEING


def _width(lines: Sequence[str], delimiter: str) -> int:
    with suppress(csv.Error):
        return max((len(fields) for fields in csv.reader(lines, delimiter=delimiter, strict=True)), default=0)
    return 0


def _agreement(lines: Sequence[str], delimiter: str) -> float:
    """The share of records that have as many fields as the first one, if that has several."""
    widths = []
    try:
        for fields in csv.reader(lines, delimiter=delimiter, strict=True):
            if fields:
                widths.append(len(fields))
    except csv.Error:
        # The last record of the sample may be cut off, and a broken one is counted where it is read.
        if len(widths) < _ENOUGH and delimiter == "\t":
            widths = [len(line.rstrip("\r\n").split(delimiter)) for line in lines if line.strip()]
    return widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0.0


def find_header(file: str, records: Sequence[Sequence[str]], given: bool | None) -> tuple[bool, str]:
    """Whether the first record names the columns, and what is doubtful about that.

    It does, unless a field of it is a value of a column with few different ones, or a number above numbers: other
    fields with usual names settle it.
    """
    if given is not None or not records:
        return given is not False, ""
    first = [field.strip() for field in records[0]]
    usual = {*_KNOWN, *(name for task in TASKS.all() for name in (*task.content_names, *task.target_names))}
    rows = [row for row in records[1:] if len(row) == len(first)]
    columns = [{row[place].strip() for row in rows} for place in range(len(first))]
    while len(first) > 1 and not first[-1] and columns[-1] <= {""}:
        first, columns = first[:-1], columns[:-1]
    repeated = [
        name
        for name, values in zip(first, columns, strict=True)
        if name in values and len(values) <= max(2, min(_FEW, len(rows) // 2))
    ]
    lowered = {field.lower() for field in first}
    named = lowered & usual
    # A single usual name may be a label all the same, as is `pos` of a review.
    if len(named) > 1 or named - {name.lower() for name in repeated} or not all(first) or len(lowered) < len(first):
        return True, ""
    above = [
        name
        for name, values in zip(first, columns, strict=True)
        if is_number(name) and values and all(map(is_number, values))
    ]
    if (repeated or above) and len(first) > 1:
        what = (
            f"{repeated[0]!r} is one of the values below it" if repeated else f"{above[0]!r} is a number above numbers"
        )
        return False, (
            f"{file}: its first line is read as a row, since {what}; if it has the names of the columns, set "
            "dataset.header=true"
        )
    if len(first) > 1 and (long := next((name for name in first if len(name.split()) >= _WORDS), None)):
        return True, (
            f"{file}: is its first line a row? {long[:60]!r} is long for the name of a column; if it is, set "
            "dataset.header=false"
        )
    return True, ""


def name_columns(file: str, first: Sequence[str], header: bool) -> tuple[tuple[str, ...], int]:
    """Names of the columns, and how many of them must have a field in every record.

    Raises:
        DataError: two columns have one name.
    """
    if not header:
        return tuple(f"column_{number}" for number in range(1, len(first) + 1)), len(first)
    names = [name.strip() for name in first]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(
            f"column names must be unique, but {file} has {', '.join(map(repr, twice))} more than once; rename "
            "them, or set dataset.header=false if the first line is a row"
        )
    named = max((number for number, name in enumerate(names, 1) if name), default=len(names))
    return tuple(name or f"{UNNAMED}{number}" for number, name in enumerate(names, 1)), named


def fitted(fields: list[str], layout: Layout) -> list[str] | None:
    """The fields of a record, one for each column; None where there are too few or too many."""
    width = len(layout.names)
    if len(fields) > width and not any(field.strip() for field in fields[width:]):
        return fields[:width]
    if layout.named <= len(fields) < width:
        return fields + [""] * (width - len(fields))
    return fields if len(fields) == width else None


def mended(line: str, layout: Layout) -> list[str] | None:
    """The fields of a broken record of one line, with blanks before its quotes, or backslashes in them; else None."""
    for settings in (*_MENDED, _MENDED[0] | _MENDED[1]):
        with suppress(csv.Error):
            rows = list(csv.reader([line], delimiter=layout.delimiter, strict=True, **settings))
            if len(rows) == 1 and len(rows[0]) == len(layout.names) and '"' in line:
                return rows[0]
    return None
