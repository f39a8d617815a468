"""How far probabilities can be believed: the reliability curve, and the expected calibration error.

The error is that of Naeini, Cooper and Hauskrecht (Obtaining Well Calibrated Probabilities Using Bayesian Binning,
2015) as Guo et al. use it (On Calibration of Modern Neural Networks, 2017): the mean distance of confidence and
accuracy over bins of equal width, weighted by their rows. A model that is calibrated perfectly has an error above zero
on a finite number of rows, so the error is shown beside what such a model would have: labels are drawn from the
probabilities themselves (Bröcker and Smith, Increasing the Reliability of Reliability Diagrams, 2007).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.evaluation.bootstrap import percentile_interval
from podium.evaluation.predictions import Predictions
from podium.records.base import Frozen, Interval
from podium.tasks import TASKS
from podium.tasks.metrics import Additive, Floats, grouped, ratio

BINS = 15
_DRAWS = 500
_CELLS = 4_000_000
"""Random numbers held in memory at once."""


class ReliabilityBin(Frozen):
    """The probabilities in one bin: how many, their mean, and how often what they are of is true."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Interval


class Calibration(Frozen):
    """How far probabilities can be believed.

    Attributes:
        of: what the probabilities are of, in words.
        left_out: rows without a valid answer.
        expected: mean error of a model that is calibrated perfectly, with the bounds of 95 of 100 such errors.
        curve: the bins that hold any probability.
    """

    of: str
    bins: int
    count: int
    left_out: int
    expected: Interval
    curve: tuple[ReliabilityBin, ...]


class _Pairs(NamedTuple):
    """Probabilities with whether what they are of is true, and the row of each."""

    of: str
    row: NDArray[np.int64]
    probability: Floats
    true: NDArray[np.bool_]

    @property
    def bin(self) -> NDArray[np.int64]:
        return np.minimum((self.probability * BINS).astype(np.int64), BINS - 1)


def calibration_error(predictions: Predictions, positive: int | None) -> Additive:
    """The expected calibration error as sums over rows: of confidence minus truth in each bin, and of the count."""
    pairs = _pairs(predictions, positive)
    table = np.zeros((len(predictions), BINS + 1))
    np.add.at(table, (pairs.row, pairs.bin), pairs.probability - pairs.true)
    table[:, BINS] = np.bincount(pairs.row, minlength=len(table))
    return Additive(*grouped(table), lambda sums: ratio(np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1]))


def calibration(predictions: Predictions, positive: int | None, confidence: float, seed: int) -> Calibration | None:
    """The curve behind the error; None where no row has a valid answer.

    Args:
        positive: index of the label whose probability is meant; None for that of the answer or, where a row may have
            several labels, for those of all labels.
    """
    pairs = _pairs(predictions, positive)
    if not len(pairs.row):
        return None
    curve = []
    for number in range(BINS):
        inside = pairs.bin == number
        if count := int(inside.sum()):
            share = proportion(int(pairs.true[inside].sum()), count, confidence)
            mean = float(pairs.probability[inside].mean())
            ends = number / BINS, (number + 1) / BINS
            curve.append(ReliabilityBin(low=ends[0], high=ends[1], count=count, confidence=mean, accuracy=share))
    return Calibration(
        of=pairs.of,
        bins=BINS,
        count=len(pairs.row),
        left_out=int((~predictions.answered).sum()),
        expected=_expected(pairs, confidence, seed),
        curve=tuple(curve),
    )


def proportion(hits: int, count: int, confidence: float) -> Interval:
    """A share with the interval of Wilson (1927), which takes the rows to be independent."""
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(confidence, method="wilson")
    low, high = float(found.low), float(found.high)
    return Interval(value=hits / count, low=low, high=high, confidence=confidence, method="Wilson")


def _pairs(predictions: Predictions, positive: int | None) -> _Pairs:
    probabilities = np.asarray(predictions.probabilities)
    answered = np.flatnonzero(predictions.answered)
    truth = np.asarray(predictions.truth)[answered]
    if TASKS.get(predictions.task).decoding == "multi":
        labels = probabilities.shape[1]
        rows = np.repeat(answered, labels)
        return _Pairs("every label of every row", rows, probabilities[answered].ravel(), (truth == 1).ravel())
    if positive is not None:
        name = predictions.labels[positive]
        return _Pairs(f"the label {name}", answered, probabilities[answered, positive], truth == positive)
    given = np.asarray(predictions.predicted)[answered]
    return _Pairs("the label that was answered", answered, probabilities[answered, given], given == truth)


def _expected(pairs: _Pairs, confidence: float, seed: int) -> Interval:
    draw, order = np.random.default_rng(seed), np.argsort(pairs.bin, kind="stable")
    probability, bins = pairs.probability[order], pairs.bin[order]
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    sums = np.add.reduceat(probability, starts)
    step, errors = max(1, _CELLS // len(order)), []
    for first in range(0, _DRAWS, step):
        true = draw.random((min(step, _DRAWS - first), len(order))) < probability
        right = np.add.reduceat(true, starts, axis=1, dtype=np.int64)
        errors.append(np.abs(right - sums).sum(axis=1) / len(order))
    values = np.concatenate(errors)
    method = f"{_DRAWS} draws of labels from the probabilities"
    return percentile_interval(float(values.mean()), values, confidence, method)
