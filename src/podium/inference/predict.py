"""The one way to predict the rows of a data set: a predictor gives logits, and the task makes answers of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.errors import ModelError
from podium.evaluation.predictions import Predictions
from podium.inference.predictor import Predictor, PredictorSpec, predictor_class
from podium.inference.rows import Row, row_length
from podium.tasks import TASKS

Logits = list[NDArray[np.float32]]

_BATCH = 32


def load_predictor(spec: PredictorSpec) -> Predictor:
    """The predictor of a spec, ready to predict in this process, whose number of compute threads it sets.

    Raises:
        ModelError: the model is damaged, incomplete, or for another task or other labels.
    """
    predictor = predictor_class(spec.variant)
    try:
        predictor.prepare(spec)
        return predictor(spec)
    except (ModelError, MemoryError):
        raise
    # A damaged file surfaces as SafetensorError, OSError, ValueError or RuntimeError, depending on where it is cut.
    except Exception as error:
        raise ModelError(f"the model in {spec.model_dir} must be loadable, but: {error}") from error


def predict(predictor: Predictor, task: str, labels: Sequence[str], rows: Any) -> Predictions:
    """The predictions of a model for rows of a prepared data set.

    Args:
        task: name of the task of the data set.
        labels: those of the data set; the model may have them in another order.
        rows: a `datasets.Dataset`.

    Raises:
        ModelError: the model has other labels.
        FloatingPointError: a logit is NaN or infinite.
    """
    kind = TASKS.get(task)
    contents = list(rows[kind.content])
    order = np.argsort([-row_length(row) for row in contents], kind="stable")
    outputs = _outputs(predictor.labels, labels)
    logits = logits_of(predictor, [contents[place] for place in order])
    check_finite(logits)
    found: list[Any] = [None] * len(order)
    for place, scores in zip(order, logits, strict=True):
        found[place] = kind.reduce(scores[..., outputs])
    return Predictions.of(task, labels, rows, kind.decode(found, labels))


def logits_of(predictor: Predictor, rows: Sequence[Row]) -> Logits:
    """Logits of rows, computed in batches."""
    return [item for at in range(0, len(rows), _BATCH) for item in predictor.logits(list(rows[at : at + _BATCH]))]


def check_finite(logits: Logits) -> None:
    """Check logits. NaN for a whole word means that it was cut off; any other value must be finite.

    Raises:
        FloatingPointError: a logit is NaN or infinite.
    """
    for item in logits:
        words = np.atleast_2d(item)
        if not np.isfinite(words[~np.isnan(words).all(axis=1)]).all() or (item.ndim == 1 and np.isnan(item).any()):
            raise FloatingPointError("logits must be finite, but some are NaN or infinite on held-out rows")


def _outputs(own: Sequence[str], labels: Sequence[str]) -> list[int]:
    """For every label of the data, the number of the model's output that belongs to it."""
    if set(own) != set(labels):
        raise ModelError(
            f"the model's labels must be those of the data, but it has {', '.join(sorted(own))} and the data "
            f"{', '.join(sorted(labels))}"
        )
    return [list(own).index(label) for label in labels]
