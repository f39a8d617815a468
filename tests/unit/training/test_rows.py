from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from podium.training.rows import sample_rows


def test_sample_rows_keeps_every_class() -> None:
    rows, classes = np.arange(100, 120), np.array([0] * 17 + [1] * 2 + [2])
    kept = sample_rows(rows, classes, 0.1, seed=1)
    assert sorted(classes[kept - 100].tolist()) == [0, 0, 1, 2] and (np.diff(kept) > 0).all()
    assert (sample_rows(rows, classes, 0.1, seed=1) == kept).all()
    assert (sample_rows(rows, None, 1.0, seed=1) == rows).all() and len(sample_rows(rows, None, 0.5, seed=1)) == 10


@pytest.mark.parametrize("classes", [None, np.array([0] * 17 + [1] * 2 + [2])])
def test_the_rows_of_a_smaller_share_are_among_those_of_a_larger_one(classes: np.ndarray | None) -> None:
    rows = np.arange(100, 120)
    samples = [set(sample_rows(rows, classes, share, seed=5).tolist()) for share in (0.1, 0.2, 0.4, 0.7, 1.0)]
    assert all(fewer < more for fewer, more in pairwise(samples))
