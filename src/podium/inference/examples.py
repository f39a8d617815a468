"""Which training rows a prompt shows, and which it must not: copies of the rows that are being asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from podium.data.copies import Copies


def chosen(texts: Sequence[str], order: Iterator[int], count: int, asked: Copies) -> tuple[list[int], int]:
    """The first `count` places of an order whose texts are no copies of a row that is asked, and how many were."""
    found: list[int] = []
    refused = 0
    for place in order:
        if len(found) == count:
            break
        if asked.of(texts[place]):
            refused += 1
        else:
            found.append(place)
    return found, refused


def spread(classes: NDArray[np.int64] | None, rows: int, seed: int) -> Iterator[int]:
    """Places of rows in random order, one class after the other in turn, so that every beginning is balanced."""
    draw = np.random.default_rng(seed)
    shuffled = draw.permutation(rows)
    if classes is None:
        yield from shuffled.tolist()
        return
    own = [iter(shuffled[classes[shuffled] == one].tolist()) for one in draw.permutation(np.unique(classes))]
    while own:
        left = []
        for members in own:
            if (place := next(members, None)) is not None:
                yield place
                left.append(members)
        own = left
