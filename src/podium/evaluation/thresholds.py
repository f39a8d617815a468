"""What other thresholds would give: precision and recall by threshold, and accuracy by the share of rows answered."""

from __future__ import annotations

import numpy as np

from podium.evaluation.calibration import proportion
from podium.evaluation.predictions import Predictions
from podium.records.base import Frozen, Interval
from podium.tasks import TASKS
from podium.tasks.metrics import Floats, Integers

_MOST_POINTS = 100
_COVERAGES = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


class ThresholdPoint(Frozen):
    """What answering with a label from some probability on would give."""

    threshold: float
    precision: float
    recall: float
    f1: float


class CoveragePoint(Frozen):
    """Accuracy of the rows whose answer has at least some probability; `coverage` is their share of all rows."""

    coverage: float
    threshold: float
    accuracy: Interval


class Thresholds(Frozen):
    """Curves over the threshold.

    Attributes:
        of: the label, or `all labels`, that precision and recall are of.
        average_precision: area under precision over recall, in steps; null without `points`.
        points: by rising threshold; empty where no label is looked for.
        best: the point of the highest F1. It was chosen on these rows, so others will give less.
        coverage: by rising coverage; empty where a row may have several labels.
        at: accuracy at round shares of the rows, and at the largest that is reached.
    """

    of: str = ""
    average_precision: float | None = None
    points: tuple[ThresholdPoint, ...] = ()
    best: ThresholdPoint | None = None
    coverage: tuple[CoveragePoint, ...] = ()
    at: tuple[CoveragePoint, ...] = ()


def thresholds(predictions: Predictions, positive: int | None, confidence: float) -> Thresholds | None:
    """The curves that probabilities allow.

    A row without a valid answer has no label at any threshold, and is not answered at any coverage.

    Returns:
        None where no row has a valid answer, or nothing is to be found.
    """
    probabilities = np.asarray(predictions.probabilities)
    truth = np.asarray(predictions.truth)
    if not predictions.answered.any():
        return None
    if TASKS.get(predictions.task).decoding == "multi":
        return _precision_recall("all labels", (truth == 1).ravel(), probabilities.ravel())
    coverage, at = _coverage(predictions, confidence)
    if positive is None:
        return Thresholds(coverage=coverage, at=at)
    own = _precision_recall(predictions.labels[positive], truth == positive, probabilities[:, positive])
    return (own or Thresholds()).model_copy(update={"coverage": coverage, "at": at})


def _precision_recall(of: str, true: Integers, probability: Floats) -> Thresholds | None:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    if not true.any():
        return None
    precision, recall, levels = precision_recall_curve(true, probability)
    precision, recall = precision[:-1], recall[:-1]  # the last point belongs to no threshold
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    known = np.flatnonzero(levels > 0)
    if not len(known):
        return None

    def point(place: int) -> ThresholdPoint:
        figures = (float(one[place]) for one in (levels, precision, recall, f1))
        return ThresholdPoint(**dict(zip(("threshold", "precision", "recall", "f1"), figures, strict=True)))

    return Thresholds(
        of=of,
        average_precision=float(average_precision_score(true, probability)),
        points=tuple(point(place) for place in _thinned(known)),
        best=point(int(known[f1[known].argmax()])),
    )


def _coverage(
    predictions: Predictions, confidence: float
) -> tuple[tuple[CoveragePoint, ...], tuple[CoveragePoint, ...]]:
    answered = np.flatnonzero(predictions.answered)
    given = np.asarray(predictions.predicted)[answered]
    likely = np.asarray(predictions.probabilities)[answered, given]
    order = np.argsort(-likely, kind="stable")
    levels = likely[order]
    right = np.cumsum((given == np.asarray(predictions.truth)[answered])[order])
    # Rows of equal probability are answered together.
    ends = np.flatnonzero(np.append(levels[1:] < levels[:-1], True))

    def point(end: int) -> CoveragePoint:
        share = proportion(int(right[end]), end + 1, confidence)
        return CoveragePoint(coverage=(end + 1) / len(predictions), threshold=float(levels[end]), accuracy=share)

    reached = ((ends + 1) / len(predictions)).tolist()
    wanted = [next((place for place, one in enumerate(reached) if one >= share - 1e-12), None) for share in _COVERAGES]
    round_ones = dict.fromkeys(len(ends) - 1 if place is None else place for place in wanted)
    return tuple(point(int(end)) for end in _thinned(ends)), tuple(point(int(ends[place])) for place in round_ones)


def _thinned(places: Integers) -> Integers:
    """At most `_MOST_POINTS` of the places, evenly, with the first and the last."""
    picks = np.unique(np.linspace(0, len(places) - 1, min(len(places), _MOST_POINTS)).round().astype(np.int64))
    return places[picks]
