"""Metrics as functions of sums over rows, which is what makes a bootstrap of them cheap.

Each row belongs to a group of rows that add the same counts. A resample of the rows then is one multinomial draw of
the group sizes, and the metric of the resample a function of their weighted sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.evaluation.predictions import Predictions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Additive:
    """One metric of one set of predictions.

    Attributes:
        group: (rows,) group of each row.
        table: (groups, columns) what a row of each group adds to the sums.
        statistic: maps sums of shape (..., columns) to values of shape (...).
    """

    group: Integers
    table: Floats
    statistic: Callable[[Floats], Floats]


def additive(predictions: Predictions, metric: str) -> Additive:
    """Express `metric` by sums over the rows of `predictions`.

    Raises:
        InputError: the metric is unknown for the task, or needs probabilities that are not there.
    """
    if predictions.task == "ner" and metric in _OF_ENTITIES:
        return Additive(*grouped(_entity_counts(predictions)), _OF_ENTITIES[metric])
    if predictions.task == "ner" and metric == "token_accuracy":
        return Additive(*grouped(_token_counts(predictions)), _share)
    if predictions.task != "ner" and metric == "macro_f1":
        return _macro_f1(predictions)
    if predictions.task != "ner" and metric == "accuracy":
        right = (predictions.truth == predictions.predicted).astype(np.int64)
        return Additive(*grouped(np.column_stack([right, np.ones_like(right)])), _share)
    if predictions.probabilities is not None and metric == "log_loss":
        rows = np.arange(len(predictions))
        probabilities = predictions.probabilities / predictions.probabilities.sum(axis=1, keepdims=True)
        losses = -np.log(np.clip(probabilities[rows, predictions.truth], np.finfo(np.float64).eps, None))
        return Additive(*grouped(np.column_stack([losses, np.ones_like(losses)])), _share)
    raise InputError(f"a metric of {predictions.task} that these predictions support is needed, but got {metric!r}")


def grouped(rows: NDArray[Any]) -> tuple[Integers, Floats]:
    """Group of each row of (rows, columns) such that equal rows share one, and (groups, columns) the row of each."""
    table, group = np.unique(rows, axis=0, return_inverse=True)
    return group.reshape(-1).astype(np.int64), table.astype(np.float64)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def _share(sums: Floats) -> Floats:
    return _ratio(sums[..., 0], sums[..., 1])


_OF_ENTITIES: dict[str, Callable[[Floats], Floats]] = {
    "f1": lambda sums: _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2]),
    "precision": lambda sums: _ratio(sums[..., 0], sums[..., 1]),
    "recall": lambda sums: _ratio(sums[..., 0], sums[..., 2]),
}


def _entity_counts(predictions: Predictions) -> Integers:
    """Entities (right, predicted, true) per sentence, shape (rows, 3)."""
    from seqeval.metrics.sequence_labeling import get_entities

    counts = []
    for truth, predicted in zip(predictions.truth, predictions.predicted, strict=True):
        true, found = set(get_entities(list(truth))), set(get_entities(list(predicted)))
        counts.append((len(true & found), len(found), len(true)))
    return np.array(counts, dtype=np.int64)


def _token_counts(predictions: Predictions) -> Integers:
    pairs = zip(predictions.truth, predictions.predicted, strict=True)
    counts = [(sum(a == b for a, b in zip(truth, found, strict=True)), len(truth)) for truth, found in pairs]
    return np.array(counts, dtype=np.int64)


def _macro_f1(predictions: Predictions) -> Additive:
    classes = len(predictions.labels)
    cells, group = np.unique(predictions.truth * classes + predictions.predicted, return_inverse=True)
    true, found = np.divmod(cells, classes)
    identity = np.eye(classes)
    right = identity[true] * (true == found)[:, None]

    def statistic(sums: Floats) -> Floats:
        hits, size = sums[..., :classes], sums[..., classes:]
        return _ratio(_ratio(2 * hits, size).sum(axis=-1), (size > 0).sum(axis=-1))

    return Additive(group.reshape(-1), np.hstack([right, identity[true] + identity[found]]), statistic)
