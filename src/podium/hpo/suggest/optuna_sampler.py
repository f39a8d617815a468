"""Random search and TPE, by Optuna."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from podium.errors import ConfigError
from podium.hpo.experiment import Experiment
from podium.hpo.space import (
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Parameter,
    Params,
)
from podium.hpo.suggest.base import Suggester, Suggestion
from podium.records import Scalar, TrialRecord

_SEARCHED = ("random", "tpe", "multivariate-tpe")
"""Algorithms this engine has."""


class OptunaSampler(Suggester):
    """Suggests params; a pure function of experiment, trial number and the trials told so far."""

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord]) -> None:
        import optuna

        if experiment.algorithm.name not in _SEARCHED:
            raise ConfigError(
                f"the embedded engine searches with {', '.join(_SEARCHED)}, but got {experiment.algorithm.name!r}"
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._experiment = experiment
        self._distributions = {name: _distribution(parameter) for name, parameter in experiment.space.parameters}
        self._study = optuna.create_study(direction=experiment.objective.direction)
        self._own: dict[int, int] = {}
        for trial in trials:
            self._add(trial.number, experiment.space.normalise(trial.params))
            if trial.status != "running":
                self.tell(trial)

    def suggest(self, number: int) -> Suggestion:
        """Params of a new trial, known to be running from now on."""
        from optuna.samplers import RandomSampler, TPESampler
        from optuna.trial import TrialState

        algorithm = self._experiment.algorithm
        seed = _seed(self._experiment.seed, number)
        match algorithm.name:
            case "random":
                self._study.sampler = RandomSampler(seed=seed)
            case "tpe":
                self._study.sampler = TPESampler(seed=seed, **algorithm.settings)
            case "multivariate-tpe":
                self._study.sampler = TPESampler(seed=seed, multivariate=True, **algorithm.settings)
        trial = self._study.ask(self._distributions)
        space = self._experiment.space
        params = space.normalise({name: _value(parameter, trial.params[name]) for name, parameter in space.parameters})
        if any(isinstance(parameter, NormalParameter) for _, parameter in space.parameters):
            # Learn from the value, as a resumed study does, and not from the quantile it was rounded from.
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._add(number, params)
        else:
            self._own[number] = trial.number
        return Suggestion(params)

    def _add(self, number: int, params: Params) -> None:
        """Make a trial known as running."""
        import optuna

        self._own[number] = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params={
                    name: _searched(parameter, params[name]) for name, parameter in self._experiment.space.parameters
                },
                distributions=self._distributions,
            )
        )

    def tell(self, record: TrialRecord) -> None:
        """Learn how a suggested or rebuilt trial ended."""
        from optuna.trial import TrialState

        if record.status == "succeeded":
            self._study.tell(self._own[record.number], record.score)
        else:
            self._study.tell(self._own[record.number], state=TrialState.FAIL)


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match parameter:
        case FloatParameter():
            return FloatDistribution(parameter.low, parameter.top, log=parameter.log, step=parameter.step)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.top, log=parameter.log, step=parameter.step)
        case NormalParameter():
            return FloatDistribution(0.0, 1.0)
        case CategoricalParameter():
            return CategoricalDistribution(parameter.choices)
        case DiscreteParameter():
            return CategoricalDistribution(parameter.values)
    raise TypeError(f"the embedded engine does not know parameters such as {parameter!r}")


def _searched(parameter: Parameter, value: Scalar) -> Scalar:
    """What Optuna sees of a value."""
    return parameter.share(float(value)) if isinstance(parameter, NormalParameter) else value


def _value(parameter: Parameter, searched: Scalar) -> Scalar:
    """The value of what Optuna suggests."""
    return parameter.quantile(float(searched)) if isinstance(parameter, NormalParameter) else searched


def _seed(seed: int, number: int) -> int:
    """32 bits from the seed of the study and the number of the trial, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")
