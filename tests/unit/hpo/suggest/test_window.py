from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.hpo.experiment import Objective
from podium.hpo.suggest.optuna_samplers import aligned, window
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


def aim(direction: Any = "maximize") -> Objective:
    return Objective(metric="score", direction=direction)


@given(trials=trials, direction=st.sampled_from(["maximize", "minimize"]))
def test_it_holds_the_recent_the_running_and_the_best(trials: Any, direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    inside = window(aim(direction), trials[::-1], BEST, RECENT)
    assert [trial.number for trial in inside] == sorted(trial.number for trial in inside)
    assert inside[-RECENT:] == trials[-RECENT:]
    running = [trial for trial in trials if trial.status == "running"]
    assert all(trial in inside for trial in running)
    best = sorted((t for t in trials if t.status == "succeeded"), key=lambda t: (-sign * t.score, t.number))[:BEST]
    assert all(trial in inside for trial in best)
    assert len(inside) <= BEST + RECENT + RECENT // 4 + len(running)


def test_a_prior_study_is_brought_to_the_level_of_this_one() -> None:
    prior = [record(number, "succeeded", score) for number, score in ((-3, 60.0), (-2, 90.0), (-1, 80.0))]
    own = [record(number, "succeeded", score) for number, score in enumerate((10, 5, 20))]
    assert aligned(aim(), prior, []) == prior
    assert [(trial.number, trial.score) for trial in aligned(aim(), prior, own[:1])] == [(-3, -20), (-2, 10), (-1, 0)]
    assert [trial.score for trial in aligned(aim(), prior, own)] == [-10, 20, 10]
    assert [trial.score for trial in aligned(aim("minimize"), prior, own)] == [5, 35, 25]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_pruned_trial_ranks_below_every_one_that_succeeded(direction: str) -> None:
    trials = []
    for number in range(60):
        pruned = number % 2 == 0
        score = 99 if pruned == (direction == "maximize") else 1
        trials.append(record(number, "pruned" if pruned else "succeeded", score))
    assert [trial.status for trial in window(aim(direction), trials, BEST, RECENT)[:BEST]] == ["succeeded"] * BEST
