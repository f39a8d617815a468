"""The columns of a data set, as far as its first rows show them, and the choice of the column with the texts."""

from __future__ import annotations

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

    @property
    def mean_length(self) -> float:
        """Mean length of the texts in characters."""
        return self.length / max(1, self.texts)


@dataclass(frozen=True)
class Choice:
    """The columns that a task reads, each with the reason for it, and the labels seen."""

    content: str
    content_reason: str
    target: str
    target_reason: str
    labels: Sequence[str] = ()


def text_column(columns: Sequence[Column], given: str | None, label: str | None, task: str) -> tuple[str, str]:
    """Name of the column with the texts, and why it is this one.

    Args:
        given: the column that the user names, if any.
        label: the column of the labels, if the user names it.

    Raises:
        InputError: there is no such column, or several may be meant.
    """
    if given is not None:
        return given, "given"
    textual = [column for column in columns if column.texts and column.name != label]
    if (name := by_name(textual, TEXT_NAMES)) is not None:
        return name, "by its name"
    ranked = sorted(textual, key=lambda column: -column.mean_length)
    if not ranked:
        raise InputError(f"a data set for {task} must have a text column, but its columns are: {listed(columns)}")
    if len(ranked) > 1 and ranked[0].mean_length < _CLEARLY_LONGER * ranked[1].mean_length:
        raise ambiguous("text", "--text-column", columns)
    return ranked[0].name, "the longest text"


def by_name(columns: Sequence[Column], names: Sequence[str]) -> str | None:
    """The column that has the first possible of `names`, whatever its case; None where none has one."""
    for wanted in names:
        for column in columns:
            if column.name.lower() == wanted:
                return column.name
    return None


def ambiguous(what: str, flag: str, columns: Sequence[Column]) -> InputError:
    """The error that asks the user to name a column."""
    return InputError(f"the {what} column cannot be told from the data; give {flag} NAME, one of: {listed(columns)}")


def listed(columns: Sequence[Column]) -> str:
    """Names of the columns, for messages."""
    return ", ".join(column.name for column in columns)
