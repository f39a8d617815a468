"""Trials of a study: what a ledger holds of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Literal, Self

from podium.records.base import Frozen, Scalar

TrialStatus = Literal["running", "succeeded", "failed", "pruned"]


class Report(Frozen):
    """One value of the objective that a trial reported before it ended.

    Attributes:
        value: finite; of a cross-validated trial the mean over the folds up to this one, as if it ended here.
        fold: during which it was reported; null for a trial without folds.
        epoch: (fractional) epoch of that fold; null at the end of a fold and without epochs.
        progress: folds done, the one under way counted by the share of its training, in hundredths: where trials of
            different lengths are compared; null for a trial without folds.
    """

    value: float
    fold: int | None = None
    epoch: float | None = None
    progress: float | None = None


class Observed(Frozen):
    """What a trial reported for one metric over its whole run, in Katib's terms."""

    min: float
    max: float
    latest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summary of at least one value, in the order of their reports."""
        return cls(min=min(values), max=max(values), latest=values[-1])


class StoppingRule(Frozen):
    """When a trial is stopped before its end; fixed when the trial begins.

    Attributes:
        algorithm: the early stopping algorithm that made the rule.
        direction: of the objective.
        compared: `best`: the best value so far; `latest`: the value reported last.
        point: what the thresholds are given by: `number` of the report, counted from 1, or `progress` of the trial.
        start_step: number of the first report that is judged.
        thresholds: by point; a trial that is worse than one of them is stopped. By progress, the nearest one at or
            before the report counts, within its fold.
    """

    algorithm: str
    direction: Literal["maximize", "minimize"]
    compared: Literal["best", "latest"]
    point: Literal["number", "progress"] = "number"
    start_step: int = 1
    thresholds: dict[float, float]

    def threshold(self, reports: Sequence[Report]) -> float | None:
        """What a trial with these reports has to reach at the last one; None: it is not judged there."""
        if len(reports) < self.start_step:
            return None
        progress = reports[-1].progress
        if self.point == "number" or progress is None:
            return self.thresholds.get(len(reports))
        reached = [point for point in self.thresholds if point <= progress and ceil(point) == ceil(progress)]
        return self.thresholds[max(reached)] if reached else None

    def stops(self, reports: Sequence[Report]) -> bool:
        """Whether a trial with these reports is stopped at the last one."""
        threshold = self.threshold(reports)
        if threshold is None:
            return False
        sign = 1.0 if self.direction == "maximize" else -1.0
        values = [sign * report.value for report in reports]
        return (max(values) if self.compared == "best" else values[-1]) < sign * threshold


class TrialRecord(Frozen):
    """One trial: k-fold cross-validation of one set of hyperparameters, or one run of a command.

    Attributes:
        number: 0-based, unique within the study.
        status: `pruned` is what Katib calls early stopped.
        labels: what the search algorithm must remember of its suggestion, such as the generation of an evolution.
        rule: when the trial is stopped early; null: never.
        reports: values of the objective on the way, in order: of the folds by number, whichever ended first.
        fold_scores: objective metric of each finished fold, by fold number in text form.
        score: the objective of a trial that succeeded: the mean over its folds. Of a pruned one its last value, if any.
        metrics: every metric that was collected, the objective among them, by name.
        reason: of a trial that failed or was pruned: a stable word for machines, the name of the error's class.
        error: the same for people.
        kills: how often its worker was killed from outside and it was executed again.
    """

    number: int
    params: dict[str, Scalar]
    status: TrialStatus
    labels: dict[str, Scalar] = {}
    rule: StoppingRule | None = None
    reports: tuple[Report, ...] = ()
    fold_scores: dict[str, float] = {}
    fold_metrics: dict[str, dict[str, float]] = {}
    fold_seconds: dict[str, float] = {}
    score: float | None = None
    metrics: dict[str, Observed] = {}
    reason: str | None = None
    error: str | None = None
    kills: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def should_stop(self) -> bool:
        """Whether its rule stops it at its last report."""
        return self.rule is not None and self.rule.stops(self.reports)
