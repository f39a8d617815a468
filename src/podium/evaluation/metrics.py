"""Metrics over held-out predictions, by scikit-learn and seqeval.

`text-classification`: `accuracy`; `macro_f1`, the unweighted mean of F1 over the classes that occur in truth or
predictions (scikit-learn's default); `log_loss` where probabilities are known.
`ner`: entity-level micro `f1`, `precision` and `recall` as the CoNLL-2000 script `conlleval` counts them, which is
seqeval's default mode: an entity is right when type and both ends are, and an `I-X` that follows no `X` opens an entity
(seqeval's `mode="strict"` would drop it); `token_accuracy`, the share of tokens with the right tag.
A ratio whose denominator is zero counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from podium.errors import InputError
from podium.evaluation.predictions import Predictions


def score(predictions: Predictions, metric: str) -> float:
    """The value of one metric.

    Raises:
        InputError: the metric is unknown for the task, or needs probabilities that are not there.
    """
    known = _metrics(predictions)
    if metric not in known:
        raise InputError(f"metric must be one of {', '.join(known)} for {predictions.task}, but got {metric!r}")
    return known[metric](predictions)


def all_metrics(predictions: Predictions) -> dict[str, float]:
    """Every metric that the predictions support, by name."""
    return {name: function(predictions) for name, function in _metrics(predictions).items()}


def details(predictions: Predictions) -> dict[str, Any]:
    """What lies behind the headline figures, JSON-like.

    `text-classification`: `confusion`, rows of counts by true label and columns by predicted label in the order of
    `labels`, and `per_label`. `ner`: `per_entity`. Both tables map a name to precision, recall, f1 and support.
    """
    if predictions.task == "ner":
        from seqeval.metrics import classification_report

        report = classification_report(*_tags(predictions), output_dict=True, zero_division=0)
        return {"per_entity": {name: _row(row) for name, row in report.items() if not name.endswith(" avg")}}
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    classes = np.arange(len(predictions.labels))
    matrix = confusion_matrix(predictions.truth, predictions.predicted, labels=classes)
    columns = precision_recall_fscore_support(predictions.truth, predictions.predicted, labels=classes, zero_division=0)
    names = ("precision", "recall", "f1-score", "support")
    rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return {
        "labels": list(predictions.labels),
        "confusion": matrix.tolist(),
        "per_label": {label: _row(row) for label, row in zip(predictions.labels, rows, strict=True)},
    }


def _row(row: dict[str, Any]) -> dict[str, float | int]:
    return {
        "precision": float(row["precision"]),
        "recall": float(row["recall"]),
        "f1": float(row["f1-score"]),
        "support": int(row["support"]),
    }


def _metrics(predictions: Predictions) -> dict[str, Callable[[Predictions], float]]:
    if predictions.task == "ner":
        return {"f1": _entity_f1, "precision": _entity_precision, "recall": _entity_recall, "token_accuracy": _tokens}
    plain: dict[str, Callable[[Predictions], float]] = {"macro_f1": _macro_f1, "accuracy": _accuracy}
    return plain if predictions.probabilities is None else {**plain, "log_loss": _log_loss}


def _accuracy(predictions: Predictions) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(predictions.truth, predictions.predicted))


def _macro_f1(predictions: Predictions) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(predictions.truth, predictions.predicted, average="macro", zero_division=0))


def _log_loss(predictions: Predictions) -> float:
    from sklearn.metrics import log_loss

    probabilities = np.asarray(predictions.probabilities)
    normal = probabilities / probabilities.sum(axis=1, keepdims=True)
    return float(log_loss(predictions.truth, normal, labels=np.arange(len(predictions.labels))))


def _tags(predictions: Predictions) -> tuple[list[list[str]], list[list[str]]]:
    return [list(tags) for tags in predictions.truth], [list(tags) for tags in predictions.predicted]


def _entity_f1(predictions: Predictions) -> float:
    from seqeval.metrics import f1_score

    return float(f1_score(*_tags(predictions), zero_division=0))


def _entity_precision(predictions: Predictions) -> float:
    from seqeval.metrics import precision_score

    return float(precision_score(*_tags(predictions), zero_division=0))


def _entity_recall(predictions: Predictions) -> float:
    from seqeval.metrics import recall_score

    return float(recall_score(*_tags(predictions), zero_division=0))


def _tokens(predictions: Predictions) -> float:
    from seqeval.metrics import accuracy_score

    return float(accuracy_score(*_tags(predictions)))
