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

    `no_answer` counts the rows without a valid answer, where there are any; `only_answer` says what a model does that
    answers all alike.
    """
    missing, only = int((~predictions.answered).sum()), only_answer(predictions)
    return (
        TASKS.get(predictions.task).details(predictions)
        | ({"no_answer": missing} if missing else {})
        | ({"only_answer": only} if only else {})
    )


def only_answer(predictions: Predictions) -> str:
    """That all rows, or all words of them, are answered alike although their truths differ, for people; else empty."""
    task = TASKS.get(predictions.task)

    def different(values: Any) -> set[Any]:
        rows = [row for row in task.named(values, predictions.labels) if row is not None]
        return {answer for row in rows for answer in (row if task.words else [tuple(row) if task.several else row])}

    answers = different(predictions.predicted)
    if len(answers) != 1 or len(different(predictions.truth)) < 2:
        return ""
    answer = answers.pop()
    if task.words:
        return f"gives every word the tag {answer!r}"
    if not task.several:
        return f"predicts one class only, {answer!r}"
    return (
        f"predicts the same labels for every text, {', '.join(answer)}" if answer else "predicts no label for any text"
    )
