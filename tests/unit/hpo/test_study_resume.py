"""A study of every algorithm goes on: with a larger budget, after its goal, after a kill, from another study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.config.parameters import CategoricalParameter, FloatParameter, IntParameter
from podium.config.search import ALGORITHM_SETTINGS, algorithm_named
from podium.hpo.engines import EmbeddedEngine
from podium.hpo.experiment import Experiment, Objective, Params, Space
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import run_study

from .conformance import dead_owner
from .support import InlinePool, Trial, experiment, file_ledger

SETTINGS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 3},
    "multivariate-tpe": {"n_startup_trials": 3},
    "bayesianoptimization": {"n_initial_points": 3},
    "hyperband": {"resource_name": "epochs", "r_l": 4, "eta": 2},
}
SPACE = Space(
    parameters={
        "learning_rate": FloatParameter(low=0.0, high=0.1, step=0.01),
        "warmup_ratio": FloatParameter(low=0.0, high=0.5, step=0.1),
        "epochs": IntParameter(low=1, high=4),
        "batch_size": CategoricalParameter(choices=(8, 16, 32)),
    }
)
SMALL, LARGE = 5, 9


def aim(algorithm: str, max_trials: int, goal: float | None = None) -> Experiment:
    return experiment(
        space=SPACE,
        algorithm=algorithm_named(algorithm, SETTINGS.get(algorithm, {})),
        objective=Objective(metric="score", goal=goal),
        max_trials=max_trials,
        parallel_trials=1,
    )


def run(asked: Experiment, ledger: TrialLedger, place: Path, scores: dict[int, float] | None = None) -> list[Params]:
    trial = Trial(place / "executed", folds=1, scores=scores or {})
    trials = run_study(asked, ledger, EmbeddedEngine(trial, InlinePool(), place / "logs"))
    return [record.params for record in trials]


@pytest.mark.parametrize("algorithm", ALGORITHM_SETTINGS)
def test_an_extended_study_has_the_trials_of_one_that_was_as_long_from_the_start(
    algorithm: str, tmp_path: Path
) -> None:
    ledger = file_ledger(tmp_path / "a")
    first = run(aim(algorithm, SMALL), ledger, tmp_path)
    extended = run(aim(algorithm, LARGE), ledger, tmp_path)
    assert extended[:SMALL] == first and len(extended) == LARGE
    assert extended == run(aim(algorithm, LARGE), file_ledger(tmp_path / "b"), tmp_path)


@pytest.mark.parametrize("algorithm", ALGORITHM_SETTINGS)
def test_a_study_that_reached_its_goal_goes_on_when_the_goal_is_raised(algorithm: str, tmp_path: Path) -> None:
    ledger, scores = file_ledger(tmp_path / "a"), {3: 7.0}
    assert len(run(aim(algorithm, LARGE, goal=7.0), ledger, tmp_path, scores)) == 4
    assert len(run(aim(algorithm, LARGE + 1, goal=7.0), ledger, tmp_path, scores)) == 4
    assert len(run(aim(algorithm, LARGE, goal=8.0), ledger, tmp_path, scores)) == LARGE


@pytest.mark.parametrize("algorithm", ALGORITHM_SETTINGS)
def test_a_killed_study_ends_as_one_that_was_not(algorithm: str, tmp_path: Path) -> None:
    undisturbed = file_ledger(tmp_path / "a")
    run(aim(algorithm, LARGE), undisturbed, tmp_path)
    ledger = file_ledger(tmp_path / "b")
    run(aim(algorithm, SMALL), ledger, tmp_path)
    cut_off = undisturbed.trials()[SMALL]
    TrialLedger(ledger.documents, dead_owner()).begin(SMALL, cut_off.params, cut_off.labels, cut_off.rule)
    run(aim(algorithm, LARGE), ledger, tmp_path)
    ended, expected = ledger.trials(), undisturbed.trials()
    assert [(trial.params, trial.score) for trial in ended] == [(trial.params, trial.score) for trial in expected]


@pytest.mark.parametrize("algorithm", ["tpe", "multivariate-tpe", "bayesianoptimization", "cmaes"])
def test_a_warm_started_search_begins_with_what_it_learnt_and_ranks_only_its_own(
    algorithm: str, tmp_path: Path
) -> None:
    known = file_ledger(tmp_path / "known")
    run(aim("random", 12), known, tmp_path)
    cold = run(aim(algorithm, 1), file_ledger(tmp_path / "cold"), tmp_path)
    ledger = file_ledger(tmp_path / "warm")
    engine = EmbeddedEngine(Trial(tmp_path / "executed"), InlinePool(), tmp_path / "logs", known.trials())
    (first,) = run_study(aim(algorithm, 1), ledger, engine)
    assert first.number == 0 and first.params != cold[0]
    assert len(ledger.trials()) == 1
