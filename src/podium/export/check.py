"""Is a variant still the model it was made from? Judged on held-out rows: by its logits, and by its quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.benchmarking.sampling import sample_rows
from podium.data.artifact import DataArtifact, documents_of
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.predictions import Predictions
from podium.inference.predictor import Predictor
from podium.inference.rows import Row, row_length
from podium.models.onnx_package import OUTSIDE
from podium.records import VariantCheck

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of the intervals in a check: fixed, since a setting of the selection must not build a variant again."""

NOT_FINITE, LOGITS, QUALITY = "not-finite", "logits-differ", "quality-lost"

_COMPARED, _BATCH = 64, 32

Logits = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Rows:
    """The test rows of a data artifact; `truth` and `documents` as `Predictions` has them."""

    labels: tuple[str, ...]
    ids: list[str]
    rows: list[Any]
    truth: Any
    task: Any
    documents: tuple[str, ...] | None = None

    @classmethod
    def of(cls, artifact: DataArtifact) -> Rows:
        """Read them."""
        test, ner = artifact.test, artifact.task == "ner"
        truth: Any = np.array(test["label"]) if not ner else [[artifact.labels[i] for i in row] for row in test["tags"]]
        rows = list(test["tokens" if ner else "text"])
        return cls(artifact.labels, list(test["id"]), rows, truth, artifact.task, documents_of(test))


def compared_rows(rows: Sequence[Any], seed: int) -> list[Any]:
    """The rows whose logits are compared: few, of every length, in no order, so that batches are padded."""
    return sample_rows(rows, min(_COMPARED, len(rows)), seed)


def logits_of(predictor: Predictor, rows: Sequence[Row]) -> Logits:
    """Logits of rows in batches."""
    return [item for at in range(0, len(rows), _BATCH) for item in predictor.logits(list(rows[at : at + _BATCH]))]


def predict(predictor: Predictor, held: Rows) -> Predictions:
    """The variant's own predictions of the held-out rows.

    Raises:
        FloatingPointError: a logit is NaN or infinite.
    """
    order = np.argsort([-row_length(row) for row in held.rows], kind="stable")
    found: list[Any] = [None] * len(order)
    for index, scores in zip(order, logits_of(predictor, [held.rows[index] for index in order]), strict=True):
        found[index] = scores
    _check_finite(found)
    ids = tuple(held.ids)
    if held.task == "ner":
        labels = held.labels if OUTSIDE in held.labels else (*held.labels, OUTSIDE)
        predicted = [_tags(scores, held.labels) for scores in found]
        return Predictions(held.task, labels, ids, held.truth, predicted, documents=held.documents)
    scores = np.array(found, dtype=np.float64)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    return Predictions(held.task, held.labels, ids, held.truth, scores.argmax(axis=1), probabilities)


def compare_logits(eager: Logits, own: Logits) -> tuple[float, float]:
    """Largest absolute difference of a logit, and largest absolute logit of `eager`.

    Raises:
        FloatingPointError: a logit of the variant is NaN or infinite.
    """
    _check_finite(own)
    first, second = (np.concatenate([item.ravel() for item in scores]) for scores in (eager, own))
    return float(np.nanmax(np.abs(first - second))), float(np.nanmax(np.abs(first)))


def check(
    logits: tuple[float, float],
    rows: int,
    tolerance: float,
    own: Predictions,
    eager: Predictions,
    metric: str,
    margin: float,
    seed: int,
) -> VariantCheck:
    """Compare the predictions of a variant with those of the eager model, and put all findings together.

    Args:
        logits: difference and scale, as `compare_logits` gives them; of so many
        rows: rows.
        tolerance: allowed difference as a share of the scale.
        own: the variant's predictions.
        eager: the eager model's predictions of the same rows.
        metric: quality, larger is better.
        margin: loss from which on a variant fails.
        seed: of the bootstrap.
    """
    difference, _ = paired_difference(own, eager, metric, CONFIDENCE, RESAMPLES, seed)
    return VariantCheck(
        rows=rows,
        logit_difference=logits[0],
        logit_scale=logits[1],
        tolerance=tolerance,
        agreement=_agreement(own, eager.aligned_to(own.ids)),
        metric=metric,
        score=bootstrap_interval(own, metric, CONFIDENCE, RESAMPLES, seed),
        difference=difference,
        margin=margin,
    )


def verdict(found: VariantCheck) -> tuple[str, str]:
    """Code and reason why a variant may not be benchmarked; both empty when it may."""
    if found.logit_difference > found.tolerance * found.logit_scale:
        return LOGITS, (
            f"logits differ from the eager model's by up to {found.logit_difference:.4g} on {found.rows} held-out "
            f"rows, more than {found.tolerance:g} of their scale of {found.logit_scale:.4g}: it computes something else"
        )
    loss = found.difference
    if loss.high < -found.margin:
        return QUALITY, (
            f"{found.metric} on held-out rows is {loss.value:+.4f} against the eager model, between {loss.low:+.4f} "
            f"and {loss.high:+.4f} at {loss.confidence:.0%} confidence: wholly beyond the loss of "
            f"{found.margin:g} that benchmark.max_quality_loss allows"
        )
    return "", ""


def _agreement(own: Predictions, eager: Predictions) -> float:
    if own.task == "ner":
        pairs = [pair for rows in zip(own.predicted, eager.predicted, strict=True) for pair in zip(*rows, strict=True)]
        return float(np.mean([one == other for one, other in pairs]))
    return float(np.mean(own.predicted == eager.predicted))


def _tags(scores: NDArray[np.float32], labels: tuple[str, ...]) -> list[str]:
    return [OUTSIDE if np.isnan(word[0]) else labels[int(word.argmax())] for word in scores]


def _check_finite(scores: Logits) -> None:
    """NaN for a whole word means that it was cut off; anything else that is not finite is an error."""
    for item in scores:
        words = np.atleast_2d(item)
        if not np.isfinite(words[~np.isnan(words).all(axis=1)]).all() or (item.ndim == 1 and np.isnan(item).any()):
            raise FloatingPointError("logits must be finite, but some are NaN or infinite on held-out rows")
