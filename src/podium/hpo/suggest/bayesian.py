"""Bayesian optimisation with a Gaussian process, by Optuna."""

from __future__ import annotations

from collections.abc import Iterable

from podium.errors import ConfigError
from podium.hpo.experiment import Experiment
from podium.hpo.space import Params
from podium.hpo.suggest.base import seed_of
from podium.hpo.suggest.modelled import Modelled
from podium.hpo.suggest.optuna_space import new_study
from podium.hpo.suggest.window import Window
from podium.records import TrialRecord

BEST, RECENT = 25, 96
"""Fitting a process costs the cube of its trials."""

_HONOURED = {"base_estimator": ("GP",), "acq_func": ("EI",), "acq_optimizer": ("auto", "lbfgs")}


class Bayesian(Modelled):
    """Expected improvement of a Gaussian process; see Optuna's GPSampler.

    The first `n_initial_points` (10) trials are those of random search. Running trials are accounted for by the
    expectation over what they may give. So are failed ones, which keeps the search from asking for their params again.
    A pruned trial counts with its last value for the same reason.
    """

    def __init__(
        self, experiment: Experiment, trials: Iterable[TrialRecord], prior: Iterable[TrialRecord] = ()
    ) -> None:
        settings = experiment.algorithm.settings.model_dump()
        for name, honoured in _HONOURED.items():
            if settings[name] is not None and settings[name] not in honoured:
                raise ConfigError(
                    f"setting {name!r} of algorithm 'bayesianoptimization' is honoured by Katib's scikit-optimize; on "
                    "this machine it is the expected improvement (EI) of a Gaussian process (GP) by gradient ascent "
                    f"(lbfgs), so it must be {' or '.join(honoured)}, but got {settings[name]!r}; leave it out"
                )
        startup = max(1, settings["n_initial_points"])
        super().__init__(experiment, trials, Window(experiment.objective, BEST, RECENT, prior), startup)

    def _modelled(self, number: int) -> Params:
        from optuna.samplers import GPSampler
        from optuna.trial import TrialState

        study = new_study(self._experiment.objective.direction)
        study.sampler = GPSampler(
            seed=seed_of(self._experiment, number), n_startup_trials=0, warn_independent_sampling=False
        )
        for trial in self._window.trials():
            state = TrialState.RUNNING if trial.score is None else TrialState.COMPLETE
            study.add_trial(self._space.trial(trial, state, trial.score))
        return self._space.ask(study)
