"""Rows of a given length in model input tokens, made of the data's own words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import TypeVar

from podium.errors import ModelError
from podium.inference.rows import Row

_SPARE = 2

R = TypeVar("R", bound=Row)


def rows_of_length(
    rows: Sequence[Row], tokens: int, count: int, count_tokens: Callable[[list[Row]], list[int]]
) -> list[Row]:
    """`count` rows of at most `tokens` model input tokens, and as near to it as whole words allow.

    Each begins at another row and goes on with the words of those after it.

    Args:
        count_tokens: model input tokens of rows, after truncation: it never falls when a word is added.

    Raises:
        ModelError: the model cuts rows before they are that long.
    """
    ring = [words if isinstance(words, list) else words.split() for words in rows]
    return [_row(ring[at % len(ring) :] + ring[: at % len(ring)], rows[0], tokens, count_tokens) for at in range(count)]


def _row(ring: Sequence[list[str]], like: Row, tokens: int, count_tokens: Callable[[list[Row]], list[int]]) -> Row:
    endless = (word for words in cycle(ring) for word in words)
    words = list(islice(endless, _SPARE * tokens))

    def shown(end: int) -> Row:
        return words[:end] if isinstance(like, list) else " ".join(words[:end])

    most = count_tokens([shown(len(words))])[0]
    if most < tokens:
        raise ModelError(
            f"benchmark.grid_lengths must not exceed what the model reads, but it cuts rows at {most} tokens and "
            f"{tokens} were asked for; take {tokens} out"
        )
    found = bisect_right(range(1, len(words) + 1), tokens, key=lambda end: count_tokens([shown(end)])[0])
    return shown(max(1, found))
