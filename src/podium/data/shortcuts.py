"""What in a text gives its label away, so that a model needs to have understood nothing: its name, or an id."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Rows = Sequence[tuple[str, int]]
"""Texts, each with the index of its label."""

NAMED, SURE = 0.5, 0.9
"""Share of the texts that name their own label and no other, and of those that name any label, from which on it is
worth a word: a few texts of every topic name it."""
NUMBERED, DECIDED = 0.9, 0.7
"""Share of the texts that have a number of their own, and of the disagreement of their labels that is gone between
neighbours by this number, from which on the numbers are worth a word."""

_ROWS = 2_000
_HEAD, _TAIL = 1_000, 500
"""Characters of a text that are looked at: what was added stands at one of its ends."""
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[0-9]{3,18}")


def ends_of(rows: Iterable[tuple[str, int]], count: int) -> Rows:
    """The ends of some texts with their labels; of more than 2,000 rows every second, third, ... is taken.

    Args:
        count: how many rows there are.
    """
    step = max(1, -(-count // _ROWS))
    return [
        (text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}", label)
        for number, (text, label) in enumerate(rows)
        if number % step == 0
    ]


def named_labels(rows: Rows, labels: Sequence[str]) -> int:
    """How many of the texts name their own label and no other; 0 where they are few.

    A text names a label where it has the words of it in a row, in any case.
    """
    known: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for number, name in enumerate(labels):
        if words := _words(name):
            known[words[0]].append((words, number))
    found = [(_named(_words(text), known), label) for text, label in rows]
    naming, own = sum(bool(names) for names, _ in found), sum(names == {label} for names, label in found)
    return own if own >= NAMED * len(rows) and own >= SURE * naming else 0


def numbered_labels(rows: Rows) -> int:
    """How many of the texts have a number, such as an id, whose neighbours by number nearly always have their label."""
    found = sorted((int(match.group()), label) for text, label in rows if (match := _NUMBER.search(text)))
    if min(len(found), len({number for number, _ in found})) < max(2, NUMBERED * len(rows)):
        return 0
    of_label = Counter(label for _, label in found)
    by_chance = sum((count / len(found)) ** 2 for count in of_label.values())
    alike = sum(one == other for (_, one), (_, other) in pairwise(found)) / (len(found) - 1)
    return len(found) if 1 - alike <= (1 - DECIDED) * (1 - by_chance) else 0


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _named(words: tuple[str, ...], known: Mapping[str, Sequence[tuple[tuple[str, ...], int]]]) -> set[int]:
    """The labels whose words are among those of a text; where one begins with another, the longer one."""
    found: set[int] = set()
    for place, word in enumerate(words):
        if word in known:
            here = [(len(one), label) for one, label in known[word] if words[place : place + len(one)] == one]
            longest = max((size for size, _ in here), default=0)
            found.update(label for size, label in here if size == longest)
    return found
