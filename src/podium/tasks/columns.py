"""What files hold: single values, and columns as far as their first rows show them, of which one has the texts."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from podium.errors import InputError

TEXT_NAMES = ("text", "sentence", "content", "document", "review", "body", "message", "comment", "tweet", "article")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "topic", "intent", "gold_label")

_CLEARLY_LONGER = 2.0
_WORDS = 3
ROWS_PER_LABEL = 5
"""A column with fewer rows for each of its different values is not taken for labels."""
_ONE = frozenset({"1", "true"})
_ZERO_ONE = _ONE | {"0", "false"}
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,15})\.0+")
_TRUTHS = ("True", "False", "TRUE", "FALSE")


@dataclass
class Column:
    """One column, according to the rows seen.

    Attributes:
        length: characters of all texts together.
        values: the different texts and numbers, as text.
        parts: columns of 0 and 1 of which it is made: its values are the names of those with a 1.
    """

    name: str
    texts: int = 0
    length: int = 0
    numbers: int = 0
    values: set[str] = field(default_factory=set)
    lists: list[list[Any]] = field(default_factory=list)
    parts: tuple[str, ...] = ()

    def see(self, value: Any) -> None:
        if isinstance(value, str):
            self.texts += 1
            self.length += len(value)
            self.values.add(read_label(value) if encodable(value) and value.strip() else "")
        elif isinstance(value, list):
            self.lists.append(value)
        elif isinstance(value, (bool, int, float)):
            self.numbers += 1
            if not missing(value):
                self.values.add(read_label(value))

    @property
    def several(self) -> bool:
        """Whether it has lists, and not of exactly one text or number each."""
        return any(len(one) != 1 or not isinstance(one[0], (str, int, float)) for one in self.lists)

    @property
    def labels(self) -> set[str]:
        """The different labels, where each value is one label or a list of one."""
        listed = () if self.several else (one[0] for one in self.lists)
        return (self.values | {str(one).strip() for one in listed}) - {""}


@dataclass(frozen=True)
class Choice:
    """The columns that a task reads, each with the reason for it, and the labels seen."""

    content: str
    content_reason: str
    target: str
    target_reason: str
    labels: Sequence[str] = ()


def text_column(columns: Sequence[Column], given: str | None, label: str | None, task: str) -> tuple[str, str]:
    """Name of the column with the texts, and why it is this one; `given` and `label` are the columns that a user names.

    Raises:
        InputError: there is no such column, or several may be meant.
    """
    if given is not None:
        return given, "given"
    textual = [column for column in columns if column.texts and column.name != label]
    name, reason = _text_among(textual, columns, task)
    unread = [one for one in textual if one.name != name and _has_sentences(one) and not by_name([one], LABEL_NAMES)]
    return name, reason + (f"; not read, though of texts, too: {listed(unread)}" if unread else "")


def _text_among(textual: Sequence[Column], columns: Sequence[Column], task: str) -> tuple[str, str]:
    if (name := by_name(textual, TEXT_NAMES)) is not None:
        return name, "by its name"
    if (name := by_name([one for one in columns if any(one.lists) and one not in textual], TEXT_NAMES)) is not None:
        raise InputError(
            f"a text must be one text, but column {name!r} has lists; join each list into one text, or name another "
            "column with --text-column"
        )
    mean = {column.name: column.length / column.texts for column in textual}
    ranked = sorted(mean, key=mean.__getitem__, reverse=True)
    if not ranked:
        raise InputError(f"a data set for {task} must have a text column, but its columns are: {listed(columns)}")
    named = by_name(textual, LABEL_NAMES)
    for names in (ranked, [name for name in ranked if name != named]):
        if len(names) == 1 or mean[names[0]] >= _CLEARLY_LONGER * mean[names[1]]:
            return names[0], "the longest text" if names is ranked else f"the texts beside {named!r}"
    raise ambiguous("text", "--text-column", columns)


def _has_sentences(column: Column) -> bool:
    """Whether most values are different and have three words or more."""
    long = sum(len(value.split()) >= _WORDS for value in column.values)
    return 2 * long >= column.texts > 0


def choose(
    candidates: Sequence[Column], given: str | None, names: Sequence[str], only: str, refusal: InputError
) -> tuple[str, str]:
    """The given column, or the candidate with one of `names`, or the only one; and why. Else the refusal is raised."""
    if given is not None:
        return given, "given"
    if (name := by_name(candidates, names)) is not None:
        return name, "by its name"
    if len(candidates) != 1:
        raise refusal
    return candidates[0].name, only


def by_name(columns: Sequence[Column], names: Sequence[str]) -> str | None:
    """The column that has the first possible of `names`, in any case, or as the last part of a dotted name."""
    return next(
        (
            column.name
            for nested in (False, True)
            for wanted in names
            for column in columns
            if (column.name.rpartition(".")[2] if nested else column.name).lower() == wanted
        ),
        None,
    )


def ambiguous(what: str, flag: str, columns: Sequence[Column]) -> InputError:
    """The error that asks the user to name a column."""
    binary = [column.name for column in columns if column.values and column.values <= _ZERO_ONE]
    several = f"; several columns of 0 and 1 as {joined(binary)}" if what == "label" and len(binary) > 1 else ""
    return InputError(
        f"the {what} column cannot be told from the data; give {flag} NAME, one of: {listed(columns)}{several}"
    )


def listed(columns: Sequence[Column]) -> str:
    """Names of the columns, for messages."""
    return ", ".join(column.name for column in columns if not column.parts)


def columns_named(name: str, columns: Collection[str]) -> list[str]:
    """The column of this name, or the columns of 0 and 1 whose names stand in it as in a line of CSV."""
    several = next(csv.reader([name], skipinitialspace=True), [])
    return several if name not in columns and len(several) > 1 else [name]


def inner_names(columns: Sequence[str], known: Collection[str]) -> Sequence[str]:
    """The names as they are inside the object that all of these columns are fields of: `spam` for `cats.spam`."""
    outer = {name.rpartition(".")[0] for name in columns}
    within = len(outer) == 1 and outer <= set(known)
    return [name.rpartition(".")[2] for name in columns] if within else columns


def joined(columns: Sequence[str]) -> str:
    """One name for several columns, see `columns_named`."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(columns)
    return line.getvalue()


def with_few_values(columns: Sequence[Column]) -> list[str]:
    """Names of the columns that have several different values, each of them in several rows."""
    most = {one.name: max(2, (one.texts + one.numbers) // ROWS_PER_LABEL) for one in columns if not one.lists}
    return [one.name for one in columns if one.name in most and 2 <= len(one.labels) <= most[one.name]]


def indicators(columns: Sequence[Column], rows: int) -> list[str]:
    """The columns that hold a 0 or a 1 in each of the rows, if there are several and no column looks like labels."""
    found = [one.name for one in columns if one.numbers + one.texts == rows and one.values <= _ZERO_ONE and one.values]
    others = [one for one in columns if one.name not in found]
    labelled = by_name([one for one in columns if one.values or one.lists], LABEL_NAMES)
    clear = labelled is None and not with_few_values(others) and not any(c.lists for c in columns)
    return found if len(found) > 1 and clear and any(one.texts for one in others) else []


def is_one(value: Any) -> bool:
    """Whether a cell holds a 1 and not a 0, as numbers, texts or truth values.

    Raises:
        ValueError: it holds something else; the message completes "field 'spam': ...".
    """
    if (label := "" if missing(value) else read_label(value)) not in _ZERO_ONE:
        raise ValueError(f"must be 0 or 1, but {found(value)}")
    return label in _ONE


def missing(value: Any) -> bool:
    """Whether a cell holds nothing: null, or the NaN that takes its place in columns of numbers."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def shown(value: Any) -> str:
    """Type and beginning of a value, for messages."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:40] + '…'}"


def found(value: Any) -> str:
    """`is missing`, or what was found instead, for the end of a message."""
    return "is missing" if missing(value) else f"got {shown(value)}"


def is_number(text: str) -> bool:
    """Whether a text is written as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def alike(counts: Mapping[str, int]) -> list[str]:
    """Labels that differ only in case, blanks or marks, with their counts, for people: one text for each group."""
    groups: dict[str, list[str]] = {}
    for label in counts:
        folded = "".join(
            character for character in unicodedata.normalize("NFKC", label).casefold() if character.isalnum()
        )
        groups.setdefault(folded, []).append(label)
    return [
        " and ".join(f"{label!r} ({counts[label]})" for label in sorted(group))
        for folded, group in groups.items()
        if folded and len(group) > 1
    ]


def encodable(text: str) -> bool:
    """Whether UTF-8 can encode the text; it cannot encode halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def read_label(value: Any) -> str:
    """A label as text: 1, 1.0 and the text 1.0 are "1", true and the text True are "true".

    Raises:
        ValueError: the value is missing or is no label; the message completes "field 'label': ...".
    """
    if missing(value) or (isinstance(value, str) and not value.strip()):
        raise ValueError("is missing")
    if isinstance(value, Decimal):
        value = str(value)
    if isinstance(value, str):
        label = value.strip()
        if not encodable(label):
            raise ValueError(f"holds a character that UTF-8 cannot: {shown(label)}")
        if _WHOLE.fullmatch(label):
            return str(int(label.partition(".")[0]))
        return label.lower() if label in _TRUTHS else label
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict, bytes)):
        hint = "; for several labels of a row set dataset.task=multi-label" if isinstance(value, list) else ""
        raise ValueError(f"must be one label, text or number, but got {shown(value)}{hint}")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
