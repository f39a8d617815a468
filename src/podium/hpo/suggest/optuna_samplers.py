"""The algorithms that fit a model to recent and good trials: Optuna's samplers, with bounded memory.

A sampler is made anew for every suggestion, with a seed that follows from the trial's number, over an Optuna study that
holds what the window holds. A resumed study therefore suggests what an undisturbed one would have.
"""

from __future__ import annotations

import heapq
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.samplers import GPSampler, TPESampler
from optuna.trial import TrialState, create_trial

from podium.config.parameters import IntParameter
from podium.errors import ConfigError, InputError
from podium.hpo.experiment import NUMERIC, Experiment, Objective, Params, Space
from podium.hpo.suggest import Suggester, Suggestion, Trials, seed_of
from podium.records import TrialRecord

LEAST_TRIALS = 8
"""Fewer trials give an importance of parameters that the next trial would overturn."""

_HONOURED = {"base_estimator": ("GP",), "acq_func": ("EI",), "acq_optimizer": ("auto", "lbfgs")}
"""Values of the settings of `bayesianoptimization` that Optuna's sampler honours."""

_LISTED = 2**16
"""More values than this are not listed."""


class OptunaSpace:
    """Turns trials into Optuna's and asks Optuna's samplers for params.

    A normal parameter is searched as its quantile, uniform in [0, 1], so that its distribution is what a model starts
    from. So is a grid of very many values, which the Gaussian process would list. A discrete parameter is searched as
    a categorical one, as Katib's services do.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._by_quantile: set[str] = set()
        self._distributions: dict[str, Any] = {}
        for name, parameter in space.parameters.items():
            if not isinstance(parameter, NUMERIC):
                self._distributions[name] = CategoricalDistribution(parameter.choices)
                continue
            steps = (parameter.high - parameter.low) / (parameter.step or math.inf)
            if parameter.distribution == "normal" or steps >= _LISTED:
                self._by_quantile.add(name)
                self._distributions[name] = FloatDistribution(0.0, 1.0)
            else:
                kind: Any = IntDistribution if isinstance(parameter, IntParameter) else FloatDistribution
                self._distributions[name] = kind(parameter.low, parameter.top, log=parameter.log, step=parameter.step)

    def trial(self, record: TrialRecord, state: TrialState) -> Any:
        """A record as a `FrozenTrial` in `state`; the score of a pruned one is also its last intermediate value."""
        params = self._space.normalise(record.params)
        pruned = record.status == "pruned" and record.score is not None
        return create_trial(
            state=state,
            value=record.score,
            params={
                name: self._space.parameters[name].share(value) if name in self._by_quantile else value
                for name, value in params.items()
            },
            distributions={name: self._distributions[name] for name in params},
            intermediate_values={len(record.reports): record.score} if pruned else {},
        )

    def ask(self, study: Any) -> Params:
        """Params from the sampler of an Optuna study, which keeps a failed trial."""
        trial, params = study.ask(), Params()
        for name in self._space.parents_first:
            if not self._space.active(name, params):
                continue
            parameter, distribution = self._space.parameters[name], self._distributions[name]
            if isinstance(distribution, CategoricalDistribution):
                found = trial.suggest_categorical(name, distribution.choices)
            else:
                suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
                found = suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
            params[name] = parameter.normalise(parameter.quantile(found) if name in self._by_quantile else found)
        study.tell(trial.number, state=TrialState.FAIL)
        return self._space.normalise(params)


def new_study(direction: str) -> Any:
    """An empty Optuna study in memory that logs only warnings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction=direction)


def window(objective: Objective, trials: Iterable[TrialRecord], best: int, recent: int) -> list[TrialRecord]:
    """The trials that a model learns from, by number, so that a suggestion costs the same after any number of trials.

    They are the recent ones, those that still run, and the `best` of the others. A trial is recent if its number is
    among the `recent` highest known ones, or up to a quarter more: the horizon moves in strides, so that the window
    only grows until it moves again.
    """
    known = {trial.number: trial for trial in trials}
    stride, sign = max(1, recent // 4), -1.0 if objective.direction == "maximize" else 1.0
    horizon = max(known, default=-1) // stride * stride - recent

    def rank(trial: TrialRecord) -> tuple[float, ...]:
        """Smaller is better, as in Optuna's TPE: after the succeeded trials the pruned ones, the later the better."""
        pruned = trial.status != "succeeded"
        return pruned, -len(trial.reports) if pruned else 0, sign * (trial.score or 0.0), trial.number

    near = [trial for trial in known.values() if trial.number >= horizon or trial.status == "running"]
    far = [trial for trial in known.values() if trial.number < horizon and trial.score is not None]
    return sorted([*near, *heapq.nsmallest(best, far, key=rank)], key=lambda trial: trial.number)


def aligned(objective: Objective, prior: Trials, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials of another study with their scores shifted so that its best equals the best of this study.

    The same params may score higher or lower throughout on another entrant or data set; unshifted, the better
    study would alone decide where to search.
    """
    best = max if objective.direction == "maximize" else min
    own = [trial.score for trial in trials if trial.status == "succeeded" and trial.score is not None]
    if not own or not prior:
        return list(prior)
    shift = best(own) - best(trial.score or 0.0 for trial in prior)
    return [trial.model_copy(update={"score": (trial.score or 0.0) + shift}) for trial in prior]


class ModelBased(Suggester):
    """Suggests what random search would until enough trials have a score, and then what a model of them says.

    The model sees the recent trials and the best ones before them. The setting `startup_setting` says how many trials
    must have a score before it is asked.
    """

    best = 25
    recent: int
    startup_setting: str

    def __init__(self, experiment: Experiment, trials: Trials = (), prior: Trials = ()) -> None:
        super().__init__(experiment, trials)
        self._settings = experiment.algorithm.settings.model_dump()
        self._startup = self._settings.pop(self.startup_setting) - len(prior)
        self._optuna_space = OptunaSpace(experiment.space)
        self._study = new_study(experiment.objective.direction)
        numbered = [trial.model_copy(update={"number": number - len(prior)}) for number, trial in enumerate(prior)]
        self._prior = window(experiment.objective, numbered, self.best, self.recent)

    def suggest(self, number: int) -> Suggestion:
        if sum(trial.score is not None for trial in self._known.values()) < self._startup:
            params = self._random(number)
        else:
            objective, known = self._experiment.objective, self._known.values()
            prior = aligned(objective, self._prior, known)
            recent = window(objective, known, self.best, self.recent)
            params = self._modelled([*prior, *recent], seed_of(self._experiment, number))
        self._known[number] = TrialRecord(number=number, params=params, status="running")
        return Suggestion(params)

    @abstractmethod
    def _modelled(self, trials: list[TrialRecord], seed: int) -> Params:
        """What the model of these trials suggests; all randomness comes from the seed."""


class Tpe(ModelBased):
    """`tpe` models each parameter by itself, `multivariate-tpe` all of them together; see Optuna's TPESampler.

    Running trials count as bad ones, so that trials that run at once differ (constant liar). A pruned trial is worse
    than one that succeeded, and one that made more reports better than one that made fewer. Failed trials teach
    nothing.

    Optuna's TPE counts at most 25 trials among the good ones, so the best 25 leave their density as it would be. The
    other density forgets: Optuna weights its trials by age, and the oldest have next to no weight.
    """

    recent, startup_setting = 256, "n_startup_trials"

    def __init__(self, experiment: Experiment, trials: Trials = (), prior: Trials = ()) -> None:
        super().__init__(experiment, trials, prior)
        self._settings.setdefault("multivariate", True)
        self._settings["group"] = bool(experiment.space.conditional) and self._settings["multivariate"]
        self._held: list[tuple[TrialRecord, int]] = []
        """Trials of the Optuna study, each with its number there."""

    def _modelled(self, trials: list[TrialRecord], seed: int) -> Params:
        self._synchronise(trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # `group` is experimental in Optuna.
            self._study.sampler = TPESampler(seed=seed, n_startup_trials=0, **self._settings)
        return self._optuna_space.ask(self._study)

    def _synchronise(self, wanted: list[TrialRecord]) -> None:
        """Bring Optuna's study to these trials: by the new ones where only these differ, else anew."""
        for index, (held, number) in enumerate(self._held):
            trial = wanted[index]
            if held == trial:
                continue
            if held.number != trial.number or held.status != "running" or trial.status == "pruned":
                self._study, self._held = new_study(self._experiment.objective.direction), []
                break
            self._study.tell(number, trial.score, state=_state(trial))
            self._held[index] = trial, number
        for trial in wanted[len(self._held) :]:
            self._held.append((trial, len(self._study.get_trials(deepcopy=False))))
            self._study.add_trial(self._optuna_space.trial(trial, _state(trial)))


def _state(trial: TrialRecord) -> TrialState:
    states = {"running": TrialState.RUNNING, "succeeded": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    return (
        TrialState.FAIL
        if trial.status == "pruned" and trial.score is None
        else states.get(trial.status, TrialState.FAIL)
    )


class Bayesian(ModelBased):
    """Expected improvement of a Gaussian process; see Optuna's GPSampler.

    Running trials are accounted for by the expectation over what they may give. So are failed ones, which keeps the
    search from asking for their params again. A pruned trial counts with its last value for the same reason. Fitting
    the process takes time that grows with the cube of its trials, so that it sees fewer of them.
    """

    recent, startup_setting = 96, "n_initial_points"

    def __init__(self, experiment: Experiment, trials: Trials = (), prior: Trials = ()) -> None:
        super().__init__(experiment, trials, prior)
        self._startup = max(1 - len(prior), self._startup)
        for name, value in self._settings.items():
            if value is not None and value not in _HONOURED[name]:
                raise ConfigError(
                    f"setting {name!r} of algorithm 'bayesianoptimization' is honoured by Katib's scikit-optimize; on "
                    "this machine it is the expected improvement (EI) of a Gaussian process (GP) by gradient ascent "
                    f"(lbfgs), so it must be {' or '.join(_HONOURED[name])}, but got {value!r}; leave it out"
                )

    def _modelled(self, trials: list[TrialRecord], seed: int) -> Params:
        import torch

        study = new_study(self._experiment.objective.direction)
        study.sampler = GPSampler(seed=seed, n_startup_trials=0, warn_independent_sampling=False)
        for trial in trials:
            state = TrialState.RUNNING if trial.score is None else TrialState.COMPLETE
            study.add_trial(self._optuna_space.trial(trial, state))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # Threads that wait for each other cost the tiny tensors here most of the time.
        try:
            return self._optuna_space.ask(study)
        finally:
            torch.set_num_threads(threads)


def importance(experiment: Experiment, trials: Iterable[TrialRecord]) -> dict[str, float]:
    """The share of each parameter in how the scores of the succeeded trials differ.

    By functional ANOVA (Hutter et al., ICML 2014), the share in the variance of a random forest fitted to the scores;
    a space with conditional parameters by conditional PED-ANOVA (Watanabe et al., IJCAI 2023), the share in what
    tells the best tenth of the trials from the others. Both are Optuna's.

    The shares are in order, the largest first, and add up to 1. A parameter that no trial had, or that has one value
    only, has none.

    Raises:
        InputError: fewer than `LEAST_TRIALS` trials succeeded, or all of them scored the same.
    """
    scored = [trial for trial in trials if trial.status == "succeeded" and trial.score is not None]
    if len(scored) < LEAST_TRIALS:
        raise InputError(
            f"the importance of parameters needs at least {LEAST_TRIALS} succeeded trials, but {experiment.name} has "
            f"{len(scored)}; let it run more of them"
        )
    if len({trial.score for trial in scored}) == 1:
        raise InputError(
            f"the importance of parameters needs scores that differ, but all {len(scored)} of {experiment.name} are "
            f"{scored[0].score}"
        )
    study, space = new_study(experiment.objective.direction), OptunaSpace(experiment.space)
    study.add_trials([space.trial(trial, TrialState.COMPLETE) for trial in scored])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        conditional = bool(experiment.space.conditional)
        evaluator: Any = PedAnovaImportanceEvaluator() if conditional else FanovaImportanceEvaluator(seed=0)
        found = get_param_importances(study, evaluator=evaluator)
    shares = {name: float(found.get(name, 0.0)) for name in experiment.space.parameters}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
