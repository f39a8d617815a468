"""The search algorithms: which params the next trial gets."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from podium.errors import ConfigError
from podium.hpo.experiment import Experiment
from podium.hpo.suggest.base import Suggester, Suggestion
from podium.hpo.suggest.cmaes import Cmaes
from podium.hpo.suggest.hyperband import Hyperband
from podium.hpo.suggest.model_free import Grid, Random, Sobol
from podium.hpo.suggest.optuna_samplers import Bayesian, Tpe
from podium.records import TrialRecord

__all__ = ["Suggester", "Suggestion", "suggester_for"]

_MODEL_FREE: dict[str, type[Random | Grid | Sobol | Hyperband]] = {
    "random": Random,
    "grid": Grid,
    "sobol": Sobol,
    "hyperband": Hyperband,
}
_MODEL_BASED: dict[str, type[Tpe | Bayesian | Cmaes]] = {
    "tpe": Tpe,
    "multivariate-tpe": Tpe,
    "bayesianoptimization": Bayesian,
    "cmaes": Cmaes,
}

_log = logging.getLogger(__name__)


def suggester_for(
    experiment: Experiment, trials: Iterable[TrialRecord], prior: Iterable[TrialRecord] = ()
) -> Suggester:
    """The algorithm of an experiment, as it runs on this machine.

    Args:
        experiment: what is searched.
        trials: all trials of the ledger, running ones included.
        prior: trials of another study that the algorithm learns from before its own. They use up no budget. Those
            without a score or outside the space are left out, with a warning.

    Raises:
        ConfigError: a setting has no meaning on this machine, or the algorithm cannot learn from a prior study.
    """
    known = sorted(trials, key=lambda trial: trial.number)
    name = experiment.algorithm.name
    if name in _MODEL_BASED:
        return _MODEL_BASED[name](experiment, known, _usable(experiment, prior))
    if any(True for _ in prior):
        raise ConfigError(
            f"a warm start is for algorithms that learn from every trial, {', '.join(_MODEL_BASED)}, but got {name!r}; "
            "leave out hpo.warm_start"
        )
    return _MODEL_FREE[name](experiment, known)


def _usable(experiment: Experiment, prior: Iterable[TrialRecord]) -> list[TrialRecord]:
    given = list(prior)
    usable = []
    for trial in given:
        try:
            params = experiment.space.normalise(trial.params)
        except ConfigError:
            continue
        if trial.status == "succeeded" and trial.score is not None:
            usable.append(trial.model_copy(update={"params": params}))
    if len(usable) < len(given):
        _log.warning(
            "%d of %d trials of the warm start are not used: they did not succeed or lie outside the space",
            len(given) - len(usable),
            len(given),
        )
    return usable
