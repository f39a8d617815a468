from __future__ import annotations

import math

import pytest

from podium.config.parameters import CategoricalParameter, FloatParameter, IntParameter
from podium.errors import InputError
from podium.hpo.experiment import Space
from podium.hpo.suggest import suggester_for
from podium.hpo.suggest.optuna_samplers import importance
from podium.records import TrialRecord

from ..support import experiment
from .contract import run

PARAMETERS = {
    "rate": FloatParameter(low=1e-5, high=1e-1, log=True),
    "size": CategoricalParameter(choices=(8, 16, 32)),
    "fixed": IntParameter(low=1, high=1),
    "noise": FloatParameter(low=0.0, high=1.0),
}


def test_the_parameter_that_decides_has_the_largest_share() -> None:
    aim = experiment(space=Space(parameters=PARAMETERS))
    trials = [
        trial.model_copy(update={"score": math.log10(float(trial.params["rate"])) + (trial.params["size"] == 16)})
        for trial in run(suggester_for(aim, ()), 40)
    ]
    shares = importance(aim, trials)
    assert list(shares)[:2] == ["rate", "size"]
    assert shares["rate"] > 0.5 > shares["size"] > 0.1
    assert shares["fixed"] == 0.0
    assert math.isclose(sum(shares.values()), 1.0)
    assert shares == importance(aim, trials)


def test_conditional_parameters_have_shares() -> None:
    conditions = {"noise": {"size": (8,)}, "rate": {"size": (8, 16)}}
    conditional = {name: one.model_copy(update={"when": conditions.get(name, {})}) for name, one in PARAMETERS.items()}
    aim = experiment(space=Space(parameters=conditional))
    trials = [
        trial.model_copy(update={"score": -abs(math.log10(float(trial.params.get("rate", 1e-5))) + 2)})
        for trial in run(suggester_for(aim, ()), 80)
    ]
    shares = importance(aim, trials)
    assert set(shares) == set(PARAMETERS)
    assert math.isclose(sum(shares.values()), 1.0)
    assert shares["rate"] > shares["noise"]


def test_too_few_or_equal_scores_are_refused() -> None:
    aim = experiment(space=Space(parameters=PARAMETERS))
    trials = run(suggester_for(aim, ()), 9)
    failed = [trial.model_copy(update={"status": "failed", "score": None}) for trial in trials[:3]]
    with pytest.raises(InputError, match="at least 8 succeeded trials, but synthetic has 6"):
        importance(aim, [*failed, *trials[3:]])
    same: list[TrialRecord] = [trial.model_copy(update={"score": 0.5}) for trial in trials]
    with pytest.raises(InputError, match=r"scores that differ, but all 9 of synthetic are 0\.5"):
        importance(aim, same)
