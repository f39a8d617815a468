"""The rules by which a study ends, the same for every engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from podium.hpo.experiment import Experiment
from podium.records import TrialRecord

Outcome = Literal["goal", "failures", "budget", "suggestions"]
"""What ended a study. `suggestions`: the algorithm has none left, as in Katib's ExperimentSuggestionEndReached."""


class Progress:
    """Counts the trials of a study as they end, each once, and says when the study is over.

    Attributes:
        ended: number of trials that succeeded, failed or were pruned; all of them use up the budget.
        failed: number of trials that failed.
        goal_reached: whether a succeeded trial meets the goal or, as in Katib, a pruned one with metrics does.
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._experiment = experiment
        self.ended = 0
        self.failed = 0
        self.goal_reached = False
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> None:
        """Count a trial, unless it is still running."""
        self.ended += trial.status != "running"
        self.failed += trial.status == "failed"
        objective = self._experiment.objective
        score = trial.score if trial.status == "succeeded" else None
        if trial.status == "pruned" and objective.metric in trial.metrics:
            score = objective.value(trial.metrics)
        self.goal_reached |= score is not None and objective.reached(score)

    @property
    def outcome(self) -> Outcome | None:
        """Why the study is over, or None while it goes on.

        If several reasons hold, the order is Katib's (`UpdateExperimentStatusCondition`): goal, failures, budget,
        suggestions.
        """
        if self.goal_reached:
            return "goal"
        if self.failed > self._experiment.max_failed_trials:
            return "failures"
        if self.ended >= self._experiment.max_trials:
            return "budget"
        most = self._experiment.most_trials
        return "suggestions" if most is not None and self.ended >= most else None
