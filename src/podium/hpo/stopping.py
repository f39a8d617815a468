"""Early stopping: which rule a new trial begins with, from the trials that ended before it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from math import ceil
from statistics import fmean, median

from podium.config.algorithms import MedianStop, NoStopping
from podium.hpo.experiment import Experiment
from podium.records import Report, StoppingRule, TrialRecord

_Curve = Sequence[tuple[float, float]]
"""Points of a trial, in order, and the values that it reported there."""


class Stopper:
    """Makes the stopping rules of a study; a function of the succeeded trials that it has seen, in any order.

    `medianstop` is Katib's rule (`pkg/earlystopping/v1beta1/medianstop`): the threshold is the *mean*, over succeeded
    trials, of the mean of each one's first `start_step` reports; a trial is judged once, at its `start_step`-th report,
    by its best value so far. `median` is the median stopping rule of Golovin et al., "Google Vizier" (KDD 2017),
    section 3.2.2, with the values at the same point in place of running averages: from the `start_step`-th report on,
    a trial whose last value is worse than the median of what succeeded trials had reported by that point is stopped.
    The point is the share of the same fold's training (see `Report.progress`), so that trials of more epochs or smaller
    batches are compared with others at the same share; without folds it is the number of the report.
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._rule = experiment.early_stopping
        self._direction = experiment.objective.direction
        self._means: list[float] = []
        self._curves: list[_Curve] = []
        self._at: dict[float, list[float]] = {}
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> None:
        """Learn from a trial that ended; only those that succeeded and made reports count."""
        if isinstance(self._rule, NoStopping) or trial.status != "succeeded" or not trial.reports:
            return
        if isinstance(self._rule, MedianStop):
            first = trial.reports[: self._rule.settings.start_step]
            self._means.append(fmean(report.value for report in first))
            return
        curve = [(_point(report, number), report.value) for number, report in enumerate(trial.reports, start=1)]
        for point in {point for point, _ in curve} - self._at.keys():
            self._at[point] = sorted(v for other in self._curves if (v := _reached(other, point)) is not None)
        self._curves.append(curve)
        for point, known in self._at.items():
            if (value := _reached(curve, point)) is not None:
                insort(known, value)

    def rule(self) -> StoppingRule | None:
        """The rule for a trial that begins now; None lets it run to its end."""
        rule, common = self._rule, {"algorithm": self._rule.name, "direction": self._direction}
        if isinstance(rule, NoStopping):
            return None
        required, start = rule.settings.min_trials_required, rule.settings.start_step
        if isinstance(rule, MedianStop):
            if len(self._means) < required:
                return None
            return StoppingRule(**common, compared="best", thresholds={start: fmean(self._means)})
        found = {point: median(values) for point, values in sorted(self._at.items()) if len(values) >= required}
        if not found:
            return None
        return StoppingRule(**common, compared="latest", point="progress", start_step=start, thresholds=found)


def _point(report: Report, number: int) -> float:
    return float(number) if report.progress is None else report.progress


def _reached(curve: _Curve, point: float) -> float | None:
    """The value that was reported last at or before a point, within the same fold."""
    return next((value for at, value in reversed(curve) if at <= point and ceil(at) == ceil(point)), None)
