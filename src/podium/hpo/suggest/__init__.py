"""The search algorithms: which params the next trial gets."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from podium.errors import ConfigError
from podium.hpo.experiment import Experiment
from podium.hpo.suggest.cmaes import Cmaes
from podium.hpo.suggest.model_free import Grid, Hyperband, Random, Sobol, Suggester, Suggestion
from podium.records import TrialRecord

__all__ = ["Suggester", "Suggestion", "suggester_for"]

_LEARNING = ("tpe", "multivariate-tpe", "bayesianoptimization", "cmaes")
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
    name, given = experiment.algorithm.name, list(prior)
    if given and name not in _LEARNING:
        raise ConfigError(
            f"a warm start is for algorithms that learn from every trial, {', '.join(_LEARNING)}, but got {name!r}; "
            "leave out hpo.warm_start"
        )
    usable = []
    for trial in given:
        try:
            params = experiment.space.normalise(trial.params)
        except ConfigError:
            continue
        if trial.status == "succeeded" and trial.score is not None:
            usable.append(trial.model_copy(update={"params": params}))
    if left := len(given) - len(usable):
        _log.warning(
            "%d of %d trials of the warm start are not used: they did not succeed or lie outside the space",
            left,
            len(given),
        )
    kinds: dict[str, type[Suggester]] = {
        "random": Random,
        "grid": Grid,
        "sobol": Sobol,
        "hyperband": Hyperband,
        "cmaes": Cmaes,
    }
    if name not in kinds:
        from podium.hpo.suggest.optuna_samplers import Bayesian, Tpe

        kinds |= {"tpe": Tpe, "multivariate-tpe": Tpe, "bayesianoptimization": Bayesian}
    return kinds[name](experiment, sorted(trials, key=lambda trial: trial.number), usable)
