"""Held-out rows that nearly repeat rows the models learned from, and what the winner scores without them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from podium.data.artifact import contents_of
from podium.data.copies import Copies
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.predictions import Predictions
from podium.records import CopiedRows
from podium.selection.comparison import Budget, compare_with_guessing

LEAST = 0.05
"""Share of the held-out rows from which copies are mentioned: fewer change a score by less than that."""

_CHARACTERS = 50_000_000
"""Most characters of development rows that are searched: about 10 s of processor time (BBC's 3 million take 0.6 s)."""


def copied_rows(data: Path, development: int, winner: tuple[str, Predictions], budget: Budget) -> CopiedRows | None:
    """The copies among the held-out rows, and the winner's score on the others; None for less than `LEAST` of them.

    Exact copies within a data set are dropped when it is prepared. Near copies, such as a review that was posted twice,
    are not, nor are copies between files that fix the splits.

    Args:
        data: the prepared data set.
        development: how many rows the models learned from.
        winner: its name, and its answers to the held-out rows, in their order.
    """
    known = Copies([*map(_text, contents_of(data, "test"))])
    found: set[int] = set()
    characters = looked = 0
    for content in chain(contents_of(data, "train"), contents_of(data, "validation")):
        if characters > _CHARACTERS:
            break
        text = _text(content)
        found.update(known.of(text))
        characters += len(text)
        looked += 1
    name, predictions = winner
    if len(found) < LEAST * len(predictions):
        return None
    counted = CopiedRows(rows=len(found), searched=looked / development)
    if len(found) == len(predictions):
        return counted
    rest = predictions.at([place for place in range(len(predictions)) if place not in found])
    return counted.model_copy(
        update={
            "score": bootstrap_interval(rest, **budget),
            "guessing": compare_with_guessing(name, rest, **budget),
        }
    )


def _text(content: str | Sequence[str]) -> str:
    return content if isinstance(content, str) else " ".join(content)
