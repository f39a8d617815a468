from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from podium.config.parameters import FloatParameter, IntParameter
from podium.config.search import algorithm_named
from podium.hpo.experiment import Experiment, Objective, Progress, Space, hyperband
from podium.hpo.suggest import suggester_for
from podium.records import TrialRecord

from ..support import experiment

SPACE = Space(parameters={"rate": FloatParameter(low=0.0, high=1.0), "epochs": IntParameter(low=1, high=1)})


def study(r_l: float = 9.0, eta: int = 3, **changes: Any) -> Experiment:
    algorithm = algorithm_named("hyperband", {"resource_name": "epochs", "r_l": r_l, "eta": eta})
    return experiment(**{"space": SPACE, "algorithm": algorithm, "max_trials": 500, **changes})


def katib(r_l: float, eta: float) -> list[tuple[int, int, int, int]]:
    """(s, i, trials, resource) as `HyperbandService` has it, where it is asked for as many trials as it means to give.

    Its state goes through text between requests, which cuts `r` and `n` to whole numbers.
    """
    s_max = int(math.log(r_l) / math.log(eta))
    s, found = s_max, []
    while s >= 0:
        n = math.ceil(float(s_max + 1) * (float(eta**s) / float(s + 1)))
        r = int(r_l * eta ** (-s))
        found.append((s, 0, n, r))
        for i in range(s):
            n_i = math.ceil(n * eta ** (-i))
            found.append((s, i + 1, math.ceil(n_i / eta), int(r * eta ** (i + 1))))
        s -= 1
    return found


@pytest.mark.parametrize(
    ("r_l", "eta"), [(9, 3), (10, 3), (81, 3), (2, 2), (16, 2), (27, 4), (100, 5), (1, 3), (4.5, 2)]
)
def test_the_schedule_is_that_of_katib(r_l: float, eta: int) -> None:
    rungs = hyperband(r_l, eta)
    assert [(rung.bracket, rung.level, rung.size, rung.resource) for rung in rungs] == katib(r_l, eta)
    assert [rung.first for rung in rungs] == [sum(rung.size for rung in rungs[:index]) for index in range(len(rungs))]


def test_the_schedule_of_nine_epochs() -> None:
    assert [(rung.size, rung.resource) for rung in hyperband(9, 3)] == [(9, 1), (3, 3), (1, 9), (5, 3), (2, 9), (3, 9)]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_are_promoted_and_the_search_ends(direction: Any) -> None:
    aim = study(objective=Objective(metric="score", direction=direction))
    live, trials, sign = suggester_for(aim, ()), list[TrialRecord](), 1 if direction == "maximize" else -1
    while (suggestion := live.suggest(len(trials))) is not None:
        params = dict(suggestion.params)
        trials.append(
            TrialRecord(
                number=len(trials),
                params=params,
                labels=dict(suggestion.labels),
                status="succeeded",
                score=float(params["rate"]),
            )
        )
        live.tell(trials[-1])
    rates = [float(trial.params["rate"]) for trial in trials]
    assert [trial.params["epochs"] for trial in trials] == [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] * 2 + [9] * 3
    assert rates[9:12] == sorted(rates[:9], reverse=sign > 0)[:3]
    assert rates[12] == rates[9]
    assert rates[18:20] == sorted(rates[13:18], reverse=sign > 0)[:2]
    assert len(set(rates)) == 9 + 5 + 3
    assert trials[10].labels == {"bracket": 2, "rung": 1}
    assert aim.most_trials == len(trials) == 23
    assert Progress(aim, trials).outcome == "suggestions"
    assert Progress(study(max_trials=5), trials[:5]).outcome == "budget"


def test_a_rung_waits_for_the_one_before_it() -> None:
    live = suggester_for(study(), ())
    first = [live.suggest(number) for number in range(9)]
    assert all(suggestion is not None for suggestion in first)
    for number, suggestion in enumerate(first):
        assert live.suggest(9) is None
        assert suggestion is not None
        live.tell(TrialRecord(number=number, params=suggestion.params, status="succeeded", score=float(number)))
    assert live.suggest(9) is not None
    assert live.suggest(12) is None


def test_places_of_failed_trials_go_to_new_params() -> None:
    live = suggester_for(study(), ())
    rates = []
    for number in range(9):
        suggestion = live.suggest(number)
        assert suggestion is not None
        rates.append(suggestion.params["rate"])
        status = "succeeded" if number == 4 else "pruned" if number == 5 else "failed"
        score = None if status == "failed" else float(number)
        live.tell(TrialRecord(number=number, params=suggestion.params, status=status, score=score))  # type: ignore[arg-type]
    promoted = [live.suggest(number) for number in (9, 10, 11)]
    found = [suggestion.params for suggestion in promoted if suggestion is not None]
    assert [params["epochs"] for params in found] == [3, 3, 3]
    assert found[0]["rate"] == rates[4]
    assert not {found[1]["rate"], found[2]["rate"]} & set(rates)


def test_the_resource_has_the_range_of_the_schedule() -> None:
    assert study(r_l=9).space.parameters["epochs"] == IntParameter(low=1, high=9)
    share = Space(parameters={"rate": FloatParameter(low=0.0, high=1.0), "epochs": FloatParameter(low=0.5, high=1.0)})
    assert study(r_l=27, space=share).space.parameters["epochs"] == FloatParameter(low=1.0, high=27.0)
    with pytest.raises(ValidationError, match="names a float or int parameter, but got 'epoch'; did you mean 'epochs'"):
        study(algorithm=algorithm_named("hyperband", {"resource_name": "epoch", "r_l": 9}))
