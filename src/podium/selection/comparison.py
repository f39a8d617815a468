"""Which of two models is measurably better on the same held-out rows?

Several claims at once are judged by Holm's procedure (Holm, "A Simple Sequentially Rejective Multiple Test Procedure",
Scandinavian Journal of Statistics 6, 1979), so that the chance of even one false claim stays below 1 - confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TypedDict, Unpack

import numpy as np

from podium.evaluation.bootstrap import paired_difference
from podium.evaluation.guessing import beyond_guessing
from podium.evaluation.predictions import Predictions
from podium.records import Comparison, Interval, LeaderboardEntry
from podium.tasks import TASKS

GUESSING = "guessing"
"""Name of the baseline that gives a model's answers to the rows by chance."""
_POWER = 0.8


class Budget(TypedDict):
    """How models are compared in a run: the level of intervals and tests, and resamples and seed of the bootstrap."""

    metric: str
    confidence: float
    resamples: int
    seed: int


def compare(
    challenger: tuple[str, Predictions], reference: tuple[str, Predictions], **budget: Unpack[Budget]
) -> Comparison:
    """Challenger minus reference by paired bootstrap; each is given as its name and its predictions.

    Raises:
        InputError: the predictions are not for the same task and rows, or do not support the metric.
    """
    difference, p_value = paired_difference(challenger[1], reference[1], **budget)
    found = Comparison(
        reference=reference[0],
        challenger=challenger[0],
        metric=budget["metric"],
        difference=difference,
        differing=_differing(challenger[1], reference[1]),
        p_value=p_value,
        measurably_worse=False,
    )
    return _judged(found, p_value)


def compare_with_guessing(name: str, predictions: Predictions, **budget: Unpack[Budget]) -> Comparison | None:
    """The model called `name` against its own answers in a random order; None for a task whose rows are lists of words.

    The tags of one sentence do not fit another one, and the baseline of the most frequent tags is a higher mark.
    """
    if TASKS.get(predictions.task).words:
        return None
    difference, p_value = beyond_guessing(predictions, budget["metric"], budget["confidence"], budget["seed"])
    found = Comparison(
        reference=GUESSING,
        challenger=name,
        metric=budget["metric"],
        difference=difference,
        p_value=p_value,
        measurably_worse=False,
    )
    return _judged(found, p_value)


def _differing(one: Predictions, other: Predictions) -> int:
    """How many rows, or documents, are answered differently."""
    pairs = zip(one.named("predicted"), other.aligned_to(one.ids).named("predicted"), strict=True)
    units = one.documents or other.documents or one.ids
    return len({unit for unit, (a, b) in zip(units, pairs, strict=True) if a != b})


def compare_with_best(
    ranked: Sequence[LeaderboardEntry], predictions: Mapping[str, Predictions], **budget: Unpack[Budget]
) -> tuple[Comparison, ...]:
    """Every champion but the first against the first, in the order of the leaderboard, adjusted for their number.

    Difference, interval and p-value depend on the two champions only. The adjusted p-value, and so what is called
    measurably worse, depends on all of them. Raises as `compare` does.
    """
    best, *others = [(entry.entrant, predictions[entry.entrant]) for entry in ranked]
    return adjusted([compare(other, best, **budget) for other in others])


def adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with the p-values that Holm adjusts for their number, and judged by these."""
    values = holm([item.p_value for item in comparisons])
    pairs = zip(comparisons, values, strict=True)
    return tuple(_judged(item.model_copy(update={"p_adjusted": value}), value) for item, value in pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; equal p-values stay equal."""
    ascending = np.argsort(p_values, kind="stable")
    raised = np.arange(len(p_values), 0, -1) * np.asarray(p_values)[ascending]
    found = np.empty(len(p_values))
    found[ascending] = np.maximum.accumulate(np.minimum(raised, 1.0))
    return [float(value) for value in found]


def shown_worse(comparison: Comparison) -> bool:
    """Whether the interval of the difference, of this comparison alone, lies wholly below zero."""
    return comparison.difference.high < 0


def shown_better(comparison: Comparison) -> bool:
    """Whether the interval of the difference, of this comparison alone, lies wholly above zero."""
    return comparison.difference.low > 0


def baseline_named(reference: str) -> str:
    """A baseline in a sentence."""
    return "guessing (its own answers in random order)" if reference == GUESSING else f"the {reference} baseline"


def as_good(comparison: Comparison, margin: float) -> bool:
    """Whether the challenger is shown to lose at most `margin`: its `lower_bound` is at least `-margin`."""
    return lower_bound(comparison) >= -margin


def lower_bound(comparison: Comparison) -> float:
    """The lower bound of the difference, widened where the two models differ on few rows.

    The bootstrap resamples only the losses that were seen, so with few of them its interval is too short. The
    half-width grows by sqrt(1 + 1/rows that differ), which is what half a row added to wins and to losses does to the
    standard error of paired proportions (Agresti and Min, Simple Improved Confidence Intervals for Comparing Matched
    Proportions, Statistics in Medicine 24, 2005). Equal predictions are as good by definition.
    """
    difference = comparison.difference
    if not comparison.differing:
        return difference.low
    return difference.value - (difference.value - difference.low) * sqrt(1 + 1 / comparison.differing)


def rows_to_settle(comparison: Comparison, margin: float, rows: int) -> int | None:
    """About how many held-out rows would show whether the challenger is as good, in two significant digits.

    The rows with which the interval clears `-margin` on one side with a power of 80 %, if the difference is as measured
    and the standard error falls with the root of the rows (Chow, Shao and Wang, Sample Size Calculations in Clinical
    Research, 2008, section 3.1).

    Args:
        rows: held-out rows behind the comparison.

    Returns:
        None where the interval lies on one side of `-margin` already, or where the difference is the margin itself.
    """
    from scipy.special import ndtri

    difference = comparison.difference
    distance = abs(difference.value + margin)
    if as_good(comparison, margin) or difference.high < -margin or distance == 0:
        return None
    quantile = float(ndtri((1 + difference.confidence) / 2))
    error = (difference.high - difference.low) / (2 * quantile)
    needed = rows * ((quantile + float(ndtri(_POWER))) * error / distance) ** 2
    return int(float(f"{max(needed, rows):.2g}"))


def described(difference: Interval) -> str:
    """A difference in a metric with its interval, in words."""
    return (
        f"{difference.value:+.4f}, between {difference.low:+.4f} and {difference.high:+.4f} at "
        f"{difference.confidence:.0%} confidence"
    )


def _judged(comparison: Comparison, p_value: float) -> Comparison:
    shown = p_value <= 1 - comparison.difference.confidence
    value = comparison.difference.value
    return comparison.model_copy(
        update={"measurably_worse": shown and value < 0, "measurably_better": shown and value > 0}
    )
