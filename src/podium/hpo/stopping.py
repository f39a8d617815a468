"""Early stopping: which rule a new trial begins with, from the trials that ended before it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from statistics import fmean, median

from podium.hpo.experiment import Experiment
from podium.records import StoppingRule, TrialRecord


class Stopper:
    """Makes the stopping rules of a study; a function of the succeeded trials it was told, in any order.

    `medianstop` is Katib's rule (`pkg/earlystopping/v1beta1/medianstop`): the threshold is the *mean*, over succeeded
    trials, of the mean of each one's first `start_step` reports; a trial is judged once, at its `start_step`-th report,
    by its best value so far. `median` is the median stopping rule of Golovin et al., "Google Vizier" (KDD 2017),
    section 3.2.2, with the values at the same report in place of running averages: from the `start_step`-th report on,
    a trial whose last value is worse than the median of what succeeded trials reported at that point is stopped.
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._chosen = experiment.early_stopping
        self._direction = experiment.objective.direction
        self._means: list[float] = []
        self._at: dict[int, list[float]] = {}
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> None:
        """Learn from a trial that ended; only those that succeeded and made reports count."""
        if self._chosen is None or trial.status != "succeeded" or not trial.reports:
            return
        values = [report.value for report in trial.reports]
        if self._chosen.name == "medianstop":
            self._means.append(fmean(values[: self._start]))
            return
        for number, value in enumerate(values, start=1):
            insort(self._at.setdefault(number, []), value)

    def rule(self) -> StoppingRule | None:
        """The rule for a trial that begins now; None lets it run to its end."""
        if self._chosen is None:
            return None
        required = int(self._chosen.settings["min_trials_required"])
        if self._chosen.name == "medianstop":
            found = {self._start: fmean(self._means)} if len(self._means) >= required else {}
        else:
            found = {
                number: median(values)
                for number, values in sorted(self._at.items())
                if number >= self._start and len(values) >= required
            }
        if not found:
            return None
        compared = "best" if self._chosen.name == "medianstop" else "latest"
        return StoppingRule(algorithm=self._chosen.name, direction=self._direction, compared=compared, thresholds=found)

    @property
    def _start(self) -> int:
        assert self._chosen is not None
        return int(self._chosen.settings["start_step"])
