from __future__ import annotations

import math
from typing import Any

import pytest

from podium.config.search import AlgorithmConfig, HpoConfig, ParameterConfig
from podium.errors import ConfigError
from podium.hpo.algorithms import ALGORITHMS, Algorithm
from podium.hpo.experiment import Experiment, Objective
from podium.hpo.progress import Progress
from podium.records import TrialRecord

from .support import experiment


def test_it_is_built_from_the_config() -> None:
    config = HpoConfig(
        algorithm=AlgorithmConfig(name="tpe", settings={"n_startup_trials": 4.0, "multivariate": False}),
        space={
            "learning_rate": ParameterConfig(type="float", low=1e-5, high=1e-3, log=True),
            "batch_size": ParameterConfig(type="categorical", choices=(8, 16)),
        },
        goal=0.9,
        max_trials=5,
        max_failed_trials=1,
    )
    built = Experiment.from_config("bbc-tiny", config, "macro_f1", seed=7, cores=2)
    assert built.objective == Objective("macro_f1", "maximize", 0.9)
    assert built.algorithm == Algorithm("tpe", {"multivariate": False, "n_startup_trials": 4})
    assert [type(value) for value in built.algorithm.settings.values()] == [bool, int]
    assert [name for name, _ in built.space.parameters] == ["batch_size", "learning_rate"]
    assert (built.max_trials, built.parallel_trials, built.max_failed_trials, built.seed) == (5, 2, 1, 7)
    fewer = Experiment.from_config("bbc-tiny", config.model_copy(update={"parallel_trials": 9}), "macro_f1", 7, 2)
    assert fewer.parallel_trials == 5


def test_every_algorithm_of_the_config_is_known() -> None:
    names = AlgorithmConfig.model_fields["name"].annotation
    assert set(names.__args__) <= set(ALGORITHMS)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tpee", {}, "no algorithm 'tpee'; did you mean 'tpe'"),
        ("annealing", {}, "no algorithm 'annealing'.*nown: bayesianoptimization, cmaes, grid, hyperband, multiv"),
        ("hyperband", {"r_l": 9}, "'hyperband' needs the settings resource_name"),
        ("cmaes", {"restart_strategy": "ipopp"}, "one of none, ipop, bipop is expected, but got 'ipopp'"),
        ("cmaes", {"sigma": math.inf}, "a finite number is expected, but got inf"),
        ("tpe", {"n_startup_trial": 3}, "'tpe' has no setting 'n_startup_trial'; did you mean 'n_startup_trials'"),
        ("random", {"seed": 3}, "'random' has no setting 'seed'; it takes no settings"),
        (
            "tpe",
            {"n_startup_trials": 2.5},
            "'n_startup_trials' of algorithm 'tpe': a whole number is expected, but got",
        ),
        ("tpe", {"n_startup_trials": True}, "a whole number is expected, but got True"),
        ("tpe", {"n_ei_candidates": 0}, "value >= 1 must hold, but got 0"),
        ("tpe", {"multivariate": 1}, "true or false is expected, but got 1"),
    ],
)
def test_unknown_algorithms_and_settings_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Algorithm(name, settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_trials": 0}, "max_trials >= 1 must hold, but got max_trials=0"),
        ({"parallel_trials": 0}, "parallel_trials >= 1 must hold, but got parallel_trials=0"),
        ({"max_failed_trials": -1}, "max_failed_trials >= 0 must hold, but got max_failed_trials=-1"),
    ],
)
def test_budgets_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment(**changes)


def test_objectives_are_checked() -> None:
    with pytest.raises(ConfigError, match="direction must be 'maximize' or 'minimize', but got 'up'"):
        Objective("score", "up")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="goal must be finite, but got nan"):
        Objective("score", "maximize", math.nan)


@pytest.mark.parametrize(
    ("direction", "score", "reached"),
    [("maximize", 0.8, False), ("maximize", 0.9, True), ("minimize", 0.8, True), ("minimize", 1.0, False)],
)
def test_a_goal_is_reached_from_its_side(direction: Any, score: float, reached: bool) -> None:
    assert Objective("score", direction, 0.9).reached(score) is reached
    assert not Objective("score", direction).reached(score)


def record(number: int, status: Any, score: float | None = None) -> TrialRecord:
    return TrialRecord(number=number, params={}, status=status, score=score)


@pytest.mark.parametrize(
    ("trials", "outcome"),
    [
        ([], None),
        ([record(0, "succeeded", 0.1), record(1, "running")], None),
        ([record(0, "succeeded", 0.1), record(1, "failed"), record(2, "pruned")], "budget"),
        ([record(0, "failed"), record(1, "failed")], "failures"),
        ([record(0, "failed"), record(1, "failed"), record(2, "succeeded", 0.9)], "goal"),
        ([record(0, "succeeded", 0.9)], "goal"),
        ([record(0, "pruned", 0.9)], None),
        ([record(0, "failed"), record(1, "succeeded", 0.1), record(2, "failed")], "failures"),
    ],
)
def test_the_order_in_which_a_study_ends(trials: list[TrialRecord], outcome: str | None) -> None:
    study = experiment(max_trials=3, max_failed_trials=1, objective=Objective("score", "maximize", 0.9))
    assert Progress(study, trials).outcome == outcome
