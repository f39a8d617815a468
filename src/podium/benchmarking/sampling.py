"""Drawing the rows of a measurement so that they mirror the length distribution of the data set."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from podium.errors import InputError
from podium.inference.rows import Row, row_length

R = TypeVar("R", str, list[str])


def sample_rows(rows: Sequence[R], count: int, seed: int) -> list[R]:
    """Draw `count` rows whose lengths mirror those of `rows`, in random order.

    The sample is stratified by length in characters: the rows, sorted by length, are cut into `count` parts of equal
    size, and one row is drawn from each. So few rows reproduce every quantile of the length closely. A data set with
    fewer rows is used whole as often as it fits, and a stratified sample makes up the rest.

    Raises:
        InputError: there are no rows.
    """
    if len(rows) == 0:
        raise InputError("a benchmark needs at least one row of the data set, but got none")
    random = np.random.default_rng(seed)
    ordered = _by_length(rows, random)
    whole, rest = divmod(count, len(ordered))
    edges = np.linspace(0, len(ordered), rest + 1).astype(int)
    drawn = [ordered[random.integers(low, high)] for low, high in pairwise(edges)]
    chosen = np.concatenate([np.tile(ordered, whole), np.array(drawn, dtype=np.int64)])
    return [rows[int(index)] for index in random.permutation(chosen)]


def deal(rows: Sequence[Row], hands: int, count: int) -> list[list[Row]]:
    """Split `rows` into `hands` lists of `count` rows each, all with nearly the same lengths, in random order.

    The rows are dealt like cards, in order of length and to the lists in a random order each round, so that no list
    gets the longest row of every round. If there are too few rows, they are used again from the start.
    """
    random = np.random.default_rng(0)
    needed = hands * count
    pool = [rows[int(index)] for index in np.resize(np.arange(len(rows)), needed)]
    rounds = np.array(_by_length(pool, random)).reshape(count, hands)
    shuffled = random.permuted(rounds, axis=1)
    return [[pool[int(index)] for index in random.permutation(shuffled[:, hand])] for hand in range(hands)]


def _by_length(rows: Sequence[Row], random: np.random.Generator) -> np.ndarray:
    """Indices of `rows` from short to long; rows of one length in random order."""
    lengths = np.fromiter((row_length(row) for row in rows), dtype=np.int64, count=len(rows))
    return np.lexsort((random.random(len(lengths)), lengths))
