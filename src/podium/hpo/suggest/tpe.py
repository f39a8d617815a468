"""Tree-structured Parzen estimator, by Optuna, with a bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from podium.hpo.experiment import Experiment
from podium.hpo.space import Params
from podium.hpo.suggest.base import seed_of
from podium.hpo.suggest.modelled import Modelled
from podium.hpo.suggest.optuna_space import new_study
from podium.hpo.suggest.window import Window
from podium.records import TrialRecord

BEST = 25
"""Optuna's TPE counts at most 25 trials among the good ones, so the best 25 leave their density as it would be."""

RECENT = 256
"""The other density forgets: Optuna weights its trials by age, and the oldest weigh next to nothing."""


class Tpe(Modelled):
    """`tpe` models each parameter by itself, `multivariate-tpe` all of them together; see Optuna's TPESampler.

    The first `n_startup_trials` are those of random search. Running trials count as bad ones, so that trials that run
    at once differ (constant liar). A pruned trial is worse than one that succeeded, and one that made more reports
    better than one that made fewer. Failed trials teach nothing.
    """

    def __init__(
        self, experiment: Experiment, trials: Iterable[TrialRecord], prior: Iterable[TrialRecord] = ()
    ) -> None:
        settings = experiment.algorithm.settings.model_dump()
        startup = settings.pop("n_startup_trials")
        super().__init__(experiment, trials, Window(experiment.objective, BEST, RECENT, prior), startup)
        self._settings = {"multivariate": experiment.algorithm.name == "multivariate-tpe", **settings}
        if experiment.space.conditional and self._settings["multivariate"]:
            self._settings["group"] = True
        self._study = new_study(experiment.objective.direction)
        self._held: list[tuple[TrialRecord, int]] = []

    def _modelled(self, number: int) -> Params:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        self._synchronise()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # `group` is experimental in Optuna.
            self._study.sampler = TPESampler(
                seed=seed_of(self._experiment, number), n_startup_trials=0, **self._settings
            )
        return self._space.ask(self._study)

    def _synchronise(self) -> None:
        """Bring Optuna's study to what the window holds: by what is new where that is all, else from the start."""
        wanted = self._window.trials()
        for index, (held, number) in enumerate(self._held):
            trial = wanted[index]
            if held is trial:
                continue
            if held.number != trial.number or held.status != "running" or trial.status == "pruned":
                self._study, self._held = new_study(self._experiment.objective.direction), []
                break
            self._end(number, trial)
            self._held[index] = trial, number
        for trial in wanted[len(self._held) :]:
            self._held.append((trial, len(self._study.get_trials(deepcopy=False))))
            self._study.add_trial(self._frozen(trial))

    def _end(self, number: int, trial: TrialRecord) -> None:
        from optuna.trial import TrialState

        if trial.status == "succeeded":
            self._study.tell(number, trial.score)
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def _frozen(self, trial: TrialRecord) -> Any:
        from optuna.trial import TrialState

        state = {
            "running": TrialState.RUNNING,
            "succeeded": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED if trial.score is not None else TrialState.FAIL,
        }.get(trial.status, TrialState.FAIL)
        return self._space.trial(trial, state, trial.score, len(trial.reports) if trial.status == "pruned" else None)
