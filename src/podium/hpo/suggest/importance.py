"""Which parameters a study's score depends on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from podium.errors import InputError
from podium.hpo.experiment import Experiment
from podium.hpo.suggest.optuna_space import OptunaSpace, new_study
from podium.records import TrialRecord

LEAST_TRIALS = 8
"""Fewer trials give shares that the next trial would overturn."""


def importance(experiment: Experiment, trials: Iterable[TrialRecord]) -> dict[str, float]:
    """The share of each parameter in how the scores of the succeeded trials differ.

    By functional ANOVA (Hutter et al., ICML 2014), the share in the variance of a random forest fitted to the scores;
    a space with conditional parameters by conditional PED-ANOVA (Watanabe et al., IJCAI 2023), the share in what
    tells the best tenth of the trials from the others. Both are Optuna's.

    Returns:
        Shares by parameter, the largest first; they add up to 1. A parameter that no trial had, or that has one value
        only, has none.

    Raises:
        InputError: fewer than `LEAST_TRIALS` trials succeeded, or all of them scored the same.
    """
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

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
    study.add_trials([space.trial(trial, TrialState.COMPLETE, trial.score) for trial in scored])
    conditional = bool(experiment.space.conditional)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator() if conditional else FanovaImportanceEvaluator(seed=0),
        )
    shares = {name: float(found.get(name, 0.0)) for name in experiment.space.parameters}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
