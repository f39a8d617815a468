"""A learning curve, and what it says about more rows.

The score of a training on `n` rows is taken to be `a - b * (n + d) ** -c`: a power law, which fits learning curves well
(Cortes et al., Learning Curves: Asymptotic Values and Rate of Convergence, NIPS 1993), or one with an offset `d`, which
begins slowly as trainings on too few rows do (`POW4` of Viering and Loog, The Shape of Learning Curves: a Review, IEEE
TPAMI 2022). A few scores do not determine `c` and `d`, and an interval around the best fit alone would be far too
narrow. So the curve is averaged over them. Before the scores are seen, a power law without an offset is as likely as
one with, and so is every exponent, from one that flattens at once to one that still steepens.

Folds differ in how hard their rows are, so each has a level of its own and only the rise is fitted together. Given the
shape, the fit is a linear regression with normal errors; its posterior is drawn from, with a rise of at least 0 and
scores of at most 1. `benchmarks/learning_curve.py` measures how often the intervals cover the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from podium.records import Interval, Reason

METHOD = "average over power laws"
FEWEST_POINTS = 4
_OFFSETS = {0.0: 0.5, 0.1: 0.125, 0.3: 0.125, 1.0: 0.125, 3.0: 0.125}
"""How likely each offset is; they are shares of the most rows."""
_EXPONENTS = 40
"""How many there are for each offset; none is zero, at which the power law is a constant."""
_DRAWS = 20_000
_FEWEST_KEPT = 200
_HIGHEST = 1.0
"""No metric of a task that a study maximises is above this."""
_TINY = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LearningCurve:
    """Draws of a curve that fits the scores.

    Attributes:
        shapes: of each draw, its offset as a share of the most rows and its exponent.
        level: score of each draw at the most rows.
        rise: of each draw, from the fewest rows to the most.
        chance: of each draw, a standard normal number.
        fewest, most: rows.
        confidence: of the intervals.
    """

    shapes: tuple[Floats, Floats]
    level: Floats
    rise: Floats
    chance: Floats
    fewest: float
    most: float
    confidence: float

    def at(self, rows: float, error: float = 0.0) -> Interval:
        """The expected score of a training on so many rows.

        Args:
            error: standard error that all scores share, since they are of a sample of rows.
        """
        return self._interval(np.minimum(self._drawn(rows) + error * self.chance, _HIGHEST))

    def gain(self, rows: float, more: float) -> Interval:
        """How much higher the expected score of a training on `more` rows is."""
        return self._interval(self._drawn(more) - self._drawn(rows))

    def _drawn(self, rows: float) -> Floats:
        drawn: Floats = self.level - self.rise * _place(*self.shapes, rows, self.fewest, self.most)
        return drawn

    def _interval(self, values: Floats) -> Interval:
        tail = (1 - self.confidence) / 2
        low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail]).tolist()
        return Interval(value=middle, low=low, high=high, confidence=self.confidence, method=METHOD)


def fit(
    rows: Sequence[float], scores: Sequence[Sequence[float]], confidence: float, seed: int, highest_rows: float
) -> LearningCurve | Reason:
    """A curve through scores, or why there is none.

    Args:
        rows: how many rows each point was trained on, in ascending order.
        scores: of each point those of the folds, in the same order.
        highest_rows: where the curve is still below the highest score that there is.
    """
    size, found = np.array(rows, dtype=np.float64), np.array(scores, dtype=np.float64).T
    if len(np.unique(size)) < FEWEST_POINTS:
        text = f"a curve needs the scores of {FEWEST_POINTS} numbers of rows, but there are {len(np.unique(size))}"
        return Reason(code="TOO_FEW_POINTS", text=text)
    return _obstacle(size, found, confidence) or _posterior(size, found, confidence, seed, highest_rows)


def _obstacle(rows: Floats, scores: Floats, confidence: float) -> Reason | None:
    """What in the scores, of shape (folds, points), speaks against a curve that rises."""
    folds, points = scores.shape
    own = scores - scores.mean(axis=1, keepdims=True)
    steps = np.log(rows) - np.log(rows).mean()
    slope = float((own * steps).sum() / (folds * (steps**2).sum()))
    free = folds * points - folds - 1
    error = np.sqrt(max(((own - slope * steps) ** 2).sum(), _TINY) / free / (folds * (steps**2).sum()))
    if slope < error * stdtrit(free, confidence):
        return Reason(
            code="NO_GAIN",
            text=f"more rows are not shown to raise the score: from {rows[0]:,.0f} to {rows[-1]:,.0f} rows it went "
            f"from {scores[:, 0].mean():.3f} to {scores[:, -1].mean():.3f}",
        )
    # What is left after the mean of each fold and of each point: noise, whatever the shape of the curve.
    means, free = own.mean(axis=0), (folds - 1) * (points - 1)
    noise = np.sqrt(max(((own - means) ** 2).sum(), _TINY) / free * 2 / folds)
    pairs = list(combinations(range(points), 2))
    allowed = noise * stdtrit(free, 1 - (1 - confidence) / len(pairs))
    first, last = max(pairs, key=lambda pair: means[pair[0]] - means[pair[1]])
    if means[first] - means[last] > allowed:
        return Reason(
            code="NOT_MONOTONE",
            text=f"the score falls from {scores[:, first].mean():.3f} at {rows[first]:,.0f} rows to "
            f"{scores[:, last].mean():.3f} at {rows[last]:,.0f}, by more than the folds differ",
        )
    return None


def _posterior(
    rows: Floats, scores: Floats, confidence: float, seed: int, highest_rows: float
) -> LearningCurve | Reason:
    generator = np.random.default_rng(seed)
    folds, points = scores.shape
    count, free = folds * points, folds * points - folds - 1
    offsets, exponents, prior = _shapes()
    places = _place(offsets[:, None], exponents[:, None], rows, rows[0], rows[-1])
    middle = places.mean(axis=1)
    apart = places - middle[:, None]
    own = scores - scores.mean(axis=1, keepdims=True)
    spread = folds * (apart**2).sum(axis=1)
    slopes = -folds * (apart * own.mean(axis=0)).sum(axis=1) / spread
    left = ((own + (slopes[:, None] * apart)[:, None, :]) ** 2).sum(axis=(1, 2))
    left = np.maximum(left, _TINY)
    likelihood = np.log(prior) - 0.5 * np.log(spread) - free / 2 * np.log(left)
    weights = np.exp(likelihood - likelihood.max())
    drawn = generator.choice(len(prior), size=_DRAWS, p=weights / weights.sum())
    error = np.sqrt(left[drawn] / generator.chisquare(free, _DRAWS))
    rise = slopes[drawn] + error / np.sqrt(spread[drawn]) * generator.standard_normal(_DRAWS)
    level = scores.mean() + rise * middle[drawn] + error / np.sqrt(count) * generator.standard_normal(_DRAWS)
    offsets, exponents = offsets[drawn], exponents[drawn]
    ends = level - rise * _place(offsets, exponents, highest_rows, rows[0], rows[-1])
    kept = (rise >= 0) & (ends <= _HIGHEST)
    if kept.sum() < _FEWEST_KEPT:
        return Reason(code="NO_FIT", text="no curve that rises and stays below the highest score fits the scores")
    return LearningCurve(
        shapes=(offsets[kept], exponents[kept]),
        level=level[kept],
        rise=rise[kept],
        chance=generator.standard_normal(int(kept.sum())),
        fewest=float(rows[0]),
        most=float(rows[-1]),
        confidence=confidence,
    )


def _shapes() -> tuple[Floats, Floats, Floats]:
    """Offset, exponent and prior weight of every shape of a curve."""
    highest = {offset: 2 * (1 + offset) if offset else 1.5 for offset in _OFFSETS}
    exponents = [np.linspace(-0.5, highest[offset], _EXPONENTS) + 1e-4 for offset in _OFFSETS]
    offsets, weights = (np.repeat([*values], _EXPONENTS) for values in (_OFFSETS.keys(), _OFFSETS.values()))
    return offsets, np.concatenate(exponents), weights / _EXPONENTS


def _place(offsets: Floats, exponents: Floats, rows: Floats | float, fewest: float, most: float) -> Any:
    """Where on the curve numbers of rows lie: 1 at the fewest, 0 at the most, below 0 beyond."""
    place, start, end = ((one / most + offsets) ** -exponents for one in (rows, fewest, most))
    return (place - end) / (start - end)
