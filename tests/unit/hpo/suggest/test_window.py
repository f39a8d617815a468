from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.hpo.experiment import Objective
from podium.hpo.suggest.window import Window
from podium.records import Report, TrialRecord

BEST, RECENT = 4, 16

trials = st.lists(
    st.tuples(st.sampled_from(["succeeded", "succeeded", "pruned", "failed", "running"]), st.integers(-50, 50)),
    min_size=1,
    max_size=120,
).map(lambda fates: [record(number, status, score) for number, (status, score) in enumerate(fates)])


def record(number: int, status: Any, score: float) -> TrialRecord:
    known = status in ("succeeded", "pruned")
    reports = (Report(value=score),) * (number % 3 + 1) if status == "pruned" else ()
    return TrialRecord(number=number, params={}, status=status, score=score if known else None, reports=reports)


def window(direction: Any = "maximize", prior: Any = ()) -> Window:
    return Window(Objective(metric="score", direction=direction), BEST, RECENT, prior)


@given(trials=trials, chance=st.randoms(use_true_random=False), direction=st.sampled_from(["maximize", "minimize"]))
def test_it_depends_on_the_trials_and_not_on_their_order(trials: Any, chance: Any, direction: str) -> None:
    straight, mixed = window(direction), window(direction)
    for trial in trials:
        straight.add(trial)
    for trial in trials:
        mixed.add(record(trial.number, "running", 0))
    for trial in chance.sample(trials, len(trials)):
        if trial.status != "running":
            mixed.add(trial)
    assert straight.trials() == mixed.trials()
    assert straight.scored == mixed.scored


@given(trials=trials, direction=st.sampled_from(["maximize", "minimize"]))
def test_it_holds_the_recent_the_running_and_the_best(trials: Any, direction: str) -> None:
    filled, sign = window(direction), 1 if direction == "maximize" else -1
    for trial in trials:
        filled.add(trial)
    inside = filled.trials()
    assert [trial.number for trial in inside] == sorted(trial.number for trial in inside)
    assert inside[-RECENT:] == trials[-RECENT:]
    running = [trial for trial in trials if trial.status == "running"]
    assert all(trial in inside for trial in running)
    best = sorted((t for t in trials if t.status == "succeeded"), key=lambda t: (-sign * t.score, t.number))[:BEST]
    assert all(trial in inside for trial in best)
    assert len(inside) <= BEST + RECENT + RECENT // 4 + len(running)


def test_a_prior_study_comes_first_and_is_brought_to_the_level_of_this_one() -> None:
    prior = [record(7, "succeeded", score) for score in (60.0, 90.0, 80.0)]
    filled = window(prior=prior)
    assert [trial.score for trial in filled.trials()] == [60.0, 90.0, 80.0]
    assert filled.scored == 3
    filled.add(record(0, "succeeded", 10))
    assert [(trial.number, trial.score) for trial in filled.trials()] == [(-3, -20), (-2, 10), (-1, 0), (0, 10)]
    filled.add(record(1, "succeeded", 5))
    filled.add(record(2, "succeeded", 20))
    assert [trial.score for trial in filled.trials()] == [-10, 20, 10, 10, 5, 20]
    many = window(prior=[record(0, "succeeded", score) for score in range(1000)])
    assert len(many.trials()) <= BEST + RECENT + RECENT // 4


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_pruned_trial_ranks_below_every_one_that_succeeded(direction: str) -> None:
    filled = window(direction)
    for number in range(60):
        pruned = number % 2 == 0
        filled.add(
            record(number, "pruned" if pruned else "succeeded", 99 if pruned == (direction == "maximize") else 1)
        )
    assert [trial.status for trial in filled.trials()[:BEST]] == ["succeeded"] * BEST
