from __future__ import annotations

import math
from typing import Any

import pytest

from podium.config.parameters import FloatParameter, IntParameter, Parameter
from podium.config.search import Algorithm, algorithm_named
from podium.errors import ConfigError
from podium.hpo.experiment import Objective, Space
from podium.hpo.suggest import suggester_for
from podium.records import TrialRecord

from ..support import experiment

SPACE = Space(parameters={"x": FloatParameter(low=-5.0, high=10.0), "y": FloatParameter(low=0.0, high=15.0)})
GP = algorithm_named("bayesianoptimization", {"n_initial_points": 6})


def branin(params: Any) -> float:
    """Its minimum is 0.398."""
    x, y = params["x"], params["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def minimise(algorithm: Algorithm, count: int, seed: int) -> float:
    aim = experiment(
        space=SPACE, algorithm=algorithm, objective=Objective(metric="loss", direction="minimize"), seed=seed
    )
    live, scores = suggester_for(aim, ()), []
    for number in range(count):
        suggestion = live.suggest(number)
        assert suggestion is not None
        scores.append(branin(suggestion.params))
        live.tell(TrialRecord(number=number, params=suggestion.params, status="succeeded", score=scores[-1]))
    return min(scores)


def test_it_beats_random_search_on_branin() -> None:
    found = minimise(GP, 18, seed=1)
    assert found < 0.7
    assert found < min(minimise(algorithm_named("random"), 18, seed) for seed in range(1, 4))


@pytest.mark.parametrize(
    "parameter",
    [
        IntParameter(low=0, high=2**32 - 1),
        IntParameter(low=1, high=10**16, log=True),
        IntParameter(low=-(2**63), high=2**63 - 1),
        FloatParameter(low=0.0, high=1.0, step=1e-9),
    ],
)
def test_a_grid_of_many_values_is_not_listed(parameter: Parameter) -> None:
    aim = experiment(space=Space(parameters={"x": parameter, "y": FloatParameter(low=0.0, high=15.0)}), algorithm=GP)
    live = suggester_for(aim, ())
    for number in range(9):
        suggestion = live.suggest(number)
        assert suggestion is not None
        params = suggestion.params
        assert parameter.normalise(params["x"]) == params["x"]
        score = float(params["y"])
        live.tell(TrialRecord(number=number, params=params, status="succeeded", score=score))


def test_it_does_not_ask_again_for_what_runs_or_failed() -> None:
    aim = experiment(space=SPACE, algorithm=GP, objective=Objective(metric="loss", direction="minimize"))
    trials = [
        TrialRecord(number=n, params=s.params, status="succeeded", score=branin(s.params))
        for n in range(8)
        if (s := suggester_for(aim, ()).suggest(n)) is not None
    ]
    for status in ("running", "failed"):
        known = list(trials)
        for number in range(8, 11):
            suggestion = suggester_for(aim, known).suggest(number)
            assert suggestion is not None
            for trial in known[8:]:
                assert math.dist(list(trial.params.values()), list(suggestion.params.values())) > 0.3  # type: ignore[arg-type]
            known.append(TrialRecord(number=number, params=suggestion.params, status=status))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "honoured"),
    [("base_estimator", "RF", "GP"), ("acq_func", "gp_hedge", "EI"), ("acq_optimizer", "sampling", "auto or lbfgs")],
)
def test_settings_that_only_katib_honours_are_refused(name: str, value: str, honoured: str) -> None:
    algorithm = algorithm_named("bayesianoptimization", {name: value})
    with pytest.raises(ConfigError, match=rf"'{name}' .*must be {honoured}, but got '{value}'; leave it out"):
        suggester_for(experiment(space=SPACE, algorithm=algorithm), ())
    taken = algorithm_named("bayesianoptimization", {name: honoured.partition(" ")[0]})
    suggester_for(experiment(space=SPACE, algorithm=taken), ())
