"""An evaluation of one model, alone or against another one on the rows that both answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.evaluation.answered import Answered
from podium.evaluation.bootstrap import difference_of, interval_of
from podium.evaluation.calibration import Calibration, calibration
from podium.evaluation.metrics import details
from podium.evaluation.slices import Slicing, slicing
from podium.evaluation.thresholds import Thresholds, thresholds
from podium.records.base import Frozen, Interval

CONFIDENCE, RESAMPLES, SEED = 0.95, 1000, 0

_EXAMPLES = 20


class Evaluated(Frozen):
    """What was evaluated; see `podium.evaluation.answered.Answered`."""

    name: str
    model: str
    source: str
    task: str
    rows: int
    right: int
    unanswered: int
    labels: tuple[str, ...]
    positive: str
    outcomes: dict[str, int]
    notes: tuple[str, ...]


class MetricResult(Frozen):
    """One metric; see `podium.evaluation.answered.Scored`."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    interval: Interval


class MetricDifference(Frozen):
    """One metric of both models on the rows that they share; the difference is this one minus the other.

    Attributes:
        real: whether the interval leaves out zero.
        better: whether this one is better; null where the difference is not real.
    """

    name: str
    title: str
    value: float
    against: float
    difference: Interval
    p_value: float
    real: bool
    better: bool | None


class Example(Frozen):
    """A row that was answered wrongly."""

    row: str
    truth: Any
    answer: Any
    probability: float | None


class Change(Frozen):
    """A row that one of two models got right."""

    row: str
    truth: Any
    before: Any
    after: Any
    now_right: bool


class Against(Frozen):
    """This model against another one.

    Attributes:
        rows: that both have. `only_one` and `only_other` count the rows of one of them alone.
        changes: the rows that one of the two got right, in the order of the data.
    """

    other: Evaluated
    rows: int
    only_one: int
    only_other: int
    metrics: tuple[MetricDifference, ...]
    both_right: int
    both_wrong: int
    changes: tuple[Change, ...]

    @property
    def lost(self) -> int:
        """Rows that were right with the other model and are wrong with this one."""
        return sum(not one.now_right for one in self.changes)

    @property
    def gained(self) -> int:
        """Rows that were wrong with the other model and are right with this one."""
        return sum(one.now_right for one in self.changes)


class Evaluation(Frozen):
    """All that was found; what could not be is in `skipped`, with the reason.

    Attributes:
        key: digest of all that shapes the evaluation; its first digits name its directory.
        details: see `podium.evaluation.metrics.details`.
        examples: rows that were answered wrongly, the surest first where probabilities are known.
    """

    key: str
    run: Evaluated
    confidence: float
    resamples: int
    seed: int
    metrics: tuple[MetricResult, ...]
    details: dict[str, Any]
    examples: tuple[Example, ...]
    calibration: Calibration | None
    thresholds: Thresholds | None
    slicings: tuple[Slicing, ...]
    against: Against | None
    skipped: dict[str, str]


def evaluate(one: Answered, other: Answered | None = None, by: Sequence[str] = (), key: str = "") -> Evaluation:
    """Evaluate a model.

    Raises:
        InputError: a column is missing, or the two models share no rows or differ in their truth.
    """
    against = _against(one, other) if other is not None else None
    place = one.predictions.labels.index(one.positive) if one.predictions and one.positive else None
    slicings = tuple(slicing(one, column, CONFIDENCE, RESAMPLES, SEED) for column in dict.fromkeys(by))
    curve, levels, skipped = None, None, {}
    if one.predictions is None or one.predictions.probabilities is None:
        skipped = dict.fromkeys(("calibration", "thresholds"), "the answers have no probabilities")
    else:
        curve = calibration(one.predictions, place, CONFIDENCE, SEED)
        levels = thresholds(one.predictions, place, CONFIDENCE)
        if curve is None:
            skipped["calibration"] = "no row has a valid answer"
        if levels is None:
            skipped["thresholds"] = "no row has a valid answer, or none has the label"
    return Evaluation(
        key=key,
        run=_about(one),
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        seed=SEED,
        metrics=tuple(
            MetricResult(
                name=metric.name,
                title=metric.title,
                better=metric.better,
                interval=interval_of(metric.sums, one.documents, CONFIDENCE, RESAMPLES, SEED, metric.exact),
            )
            for metric in one.metrics
        ),
        details=details(one.predictions)
        if one.predictions
        else {"no_answer": one.unanswered}
        if one.unanswered
        else {},
        examples=_examples(one),
        calibration=curve,
        thresholds=levels,
        slicings=slicings,
        against=against,
        skipped=skipped,
    )


def probability_of_answers(one: Answered) -> NDArray[np.float64] | None:
    """The probability of each answer, shape (rows,); None where there is no single one."""
    predictions = one.predictions
    if predictions is None or predictions.probabilities is None or np.ndim(predictions.predicted) != 1:
        return None
    given = np.maximum(np.asarray(predictions.predicted), 0)
    found: NDArray[np.float64] = np.asarray(predictions.probabilities)[np.arange(len(given)), given]
    return found


def _about(one: Answered) -> Evaluated:
    return Evaluated(
        name=one.name,
        model=one.model,
        source=one.source,
        task=one.task,
        rows=len(one),
        right=int(one.right.sum()),
        unanswered=one.unanswered,
        labels=one.predictions.labels if one.predictions else (),
        positive=one.positive,
        outcomes=dict(one.outcomes),
        notes=one.notes,
    )


def _examples(one: Answered) -> tuple[Example, ...]:
    likely = probability_of_answers(one)
    wrong = np.flatnonzero(~one.right)
    if likely is not None:
        wrong = wrong[np.argsort(-likely[wrong], kind="stable")]
    return tuple(
        Example(
            row=one.ids[row],
            truth=one.truth[row],
            answer=one.answers[row],
            probability=None if likely is None or one.answers[row] is None else float(likely[row]),
        )
        for row in wrong[:_EXAMPLES]
    )


def _against(one: Answered, other: Answered) -> Against:
    if one.task != other.task:
        raise InputError(f"two runs must be of one task to be compared, but got {one.task} and {other.task}")
    places = {row: place for place, row in enumerate(other.ids)}
    own = np.array([place for place, row in enumerate(one.ids) if row in places], dtype=np.int64)
    if not len(own):
        raise InputError(
            f"two runs must have rows in common to be compared, but {one.name} ({one.ids[0]}, ...) and {other.name} "
            f"({other.ids[0]}, ...) have none: they are of other data, or of other splits"
        )
    theirs = np.array([places[one.ids[place]] for place in own], dtype=np.int64)
    if differing := [one.ids[a] for a, b in zip(own, theirs, strict=True) if one.truth[a] != other.truth[b]]:
        raise InputError(
            f"the rows of two runs must have the same labels to be compared, but {len(differing)} of {len(own)} differ "
            f"(first: {differing[0]}); evaluate both on the same data"
        )
    documents, of_rows = (one.documents, own) if one.documents else (other.documents, theirs)
    units = None if documents is None else [documents[place] for place in of_rows]
    known = {metric.name: metric for metric in other.metrics}
    found = []
    for metric in one.metrics:
        if metric.name in known:
            first, second = metric.of(own), known[metric.name].of(theirs)
            difference, p_value = difference_of(first, second, units, CONFIDENCE, RESAMPLES, SEED)
            real = not difference.low <= 0 <= difference.high
            found.append(
                MetricDifference(
                    name=metric.name,
                    title=metric.title,
                    value=first.total(),
                    against=second.total(),
                    difference=difference,
                    p_value=p_value,
                    real=real,
                    better=(difference.value > 0) == (metric.better == "higher") if real else None,
                )
            )
    now, before = one.right[own], other.right[theirs]
    changes = [
        Change(
            row=one.ids[own[place]],
            truth=one.truth[own[place]],
            before=other.answers[theirs[place]],
            after=one.answers[own[place]],
            now_right=bool(now[place]),
        )
        for place in np.flatnonzero(now != before)
    ]
    return Against(
        other=_about(other),
        rows=len(own),
        only_one=len(one) - len(own),
        only_other=len(other) - len(own),
        metrics=tuple(found),
        both_right=int((now & before).sum()),
        both_wrong=int((~now & ~before).sum()),
        changes=tuple(changes),
    )
