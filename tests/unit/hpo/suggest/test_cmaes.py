from __future__ import annotations

from typing import Any

import pytest

from podium.config.parameters import CategoricalParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named
from podium.errors import ConfigError
from podium.hpo.experiment import Experiment, Objective, Space
from podium.hpo.suggest import Suggester, suggester_for
from podium.records import TrialRecord

from ..support import experiment

SPACE = Space(parameters={name: FloatParameter(low=-4.0, high=4.0) for name in "abc"})


def study(space: Space = SPACE, **settings: Any) -> Experiment:
    return experiment(
        space=space,
        algorithm=algorithm_named("cmaes", settings),
        objective=Objective(metric="loss", direction="minimize"),
    )


def sphere(params: Any) -> float:
    return sum((float(params[name]) - 1.5) ** 2 for name in "abc")


def run(live: Suggester, numbers: range, status: Any = "succeeded") -> list[TrialRecord]:
    trials = []
    for number in numbers:
        suggestion = live.suggest(number)
        assert suggestion is not None
        score = sphere(suggestion.params) if status == "succeeded" else None
        labels = dict(suggestion.labels)
        trials.append(TrialRecord(number=number, params=suggestion.params, labels=labels, status=status, score=score))
        live.tell(trials[-1])
    return trials


def test_it_converges_on_a_sphere() -> None:
    trials = run(suggester_for(study(), ()), range(250))
    assert min(trial.score or 0.0 for trial in trials) < 1e-4
    assert [trial.labels["generation"] for trial in trials[:15]] == [0] * 7 + [1] * 7 + [2]
    assert trials[7].labels["parents"] == "0 1 2 3 4 5 6"


def test_a_generation_goes_on_until_enough_of_it_have_ended() -> None:
    live = suggester_for(study(), ())
    run(live, range(20), "failed")
    suggestion = live.suggest(20)
    assert suggestion is not None
    assert suggestion.labels["generation"] == 0
    run(live, range(21, 28))
    after = live.suggest(28)
    assert after is not None
    assert after.labels == {"generation": 1, "parents": "21 22 23 24 25 26 27"}
    late = TrialRecord(
        number=20, params=suggestion.params, labels=dict(suggestion.labels), status="succeeded", score=0.0
    )
    live.tell(late)
    assert live.suggest(29) is not None


def test_a_resumed_study_has_the_same_parents_whatever_has_ended_since() -> None:
    live = suggester_for(study(), ())
    first = [live.suggest(number) for number in range(9)]
    trials = [
        TrialRecord(number=n, params=s.params, labels=dict(s.labels), status="succeeded", score=sphere(s.params))
        for n, s in enumerate(first)
        if s is not None
    ]
    for trial in trials[2:]:
        live.tell(trial)
    trials += run(live, range(9, 14))
    for trial in trials[:2]:
        live.tell(trial)
    assert live.suggest(14) == suggester_for(study(), trials).suggest(14)
    assert trials[9].labels["parents"] == "2 3 4 5 6 7 8"


def test_a_damaged_ledger_is_searched_on() -> None:
    trials = run(suggester_for(study(), ()), range(30))
    suggestion = suggester_for(study(), trials[:3] + trials[4:]).suggest(3)
    assert suggestion is not None
    assert suggestion.labels == {"generation": 0, "parents": ""}


@pytest.mark.parametrize("strategy", ["ipop", "bipop"])
def test_it_starts_again_with_more_once_it_has_converged(strategy: str) -> None:
    live = suggester_for(study(restart_strategy=strategy), ())
    trials = run(live, range(1500))
    sizes: dict[Any, int] = {}
    for trial in trials:
        sizes[trial.labels["generation"]] = sizes.get(trial.labels["generation"], 0) + 1
    grown = sorted(set(list(sizes.values())[:-1]))
    assert grown[0] == 7
    assert 14 in grown
    if strategy == "ipop":
        assert all(size in (7, 14, 28, 56) for size in grown)
    for cut in (600, 900, 1400):
        assert suggester_for(study(restart_strategy=strategy), trials[:cut]).suggest(cut).params == trials[cut].params  # type: ignore[union-attr]


def test_without_restarts_it_stays() -> None:
    trials = run(suggester_for(study(), ()), range(900))
    assert {sum(t.labels["generation"] == g for t in trials) for g in range(120)} == {7}


def test_other_parameters_are_drawn_at_random() -> None:
    space = Space(
        parameters={
            "a": FloatParameter(low=1e-5, high=1e-1, log=True),
            "b": IntParameter(low=1, high=8),
            "c": FloatParameter(low=0.0, high=1.0, distribution="normal"),
            "kind": CategoricalParameter(choices=("x", "y")),
        }
    )
    trials = run(suggester_for(study(space), ()), range(60))
    blind = suggester_for(experiment(space=space), ())
    assert [trial.params["kind"] for trial in trials] == [
        suggestion.params["kind"] for number in range(60) if (suggestion := blind.suggest(number)) is not None
    ]


def test_a_warm_start_begins_where_the_other_study_was_best() -> None:
    prior = run(suggester_for(study(), ()), range(120))
    warm = [sphere(trial.params) for trial in run(suggester_for(study(), (), prior), range(7))]
    cold = [sphere(trial.params) for trial in prior[:7]]
    assert sum(warm) < sum(cold) / 4
    with pytest.raises(ConfigError, match=r"finds its own first deviation, but got the setting sigma=0\.2"):
        suggester_for(study(sigma=0.2), (), prior)
    with pytest.raises(ConfigError, match="sigma > 0 must hold"):
        suggester_for(study(sigma=0), ())
