"""What files hold: single values, and columns as far as their first rows show them, of which one has the texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.errors import InputError

TEXT_NAMES = ("text", "sentence", "content", "document", "review", "body", "message", "comment", "tweet", "article")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "topic", "intent")

_CLEARLY_LONGER = 2.0


@dataclass
class Column:
    """One column, according to the rows seen.

    Attributes:
        texts: how many values are texts.
        length: characters of all these texts together.
        numbers: how many values are numbers or truth values.
        values: the different texts and numbers, as text.
        lists: the values that are lists.
    """

    name: str
    texts: int = 0
    length: int = 0
    numbers: int = 0
    values: set[str] = field(default_factory=set)
    lists: list[list[Any]] = field(default_factory=list)

    def see(self, value: Any) -> None:
        """Take one value into account."""
        if isinstance(value, str):
            self.texts += 1
            self.length += len(value)
            self.values.add(value.strip())
        elif isinstance(value, list):
            self.lists.append(value)
        elif isinstance(value, (bool, int, float)):
            self.numbers += 1
            self.values.add(str(value))


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
    if (name := by_name(textual, TEXT_NAMES)) is not None:
        return name, "by its name"
    mean = {column.name: column.length / column.texts for column in textual}
    ranked = sorted(mean, key=mean.__getitem__, reverse=True)
    if not ranked:
        raise InputError(f"a data set for {task} must have a text column, but its columns are: {listed(columns)}")
    if len(ranked) > 1 and mean[ranked[0]] < _CLEARLY_LONGER * mean[ranked[1]]:
        raise ambiguous("text", "--text-column", columns)
    return ranked[0], "the longest text"


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
    """The column that has the first possible of `names`, whatever its case; None where none has one."""
    return next((column.name for wanted in names for column in columns if column.name.lower() == wanted), None)


def ambiguous(what: str, flag: str, columns: Sequence[Column]) -> InputError:
    """The error that asks the user to name a column."""
    return InputError(f"the {what} column cannot be told from the data; give {flag} NAME, one of: {listed(columns)}")


def listed(columns: Sequence[Column]) -> str:
    """Names of the columns, for messages."""
    return ", ".join(column.name for column in columns)


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


def encodable(text: str) -> bool:
    """Whether UTF-8 can encode the text; it cannot encode halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def read_label(value: Any) -> str:
    """A label as text: 1 and 1.0 are "1", true is "true".

    Raises:
        ValueError: the value is missing or is no label; the message completes "field 'label': ...".
    """
    if missing(value) or (isinstance(value, str) and not value.strip()):
        raise ValueError("is missing")
    if isinstance(value, str):
        label = value.strip()
        if not encodable(label):
            raise ValueError(f"holds a character that UTF-8 cannot: {shown(label)}")
        return label
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict, bytes)):
        raise ValueError(f"must be one label, text or number, but got {shown(value)}")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
