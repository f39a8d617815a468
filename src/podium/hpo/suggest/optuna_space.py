"""A space and its trials in Optuna's terms.

A normal parameter is searched as its quantile, uniform in [0, 1], so that its distribution is what a model starts
from. So is a grid of very many values, which the Gaussian process would list. A discrete parameter is searched as a
categorical one, as Katib's services do.
"""

from __future__ import annotations

from typing import Any

from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter, Parameter
from podium.hpo.space import Params, Space
from podium.records import Scalar, TrialRecord

_LISTED = 2**16
"""More values than this are not listed."""


class OptunaSpace:
    """Turns trials into Optuna's and asks Optuna's samplers for params."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._distributions = {name: _distribution(parameter) for name, parameter in space.parameters.items()}

    def trial(self, record: TrialRecord, state: Any, value: float | None = None, step: int | None = None) -> Any:
        """A record as a `FrozenTrial` in `state`; a value with a step is also its last intermediate one."""
        from optuna.trial import create_trial

        params = self._space.normalise(record.params)
        return create_trial(
            state=state,
            value=value,
            params={name: _searched(self._space.parameters[name], given) for name, given in params.items()},
            distributions={name: self._distributions[name] for name in params},
            intermediate_values={} if step is None or value is None else {step: value},
        )

    def ask(self, study: Any) -> Params:
        """Params from the sampler of an Optuna study, which keeps a failed trial."""
        from optuna.trial import TrialState

        trial, params = study.ask(), Params()
        for name in self._space.parents_first:
            if self._space.active(name, params):
                parameter = self._space.parameters[name]
                found = _suggest(trial, name, self._distributions[name])
                params[name] = parameter.normalise(
                    parameter.quantile(float(found)) if _by_quantile(parameter) else found
                )
        study.tell(trial.number, state=TrialState.FAIL)
        return self._space.normalise(params)


def new_study(direction: str) -> Any:
    """An empty Optuna study in memory that logs only warnings."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction=direction)


def _by_quantile(parameter: Parameter) -> bool:
    match parameter:
        case FloatParameter(distribution="normal") | IntParameter(distribution="normal"):
            return True
        case IntParameter():
            return (parameter.high - parameter.low) // parameter.step >= _LISTED
        case FloatParameter():
            return (parameter.cells or 0) > _LISTED
    return False


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if _by_quantile(parameter):
        return FloatDistribution(0.0, 1.0)
    match parameter:
        case FloatParameter():
            return FloatDistribution(parameter.low, parameter.top, log=parameter.log, step=parameter.step)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.top, log=parameter.log, step=parameter.step)
        case CategoricalParameter() | DiscreteParameter():
            return CategoricalDistribution(parameter.choices)
    raise TypeError(f"Optuna has no counterpart of parameters such as {parameter!r}")


def _suggest(trial: Any, name: str, distribution: Any) -> Scalar:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        choice: Scalar = trial.suggest_categorical(name, distribution.choices)
        return choice
    suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    found: Scalar = suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    return found


def _searched(parameter: Parameter, value: Scalar) -> Scalar:
    """What Optuna sees of a value."""
    return parameter.share(value) if _by_quantile(parameter) else value
