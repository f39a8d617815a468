"""Metrics over held-out predictions, as their task defines them."""

from __future__ import annotations

from typing import Any

from podium.errors import InputError
from podium.evaluation.predictions import Predictions
from podium.tasks import TASKS
from podium.tasks.metrics import Metric


def metrics_of(predictions: Predictions) -> dict[str, Metric]:
    """The metrics that the predictions support, by name."""
    known = TASKS.get(predictions.task).metrics
    return {one.name: one for one in known if predictions.probabilities is not None or not one.probabilities}


def metric_of(predictions: Predictions, name: str) -> Metric:
    """The metric of this name.

    Raises:
        InputError: the metric is unknown for the task, or needs probabilities that are not there.
    """
    known = metrics_of(predictions)
    if name not in known:
        raise InputError(f"metric must be one of {', '.join(known)} for {predictions.task}, but got {name!r}")
    return known[name]


def score(predictions: Predictions, metric: str) -> float:
    """The value of one metric; raises as `metric_of` does."""
    return metric_of(predictions, metric).value(predictions)


def all_metrics(predictions: Predictions) -> dict[str, float]:
    """Every metric that the predictions support, by name."""
    return {name: metric.value(predictions) for name, metric in metrics_of(predictions).items()}


def details(predictions: Predictions) -> dict[str, Any]:
    """What lies behind the metrics, see `podium.tasks.base.Task.details`.

    `no_answer` counts the rows without a valid answer, where there are any.
    """
    missing = int((~predictions.answered).sum())
    return TASKS.get(predictions.task).details(predictions) | ({"no_answer": missing} if missing else {})
