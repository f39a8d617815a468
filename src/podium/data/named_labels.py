"""Texts that name their own label, which a model reads off without having understood anything."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

SHARE, SURE = 0.5, 0.9
"""Share of the texts that name their own label and no other, and of those that name any label, from which on it is
worth a word: a few texts of every topic name it."""

_ROWS = 5_000
_HEAD, _TAIL = 2_000, 500
"""Characters of a text that are looked at: a label that was added stands at one of its ends."""
_WORD = re.compile(r"[^\W_]+")


def named_labels(rows: Iterable[tuple[str, int]], labels: Sequence[str], count: int) -> tuple[int, int] | None:
    """How many texts name their own label and no other, of how many that were looked at; None where they are few.

    A text names a label where it has the words of it in a row, in any case.

    Args:
        rows: texts, each with the index of its label.
        count: how many rows there are; of more than 5,000 every second, third, ... is looked at.
    """
    known: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for number, name in enumerate(labels):
        if words := _words(name):
            known[words[0]].append((words, number))
    step = -(-count // _ROWS)
    looked = naming = own = 0
    for number, (text, label) in enumerate(rows):
        if number % step == 0:
            ends = text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}"
            found = _named(_words(ends), known)
            looked += 1
            naming += bool(found)
            own += found == {label}
    return (own, looked) if own >= SHARE * looked and own >= SURE * naming else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _named(words: tuple[str, ...], known: dict[str, list[tuple[tuple[str, ...], int]]]) -> set[int]:
    """The labels whose words are among those of a text; where one begins with another, the longer one."""
    found: set[int] = set()
    for place, word in enumerate(words):
        if word in known:
            here = [(len(one), label) for one, label in known[word] if words[place : place + len(one)] == one]
            longest = max((size for size, _ in here), default=0)
            found.update(label for size, label in here if size == longest)
    return found
