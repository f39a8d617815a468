from __future__ import annotations

import math
import re
from typing import Any

import pytest
from pydantic import ValidationError

from podium.config.fields import explain
from podium.config.parameters import CategoricalParameter, FloatParameter
from podium.config.search import HpoConfig, algorithm_named
from podium.hpo.experiment import Experiment, Objective, Progress
from podium.records import TrialRecord

from .support import SPACE, experiment


def test_it_is_built_from_the_config() -> None:
    config = HpoConfig(
        algorithm=algorithm_named("tpe", {"n_startup_trials": 4.0, "multivariate": False}),
        space={
            "learning_rate": FloatParameter(low=1e-5, high=1e-3, log=True),
            "batch_size": CategoricalParameter(choices=(8, 16)),
        },
        goal=0.9,
        max_trials=5,
        max_failed_trials=1,
    )
    built = Experiment.from_config("bbc-tiny", config, "macro_f1", seed=7, cores=2)
    assert built.objective == Objective(metric="macro_f1", direction="maximize", goal=0.9)
    assert built.algorithm == algorithm_named("tpe", {"multivariate": False, "n_startup_trials": 4})
    assert list(built.space.parameters) == ["batch_size", "learning_rate"]
    assert (built.max_trials, built.parallel_trials, built.max_failed_trials, built.seed) == (5, 2, 1, 7)
    fewer = Experiment.from_config("bbc-tiny", config.model_copy(update={"parallel_trials": 9}), "macro_f1", 7, 2)
    assert fewer.parallel_trials == 5


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tpee", {}, "algorithm.name must be one of random, grid, sobol, tpe.*, but got 'tpee'; did you mean tpe?"),
        ("annealing", {}, "must be one of .*, cmaes, hyperband, but got 'annealing'$"),
        ("hyperband", {"r_l": 9}, "algorithm.settings.resource_name must be given"),
        ("cmaes", {"restart_strategy": "ipopp"}, "must be 'none', 'ipop' or 'bipop', but got 'ipopp'"),
        ("cmaes", {"sigma": math.inf}, "algorithm.settings.sigma must be a finite number, but got inf"),
        ("tpe", {"n_startup_trial": 3}, "unknown key .*n_startup_trial; did you mean .*settings.n_startup_trials?"),
        ("random", {"seed": 3}, "unknown key algorithm.settings.seed; did you mean seed?"),
        ("sobol", {"scramble": 1}, "unknown key .*settings.scramble; algorithm.settings takes no keys"),
        ("tpe", {"n_startup_trials": 2.5}, "algorithm.settings.n_startup_trials must be a whole number, but got 2.5"),
        ("tpe", {"n_startup_trials": True}, "must be a whole number, but got 'true'"),
        ("tpe", {"n_ei_candidates": 0}, "n_ei_candidates must be greater than 0, but got 0"),
        ("tpe", {"multivariate": 3}, "multivariate must be true or false, but got 3"),
    ],
)
def test_unknown_algorithms_and_settings_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        HpoConfig(algorithm={"name": name, "settings": settings}, space=SPACE.parameters)
    assert re.search(message, "; ".join(explain(error.value, root=HpoConfig)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_trials": 0}, "max_trials must be greater than 0, but got 0"),
        ({"parallel_trials": 0}, "parallel_trials must be greater than 0, but got 0"),
        ({"max_failed_trials": -1}, "max_failed_trials must be greater than or equal to 0, but got -1"),
    ],
)
def test_budgets_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        experiment(**changes)
    assert explain(error.value, root=Experiment) == [message]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"direction": "up"}, "direction must be 'maximize' or 'minimize', but got 'up'"),
        ({"goal": math.nan}, "goal must be a finite number, but got nan"),
        ({"metric": ""}, "metric must be a text that is not empty, but got ''"),
        ({"additional_metrics": ["score"]}, r"metrics must have different names, but got \['score', 'score'\]"),
        ({"strategies": {"scor": "max"}}, "a strategy is for a metric of the objective, but got 'scor'; did you mean"),
    ],
)
def test_objectives_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Objective(**{"metric": "score", **values})
    assert re.search(message, "; ".join(explain(error.value, root=Objective)))


@pytest.mark.parametrize(
    ("direction", "score", "reached"),
    [("maximize", 0.8, False), ("maximize", 0.9, True), ("minimize", 0.8, True), ("minimize", 1.0, False)],
)
def test_a_goal_is_reached_from_its_side(direction: Any, score: float, reached: bool) -> None:
    assert Objective(metric="score", direction=direction, goal=0.9).reached(score) is reached
    assert not Objective(metric="score", direction=direction).reached(score)


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
    study = experiment(
        max_trials=3, max_failed_trials=1, objective=Objective(metric="score", direction="maximize", goal=0.9)
    )
    assert Progress(study, trials).outcome == outcome
