from __future__ import annotations

import random
from typing import Any

import pytest

from podium.config.parameters import CategoricalParameter, FloatParameter
from podium.config.search import Algorithm, algorithm_named
from podium.hpo.experiment import Space
from podium.hpo.suggest import seed_of, suggester_for
from podium.hpo.suggest.optuna_samplers import OptunaSpace, new_study
from podium.records import Report, TrialRecord

from ..support import SPACE, experiment, score_of

TPE = algorithm_named("tpe", {"n_startup_trials": 3})


def history(count: int, algorithm: Algorithm = TPE, **changes: Any) -> list[TrialRecord]:
    live = suggester_for(experiment(algorithm=algorithm, **changes), ())
    trials = []
    for number in range(count):
        suggestion = live.suggest(number)
        assert suggestion is not None
        params = dict(suggestion.params)
        trials.append(TrialRecord(number=number, params=params, status="succeeded", score=score_of(params)))
        live.tell(trials[-1])
    return trials


def next_after(trials: list[TrialRecord], **changes: Any) -> Any:
    live = suggester_for(experiment(**{"algorithm": TPE, **changes}), trials)
    suggestion = live.suggest(max(trial.number for trial in trials) + 1)
    assert suggestion is not None
    return suggestion.params


def test_it_learns() -> None:
    late = [trial.score or 0.0 for trial in history(50)[25:]]
    blind = [trial.score or 0.0 for trial in history(50, algorithm_named("random"))[25:]]
    assert sum(late) / len(late) > sum(blind) / len(blind) + 0.1


@pytest.mark.parametrize("multivariate", [False, True])
def test_a_study_that_fits_into_the_window_goes_as_with_optuna_alone(multivariate: bool) -> None:
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    algorithm = algorithm_named("multivariate-tpe" if multivariate else "tpe")
    aim = experiment(algorithm=algorithm)
    trials = history(40, algorithm)
    study, space = new_study("maximize"), OptunaSpace(SPACE)
    for trial in trials:
        if trial.number >= 10:
            study.sampler = TPESampler(seed=seed_of(aim, trial.number), multivariate=multivariate)
            found = study.ask(space._distributions)
            assert SPACE.normalise(found.params) == trial.params
            study.tell(found, state=TrialState.FAIL)
        study.add_trial(space.trial(trial, TrialState.COMPLETE))


def test_the_first_trials_are_those_of_random_search() -> None:
    assert [t.params for t in history(10, algorithm_named("tpe"))] == [
        t.params for t in history(10, algorithm_named("random"))
    ]


def test_it_keeps_away_from_running_trials() -> None:
    trials = history(30)
    running = TrialRecord(number=30, params=next_after(trials), status="running")
    beside = [next_after([*trials, running.model_copy(update={"number": 30 + n})]) for n in range(12)]
    alone = [
        next_after([*trials, running.model_copy(update={"number": 30 + n, "status": "failed"})]) for n in range(12)
    ]
    assert beside != alone

    def distance(found: list[Any]) -> float:
        return sum(abs(params["epochs"] - running.params["epochs"]) for params in found)

    assert distance(beside) >= distance(alone)


def test_failed_trials_teach_nothing() -> None:
    trials = history(8)
    failed = TrialRecord(number=8, params=trials[0].params, status="failed", error="OutOfMemory: full")
    assert next_after([*trials, failed]) == suggester_for(experiment(algorithm=TPE), trials).suggest(9).params  # type: ignore[union-attr]


def test_pruned_trials_teach_where_not_to_search() -> None:
    """Scores rise up to a half, and above it every trial was pruned, which the scores alone do not tell."""
    space = Space(parameters={"a": FloatParameter(low=0.0, high=1.0)})
    chance, trials = random.Random(0), []
    for number in range(60):
        a = chance.random()
        pruned = a > 0.5
        trials.append(
            TrialRecord(
                number=number,
                params={"a": a},
                status="pruned" if pruned else "succeeded",
                score=0.4 if pruned else a,
                reports=(Report(value=0.4),) if pruned else (),
            )
        )
    known = [trial for trial in trials if trial.status == "succeeded"]
    told, untold = (suggester_for(experiment(space=space, algorithm=TPE), some) for some in (trials, known))
    assert 1.5 * _high(told) < _high(untold)


def _high(live: Any) -> int:
    return sum(live.suggest(number).params["a"] > 0.5 for number in range(60, 80))


@pytest.mark.parametrize("name", ["tpe", "multivariate-tpe"])
def test_it_searches_conditional_parameters(name: str) -> None:
    space = Space(
        parameters={
            "kind": CategoricalParameter(choices=("flat", "steep", "none")),
            "rate": FloatParameter(low=0.0, high=1.0, when={"kind": ("steep", "flat")}),
            "power": FloatParameter(low=0.0, high=1.0, when={"kind": ("steep",)}),
        },
    )
    aim = experiment(space=space, algorithm=algorithm_named(name, {"n_startup_trials": 8}))
    live, scores = suggester_for(aim, ()), []
    for number in range(60):
        suggestion = live.suggest(number)
        assert suggestion is not None
        params = dict(suggestion.params)
        assert space.normalise(params) == params
        score = {"none": 0.0, "flat": 0.3}.get(str(params["kind"]), 0.6)
        score -= abs(float(params.get("rate", 0.2)) - 0.2) + abs(float(params.get("power", 0.8)) - 0.8)
        scores.append(score)
        live.tell(TrialRecord(number=number, params=params, status="succeeded", score=score))
    assert max(scores) > 0.5
    assert sum(scores[40:]) > sum(scores[:20]) + 4


def test_a_long_study_is_held_in_bounded_memory_and_rebuilt_alike() -> None:
    space = Space(parameters={"a": FloatParameter(low=0.0, high=1.0)})
    chance = random.Random(1)
    trials = [
        TrialRecord(number=number, params={"a": chance.random()}, status="succeeded", score=chance.random())
        for number in range(1200)
    ]
    aim = experiment(space=space, algorithm=TPE)
    live = suggester_for(aim, trials[:1000])
    for trial in trials[1000:]:
        if trial.number % 40 == 0:
            live.suggest(trial.number)
        live.tell(trial)
    assert len(live._study.trials) < 400  # type: ignore[attr-defined]
    assert live.suggest(1200) == suggester_for(aim, trials).suggest(1200)
