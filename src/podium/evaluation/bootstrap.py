"""Bootstrap intervals and paired comparisons of metrics on held-out rows.

Rows (documents or sentences) are resampled with replacement; the interval is the percentile interval of Efron and
Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Two models are compared on the same resamples (Koehn,
Statistical Significance Tests for Machine Translation Evaluation, 2004). The p-value is the two-sided achieved
significance level of a difference of zero, twice the smaller tail with one added to both counts so that it is never 0
(Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2).

Resampling is exact but drawn by groups of equal rows: the sizes of the groups in a resample are multinomial.
"""

from __future__ import annotations

import numpy as np

from podium.errors import InputError
from podium.evaluation.additive import Additive, Floats, additive
from podium.evaluation.metrics import score
from podium.evaluation.predictions import Predictions
from podium.records import Interval

METHOD = "percentile bootstrap"
PAIRED_METHOD = "paired percentile bootstrap"
_CELLS = 4_000_000
"""Multinomial counts held in memory at once."""


def bootstrap_interval(predictions: Predictions, metric: str, confidence: float, resamples: int, seed: int) -> Interval:
    """The metric with its percentile interval; equal arguments give equal bounds.

    Args:
        predictions: held-out rows.
        metric: a metric of `podium.evaluation.metrics`.
        confidence: coverage, between 0 and 1.
        resamples: how many resamples of all rows are drawn.
        seed: of the resampling.

    Raises:
        InputError: the metric is not supported by the predictions.
    """
    value = score(predictions, metric)
    one = additive(predictions, metric)
    values = one.statistic(_resampled_sums(one.group, one.table, resamples, seed))
    return _interval(value, values, confidence, METHOD)


def paired_difference(
    a: Predictions, b: Predictions, metric: str, confidence: float, resamples: int, seed: int
) -> tuple[Interval, float]:
    """The metric of `a` minus that of `b` with its interval, and the two-sided p-value of no difference.

    The rows of `b` may be in another order than those of `a`.

    Raises:
        InputError: the two are not for the same rows with the same truth, or do not support the metric.
    """
    if a.task != b.task:
        raise InputError(f"predictions must be of one task to be compared, but got {a.task} and {b.task}")
    b = b.aligned_to(a.ids)
    if not _same_truth(a, b):
        raise InputError("predictions must have the same truth to be compared, but it differs; use one data artifact")
    first, second = additive(a, metric), additive(b, metric)
    pairs, group = np.unique(first.group * len(second.table) + second.group, return_inverse=True)
    of_first, of_second = np.divmod(pairs, len(second.table))
    joint = Additive(
        group.reshape(-1),
        np.hstack([first.table[of_first], second.table[of_second]]),
        lambda sums: first.statistic(sums[..., :split]) - second.statistic(sums[..., split:]),
    )
    split = first.table.shape[1]
    values = joint.statistic(_resampled_sums(joint.group, joint.table, resamples, seed))
    interval = _interval(score(a, metric) - score(b, metric), values, confidence, PAIRED_METHOD)
    tail = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return interval, min(1.0, 2 * (1 + float(tail)) / (1 + resamples))


def resampled_scores(predictions: Predictions, metric: str, resamples: int, seed: int) -> Floats:
    """The metric on each resample of the rows, shape (resamples,).

    Resample k has the same rows for every metric and every model of equal row ids in equal order, so that what is
    computed from several of them is paired.

    Raises:
        InputError: the metric is not supported by the predictions.
    """
    one = additive(predictions, metric)
    rows = np.arange(len(predictions))
    return one.statistic(_resampled_sums(rows, one.table[one.group], resamples, seed))


def _same_truth(a: Predictions, b: Predictions) -> bool:
    if a.task == "ner":
        return bool(a.truth == b.truth)
    return [a.labels[row] for row in a.truth] == [b.labels[row] for row in b.truth]


def _resampled_sums(group: np.ndarray, table: Floats, resamples: int, seed: int) -> Floats:
    """Sums of the columns of `table` over each resample of the rows, shape (resamples, columns)."""
    generator = np.random.default_rng(seed)
    sizes = np.bincount(group, minlength=len(table))
    step = max(1, _CELLS // len(table))
    sums = [
        generator.multinomial(len(group), sizes / len(group), size=min(step, resamples - start)) @ table
        for start in range(0, resamples, step)
    ]
    return np.concatenate(sums)


def _interval(value: float, values: Floats, confidence: float, method: str) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high), confidence=confidence, method=method)
