"""Checks on held-out rows that a variant still is the model it was made from: by its logits and by its quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from podium.benchmarking.sampling import sample_rows
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.predictions import Predictions
from podium.inference.predict import Logits, check_finite
from podium.records import VariantCheck
from podium.tasks import TASKS

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of the intervals in a check. They are fixed, so that no setting of the selection builds variants again."""

NOT_FINITE, LOGITS, QUALITY = "not-finite", "logits-differ", "quality-lost"

_COMPARED = 64


def compared_rows(rows: Sequence[Any], seed: int) -> list[Any]:
    """A few rows of every length whose logits are compared, in random order, so that batches are padded."""
    return sample_rows(rows, min(_COMPARED, len(rows)), seed)


def compare_logits(eager: Logits, own: Logits) -> tuple[float, float]:
    """Largest absolute difference of a logit, and largest absolute logit of `eager`.

    Raises:
        FloatingPointError: a logit of the variant is NaN or infinite.
    """
    check_finite(own)
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
    """Compare the predictions of a variant with those of the eager model, and collect all findings.

    Args:
        logits: difference and scale, as `compare_logits` gives them.
        rows: number of rows whose logits were compared.
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
        agreement=TASKS.get(own.task).agreement(own.named("predicted"), eager.aligned_to(own.ids).named("predicted")),
        metric=metric,
        score=bootstrap_interval(own, metric, CONFIDENCE, RESAMPLES, seed),
        difference=difference,
        margin=margin,
    )


def verdict(found: VariantCheck) -> tuple[str, str]:
    """Code and reason why a variant must not be benchmarked; both are empty when it may be."""
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
