"""Columns beside text and label whose value nearly decides the label, such as an author with a view of his own.

Where rows of the same author are learned from and tested on, a model that knows the author by his words scores well,
and nothing is known of other authors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_ROWS = 20_000
_FIRST = 200
"""Rows that are looked at, and after which a column is left alone whose values are nearly all different."""
_LONGEST = 100
_LEAST_VALUES, _PER_LABEL = 10, 3
"""Fewer values, or fewer for each label, are another name for the labels rather than groups of rows."""
_SHARED, _DECIDED = 0.5, 0.7
"""Share of the rows that others share a value with, and of the disagreement of rows that is gone within a value."""


class SharedValues:
    """Takes the rows one by one."""

    def __init__(self) -> None:
        self._labels: Counter[Any] = Counter()
        self._columns: dict[str, dict[Any, Counter[Any]]] = {}
        self._left_alone: set[str] = set()

    def see(self, values: Mapping[str, Any], used: Collection[str], label: Any) -> None:
        """Take one row into account; `used` are its columns of text and label."""
        count = self._labels.total()
        if count >= _ROWS:
            return
        self._labels[label] += 1
        for name, value in values.items():
            if name in used or name in self._left_alone or not isinstance(value, (str, int)) or value == "":
                continue
            column = self._columns.setdefault(name, {})
            column.setdefault(value, Counter())[label] += 1
            if (isinstance(value, str) and len(value) > _LONGEST) or len(column) > max(_FIRST, count) / 2:
                self._left_alone.add(name)
                del self._columns[name]

    def deciding(self) -> Iterator[tuple[str, int]]:
        """Names of the columns that nearly decide the label, each with the number of its different values."""
        apart = 1 - _agreement([self._labels])
        for name, column in self._columns.items():
            groups = [labels for labels in column.values() if labels.total() > 1]
            many = len(column) > max(_LEAST_VALUES, _PER_LABEL * len(self._labels))
            shared = sum(labels.total() for labels in groups) >= _SHARED * self._labels.total()
            if many and shared and 1 - _agreement(groups) <= (1 - _DECIDED) * apart:
                yield name, len(column)


def _agreement(groups: Collection[Counter[Any]]) -> float:
    """How often two rows of the same group have the same label."""
    alike = sum(count * (count - 1) for labels in groups for count in labels.values())
    return alike / max(1, sum(labels.total() * (labels.total() - 1) for labels in groups))
