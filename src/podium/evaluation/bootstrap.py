"""Bootstrap intervals and paired comparisons of metrics on held-out rows.

Rows are resampled with replacement, and documents with all their sentences where sentences belong to documents: they
are not independent of each other (the cluster bootstrap of Field and Welsh, Bootstrapping Clustered Data, Journal of
the Royal Statistical Society B 69, 2007). The interval is the percentile interval of Efron and Tibshirani, An
Introduction to the Bootstrap (1993), chapter 13. Two models are compared on the same resamples (Koehn, Statistical
Significance Tests for Machine Translation Evaluation, 2004). The p-value is the two-sided achieved significance level
of a difference of zero, twice the smaller tail with one added to both counts so that it is never 0 (Davison and
Hinkley, Bootstrap Methods and their Application, 1997, section 4.2).

Where all rows are right, or all are wrong, every resample says the same, and a percentile interval would have no width.
The interval is then that of Clopper and Pearson for the share of right ones among the rows, or documents, that have a
part in the metric (The Use of Confidence or
Fiducial Limits Illustrated in the Case of the Binomial, Biometrika 26, 1934).

Resampling is exact but drawn by groups of rows, or documents, that add the same to the sums: the sizes of the groups in
a resample are multinomial. Of very many groups, as where each row has a probability of its own, the rows are drawn
themselves, which has the same distribution and costs less than one binomial draw per group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.evaluation.metrics import metric_of, score
from podium.evaluation.predictions import Predictions
from podium.records import Interval
from podium.tasks.metrics import Additive, Floats, Integers, grouped

METHOD = "percentile bootstrap"
EXACT_METHOD = "exact binomial"
PAIRED_METHOD = "paired percentile bootstrap"
_OF_DOCUMENTS = " of documents"
_ONE_DOCUMENT = " of the rows of one document"
_MANY = 4096
"""Groups from which on the rows are drawn themselves, unless there are far more rows than groups."""
_ROWS_PER_GROUP = 16
_TOGETHER = 16
"""Resamples that are summed up together."""
_KEPT = 200_000_000
"""Counts of rows in resamples that are kept for the next metric, of one byte each."""
_CELLS = 4_000_000
"""Multinomial counts held in memory at once."""


def bootstrap_interval(predictions: Predictions, metric: str, confidence: float, resamples: int, seed: int) -> Interval:
    """The metric with its percentile interval; equal arguments give equal bounds.

    The method of the interval says what was resampled where rows belong to documents. One document alone cannot be
    resampled, so its rows are.

    Args:
        confidence: coverage, between 0 and 1.
        resamples: how many resamples of all rows, or of all documents, are drawn.

    Raises:
        InputError: the metric is not supported by the predictions.
    """
    one = metric_of(predictions, metric).sums(predictions)
    return interval_of(one, predictions.documents, confidence, resamples, seed, score(predictions, metric))


def interval_of(
    one: Additive,
    documents: Sequence[str] | None,
    confidence: float,
    resamples: int,
    seed: int,
    value: float | None = None,
) -> Interval:
    """`bootstrap_interval` for any metric that is a function of sums over rows.

    Args:
        documents: of the rows; None where each stands alone.
        value: the metric of all rows, where it is known better than from the sums.
    """
    by_unit = _by_document(one, documents)
    sums = _resampled_sums(by_unit.group, by_unit.table, resamples, seed)
    values = by_unit.statistic(sums)
    found = one.total() if value is None else value
    if found in (0.0, 1.0) and (values[by_unit.has_part(sums)] == found).all():
        count = int(np.count_nonzero(by_unit.has_part(by_unit.table)[by_unit.group]))
        least = ((1 - confidence) / 2) ** (1 / count) if count else 0.0
        low, high = (least, 1.0) if found else (0.0, 1 - least)
        method = EXACT_METHOD + _of_what(documents)
        return Interval(value=found, low=low, high=high, confidence=confidence, method=method)
    return percentile_interval(found, values, confidence, METHOD + _of_what(documents))


def paired_difference(
    a: Predictions, b: Predictions, metric: str, confidence: float, resamples: int, seed: int
) -> tuple[Interval, float]:
    """The metric of `a` minus that of `b` with its interval, and the two-sided p-value of no difference.

    The rows of `b` may be in another order than those of `a`. If documents are known for one of them only, they are
    taken to be those of both.

    Raises:
        InputError: the two are not for the same rows and documents with the same truth, or do not support the metric.
    """
    if a.task != b.task:
        raise InputError(f"predictions must be of one task to be compared, but got {a.task} and {b.task}")
    b = b.aligned_to(a.ids)
    if a.named("truth") != b.named("truth"):
        raise InputError("predictions must have the same truth to be compared, but it differs; use one data artifact")
    documents = b.documents if a.documents is None else a.documents
    if b.documents not in (None, documents):
        raise InputError(
            "predictions must have the same documents to be compared, but they differ; use one data artifact"
        )
    first, second = (metric_of(one, metric).sums(one) for one in (a, b))
    value = score(a, metric) - score(b, metric)
    return difference_of(first, second, documents, confidence, resamples, seed, value)


def difference_of(
    first: Additive,
    second: Additive,
    documents: Sequence[str] | None,
    confidence: float,
    resamples: int,
    seed: int,
    value: float | None = None,
) -> tuple[Interval, float]:
    """`paired_difference` for any metric that is a function of sums over rows; both are of the same rows in order."""
    pairs, group = np.unique(first.group * len(second.table) + second.group, return_inverse=True)
    of_first, of_second = np.divmod(pairs, len(second.table))
    joint = Additive(
        group.reshape(-1),
        np.hstack([first.table[of_first], second.table[of_second]]),
        lambda sums: first.statistic(sums[..., :split]) - second.statistic(sums[..., split:]),
    )
    split = first.table.shape[1]
    joint = _by_document(joint, documents)
    values = joint.statistic(_resampled_sums(joint.group, joint.table, resamples, seed))
    method = PAIRED_METHOD + _of_what(documents)
    interval = percentile_interval(
        first.total() - second.total() if value is None else value, values, confidence, method
    )
    tail = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return interval, min(1.0, 2 * (1 + float(tail)) / (1 + resamples))


def resampled_scores(predictions: Predictions, metric: str, resamples: int, seed: int) -> Floats:
    """The metric on each resample of the rows, or of the documents, shape (resamples,).

    Resample k has the same rows for every metric and every model of equal row ids and documents in equal order, so that
    what is computed from several of them is paired.

    Raises:
        InputError: the metric is not supported by the predictions.
    """
    one = metric_of(predictions, metric).sums(predictions)
    table = _document_sums(one.table[one.group], predictions.documents)
    return one.statistic(_resampled_sums(np.arange(len(table)), table, resamples, seed))


def in_and_out_of_bag(models: Sequence[Predictions], metric: str, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """The metric of several models on each resample, and on the rows (or documents) that are not in it.

    Returns:
        Two arrays of shape (resamples, models).

    Raises:
        InputError: the metric is not supported, or the predictions are not for the same rows and documents.
    """
    aligned = [one.aligned_to(models[0].ids) for one in models]
    documents = next((one.documents for one in aligned if one.documents is not None), None)
    sums = [metric_of(one, metric).sums(one) for one in aligned]
    tables = [_document_sums(one.table[one.group], documents) for one in sums]
    generator, units = np.random.default_rng(seed), len(tables[0])
    step = max(1, _CELLS // units)
    inside, outside = [], []
    for start in range(0, resamples, step):
        drawn = generator.multinomial(units, np.full(units, 1 / units), size=min(step, resamples - start))
        left = (drawn == 0).astype(np.float64)
        pairs = [
            (one.statistic(drawn @ table), one.statistic(left @ table)) for one, table in zip(sums, tables, strict=True)
        ]
        inside.append(np.column_stack([pair[0] for pair in pairs]))
        outside.append(np.column_stack([pair[1] for pair in pairs]))
    return np.concatenate(inside), np.concatenate(outside)


def resampled_count(predictions: Predictions) -> int:
    """How many rows, or documents, a resample draws."""
    documents = len(set(predictions.documents or ()))
    return documents if documents > 1 else len(predictions)


def _of_what(documents: Sequence[str] | None) -> str:
    """What a method adds to its name."""
    if documents is None:
        return ""
    return _OF_DOCUMENTS if len(set(documents)) > 1 else _ONE_DOCUMENT


def _by_document(one: Additive, documents: Sequence[str] | None) -> Additive:
    """The same metric by sums over documents in place of rows."""
    if documents is None:
        return one
    return Additive(*grouped(_document_sums(one.table[one.group], documents)), one.statistic, one.wholes)


def _document_sums(rows: Floats, documents: Sequence[str] | None) -> Floats:
    """Sums of the columns over the rows of each document, in order of first appearance; `rows` if it is only one."""
    numbers: dict[str, int] = {}
    of_row = [numbers.setdefault(name, len(numbers)) for name in documents or ()]
    if len(numbers) < 2:
        return rows
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, of_row, rows)
    return sums


def _resampled_sums(group: Integers, table: Floats, resamples: int, seed: int) -> Floats:
    """Sums of the columns of `table` over each resample of what is grouped, shape (resamples, columns)."""
    generator = np.random.default_rng(seed)
    if len(table) > _MANY and len(group) < _ROWS_PER_GROUP * len(table):
        from scipy.sparse import csr_array

        # Most columns of a calibration error are zero in most rows.
        by_row = csr_array(table[group].T)
        kept = len(group) * resamples <= _KEPT
        drawn = _kept_draws(len(group), resamples, seed) if kept else _draws(len(group), resamples, seed)
        return np.concatenate([(by_row @ counts.T.astype(np.float64)).T for counts in drawn])
    sizes = np.bincount(group, minlength=len(table))
    step = max(1, _CELLS // len(table))
    sums = [
        generator.multinomial(len(group), sizes / len(group), size=min(step, resamples - start)) @ table
        for start in range(0, resamples, step)
    ]
    return np.concatenate(sums)


def _draws(rows: int, resamples: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """How often each row is in each resample, shape (some resamples, rows)."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _TOGETHER):
        counts = np.empty((min(_TOGETHER, resamples - start), rows), dtype=np.uint8)
        for place in range(len(counts)):
            drawn = generator.integers(rows, size=rows, dtype=np.uint32)
            counts[place] = np.bincount(drawn, minlength=rows)  # more than 255 of thousands of rows never come up
        yield counts


@lru_cache(maxsize=1)
def _kept_draws(rows: int, resamples: int, seed: int) -> list[NDArray[np.uint8]]:
    """They are the same for every metric of the same rows."""
    return list(_draws(rows, resamples, seed))


def percentile_interval(value: float, values: Floats, confidence: float, method: str) -> Interval:
    """A figure with the bounds that a share of `confidence` of its resamples, or draws, lies between."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high), confidence=confidence, method=method)
