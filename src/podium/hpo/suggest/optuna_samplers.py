"""The algorithms that fit a model to the trials of a window: Optuna's samplers, with bounded memory.

A sampler is made anew for every suggestion, with a seed that follows from the trial's number, over an Optuna study that
holds what the window holds. A resumed study therefore suggests what an undisturbed one would have.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from podium.errors import ConfigError
from podium.hpo.experiment import Experiment
from podium.hpo.space import Params
from podium.hpo.suggest.base import Suggester, Suggestion, random_params, seed_of
from podium.hpo.suggest.optuna_space import OptunaSpace, new_study
from podium.hpo.suggest.window import Window
from podium.records import TrialRecord

_HONOURED = {"base_estimator": ("GP",), "acq_func": ("EI",), "acq_optimizer": ("auto", "lbfgs")}
"""Values of the settings of `bayesianoptimization` that Optuna's sampler stands by."""


class ModelBased(Suggester):
    """Suggests what random search would until enough trials have a score, and then what a model of them says.

    Attributes:
        best: how many of the best trials before the recent ones the model sees.
        recent: how many recent trials it sees.
        startup_setting: name of the setting that says how many trials must have a score before the model is asked.
    """

    best: int
    recent: int
    startup_setting: str

    def __init__(
        self, experiment: Experiment, trials: Iterable[TrialRecord], prior: Iterable[TrialRecord] = ()
    ) -> None:
        """Make a suggester from the trials that the ledger holds and those of another study."""
        self._experiment = experiment
        self._settings = experiment.algorithm.settings.model_dump()
        self._startup = self._settings.pop(self.startup_setting)
        self._space = OptunaSpace(experiment.space)
        self._study = new_study(experiment.objective.direction)
        self._window = Window(experiment.objective, self.best, self.recent, prior)
        for trial in trials:
            self._window.add(trial)

    def suggest(self, number: int) -> Suggestion:
        """See `Suggester`."""
        if self._window.scored < self._startup:
            params = random_params(self._experiment, number)
        else:
            params = self._modelled(seed_of(self._experiment, number))
        self._window.add(TrialRecord(number=number, params=params, status="running"))
        return Suggestion(params)

    def tell(self, record: TrialRecord) -> None:
        """See `Suggester`."""
        self._window.add(record)

    @abstractmethod
    def _modelled(self, seed: int) -> Params:
        """What the model suggests; all randomness comes from the seed."""


class Tpe(ModelBased):
    """`tpe` models each parameter by itself, `multivariate-tpe` all of them together; see Optuna's TPESampler.

    Running trials count as bad ones, so that trials that run at once differ (constant liar). A pruned trial is worse
    than one that succeeded, and one that made more reports better than one that made fewer. Failed trials teach
    nothing.

    Optuna's TPE counts at most 25 trials among the good ones, so the best 25 leave their density as it would be. The
    other density forgets: Optuna weights its trials by age, and the oldest have next to no weight.
    """

    best, recent, startup_setting = 25, 256, "n_startup_trials"

    def __init__(
        self, experiment: Experiment, trials: Iterable[TrialRecord], prior: Iterable[TrialRecord] = ()
    ) -> None:
        super().__init__(experiment, trials, prior)
        self._settings.setdefault("multivariate", True)
        self._settings["group"] = bool(experiment.space.conditional) and self._settings["multivariate"]
        self._held: list[tuple[TrialRecord, int]] = []
        """Trials of the Optuna study, each with its number there."""

    def _modelled(self, seed: int) -> Params:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        self._synchronise()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # `group` is experimental in Optuna.
            self._study.sampler = TPESampler(seed=seed, n_startup_trials=0, **self._settings)
        return self._space.ask(self._study)

    def _synchronise(self) -> None:
        """Bring Optuna's study to what the window holds: by the new trials where only these differ, else anew."""
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

        state = {"running": TrialState.RUNNING, "succeeded": TrialState.COMPLETE}.get(trial.status, TrialState.FAIL)
        if trial.status == "pruned" and trial.score is not None:
            return self._space.trial(trial, TrialState.PRUNED, trial.score, len(trial.reports))
        return self._space.trial(trial, state, trial.score)


class Bayesian(ModelBased):
    """Expected improvement of a Gaussian process; see Optuna's GPSampler.

    Running trials are accounted for by the expectation over what they may give. So are failed ones, which keeps the
    search from asking for their params again. A pruned trial counts with its last value for the same reason. Fitting
    the process takes time that grows with the cube of its trials, so that it sees fewer of them.
    """

    best, recent, startup_setting = 25, 96, "n_initial_points"

    def __init__(
        self, experiment: Experiment, trials: Iterable[TrialRecord], prior: Iterable[TrialRecord] = ()
    ) -> None:
        super().__init__(experiment, trials, prior)
        self._startup = max(1, self._startup)
        for name, value in self._settings.items():
            if value is not None and value not in _HONOURED[name]:
                raise ConfigError(
                    f"setting {name!r} of algorithm 'bayesianoptimization' is honoured by Katib's scikit-optimize; on "
                    "this machine it is the expected improvement (EI) of a Gaussian process (GP) by gradient ascent "
                    f"(lbfgs), so it must be {' or '.join(_HONOURED[name])}, but got {value!r}; leave it out"
                )

    def _modelled(self, seed: int) -> Params:
        from optuna.samplers import GPSampler
        from optuna.trial import TrialState

        study = new_study(self._experiment.objective.direction)
        study.sampler = GPSampler(seed=seed, n_startup_trials=0, warn_independent_sampling=False)
        for trial in self._window.trials():
            state = TrialState.RUNNING if trial.score is None else TrialState.COMPLETE
            study.add_trial(self._space.trial(trial, state, trial.score))
        with _one_torch_thread():
            return self._space.ask(study)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Let PyTorch use one thread: threads that wait for each other cost the tiny tensors here most of the time."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
