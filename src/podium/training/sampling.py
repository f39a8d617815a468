"""The choice of rows for a training that uses a share of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def sample_rows(
    rows: NDArray[np.int64], classes: NDArray[np.int64] | None, fraction: float, seed: int
) -> NDArray[np.int64]:
    """A random share of `rows`, in ascending order: `fraction` of each class, rounded up.

    Args:
        rows: row numbers.
        classes: class of each of those rows; None draws without regard to classes.
    """
    if fraction == 1.0:
        return np.sort(rows)
    groups = np.zeros(len(rows), dtype=np.int64) if classes is None else classes
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    kept: list[NDArray[np.int64]] = []
    for group in np.unique(groups):
        members = shuffled[groups[shuffled] == group]
        kept.append(members[: math.ceil(fraction * len(members))])
    return np.sort(rows[np.concatenate(kept)])
