"""Is a candidate measurably worse than another on the same held-out rows?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from podium.errors import InputError
from podium.evaluation.bootstrap import paired_difference
from podium.evaluation.predictions import Predictions
from podium.records import Comparison, LeaderboardEntry


def compare(
    challenger: tuple[str, Predictions],
    reference: tuple[str, Predictions],
    *,
    metric: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> Comparison:
    """Challenger minus reference by paired bootstrap; each is given as its name and its predictions.

    The challenger is measurably worse when the interval of the difference lies wholly below zero.

    Raises:
        InputError: the predictions are not for the same rows, or do not support the metric.
    """
    difference, p_value = paired_difference(challenger[1], reference[1], metric, confidence, resamples, seed)
    return Comparison(
        reference=reference[0],
        challenger=challenger[0],
        metric=metric,
        difference=difference,
        p_value=p_value,
        measurably_worse=difference.high < 0,
    )


def compare_with_best(
    ranked: Sequence[LeaderboardEntry],
    predictions: Mapping[str, Predictions],
    *,
    metric: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[Comparison, ...]:
    """Every candidate but the first against the first, in the order of `ranked`.

    Each comparison depends on its two candidates only, so further entrants do not change it.

    Args:
        ranked: the leaderboard, best first.
        predictions: held-out predictions by backbone.
        metric: what is compared, larger is better.
        confidence: coverage of the interval of each difference.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: a candidate has no predictions, or they are not for the same rows.
    """
    missing = [entry.backbone for entry in ranked if entry.backbone not in predictions]
    if missing:
        raise InputError(f"every candidate must have held-out predictions, but {', '.join(missing)} has none")
    candidates = [(entry.backbone, predictions[entry.backbone]) for entry in ranked]
    return tuple(
        compare(other, candidates[0], metric=metric, confidence=confidence, resamples=resamples, seed=seed)
        for other in candidates[1:]
    )
