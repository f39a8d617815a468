"""Rows whose given label the models contradict with confidence.

Confident learning (Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal
of Artificial Intelligence Research 70, 2021), pruned by noise rate: of the rows given label i, as many are suspected
for label j as the confident joint estimates to be j in truth, and of these the ones with the largest margin. Each row
must have been predicted by a model that did not learn from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Suspect(NamedTuple):
    """A row whose label looks wrong: its place, given and likely label, and the probabilities of both."""

    row: int
    given: int
    likely: int
    given_probability: float
    likely_probability: float


def suspects(given: Sequence[int] | NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[Suspect]:
    """The rows whose label looks wrong, the clearest first.

    Args:
        given: label index of each row.
        probabilities: out-of-fold probabilities of each row, shape (rows, labels).
    """
    labels, count = np.asarray(given), probabilities.shape[1]
    joint = _confident_joint(labels, probabilities)
    sizes = np.bincount(labels, minlength=count)
    share = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1)
    best = probabilities.argmax(axis=1)
    found = []
    for one in range(count):
        rows = np.flatnonzero(labels == one)
        for other in range(count):
            expected = round(share[one, other] * sizes[one])
            if other == one or not expected:
                continue
            margins = probabilities[rows, other] - probabilities[rows, one]
            chosen = rows[np.argsort(-margins, kind="stable")[:expected]]
            found += [
                Suspect(int(row), one, other, float(probabilities[row, one]), float(probabilities[row, other]))
                for row in chosen
                if best[row] == other
            ]
    return sorted(found, key=lambda item: (item.given_probability - item.likely_probability, item.row))


def _confident_joint(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts by given label (rows) and by the label that a row has with at least the usual confidence (columns).

    The usual confidence in a label is the mean probability of it in the rows that are given it.
    """
    count = probabilities.shape[1]
    usual = np.array([probabilities[labels == one, one].mean() if (labels == one).any() else 2 for one in range(count)])
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    known = confident.max(axis=1) >= 0
    joint = np.zeros((count, count))
    np.add.at(joint, (labels[known], confident[known].argmax(axis=1)), 1)
    return joint
