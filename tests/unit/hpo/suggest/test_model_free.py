from __future__ import annotations

import itertools
import json
import tracemalloc

import numpy as np
from scipy.stats import qmc

from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named
from podium.hpo.experiment import Progress, Space
from podium.hpo.suggest import seed_of, suggester_for

from ..support import experiment
from .contract import ended, run


def test_random_gives_a_number_the_same_params_whatever_happened_before() -> None:
    straight = run(suggester_for(experiment(), ()), 6)
    later = suggester_for(experiment(), [ended(9, straight[5].params)])
    found = [later.suggest(number) for number in (4, 0, 2)]
    assert [suggestion.params for suggestion in found if suggestion] == [straight[n].params for n in (4, 0, 2)]


def test_random_draws_from_the_distributions() -> None:
    space = Space(
        parameters={
            "normal": FloatParameter(low=0.0, high=6.0, distribution="normal"),
            "log": FloatParameter(low=1e-4, high=1.0, log=True),
            "choice": CategoricalParameter(choices=("a", "b", "c", "d")),
            "whole": IntParameter(low=1, high=8, log=True),
        }
    )
    drawn = [trial.params for trial in run(suggester_for(experiment(space=space), ()), 1000)]
    normal = np.array([float(params["normal"]) for params in drawn])
    assert abs(normal.mean() - 3.0) < 0.1
    assert 0.63 < np.mean((normal > 2.0) & (normal < 4.0)) < 0.73
    assert 0.45 < np.mean([float(params["log"]) < 1e-2 for params in drawn]) < 0.55
    assert 0.2 < np.mean([params["choice"] == "c" for params in drawn]) < 0.3
    ones = np.log(1.5 / 0.5) / np.log(8.5 / 0.5)
    assert abs(np.mean([params["whole"] == 1 for params in drawn]) - ones) < 0.05


GRID = Space(
    parameters={
        "a": IntParameter(low=1, high=7, step=2),
        "b": FloatParameter(low=0.0, high=0.4, step=0.1),
        "c": CategoricalParameter(choices=("x", True, 1)),
        "d": DiscreteParameter(choices=(0.5, 8)),
    }
)


def test_grid_tries_every_combination_once_and_then_is_over() -> None:
    study = experiment(space=GRID, algorithm=algorithm_named("grid"), max_trials=500)
    trials = run(suggester_for(study, ()), 500)
    every = itertools.product((1, 3, 5, 7), (0.0, 0.1, 0.2, 0.3, 0.4), ("x", True, 1), (0.5, 8))
    assert sorted(json.dumps(list(trial.params.values())) for trial in trials) == sorted(
        json.dumps(list(values)) for values in every
    )
    assert study.most_trials == 120
    assert Progress(study, trials).outcome == "suggestions"
    assert Progress(study, trials[:-1]).outcome is None
    assert (
        Progress(experiment(space=GRID, algorithm=algorithm_named("grid"), max_trials=120), trials).outcome == "budget"
    )


def test_grid_searches_what_could_not_be_listed() -> None:
    space = Space(parameters={f"x{index}": IntParameter(low=1, high=1000) for index in range(20)})
    tracemalloc.start()
    trials = run(suggester_for(experiment(space=space, algorithm=algorithm_named("grid")), ()), 200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    assert len({json.dumps(trial.params) for trial in trials}) == 200


def test_sobol_gives_the_points_of_scipy() -> None:
    space = Space(
        parameters={
            "a": FloatParameter(low=0.0, high=1.0),
            "b": FloatParameter(low=-2.0, high=2.0),
            "c": IntParameter(low=0, high=3),
        }
    )
    study = experiment(space=space, algorithm=algorithm_named("sobol"))
    points = qmc.Sobol(3, rng=seed_of(study, "sobol")).random(32)
    live = suggester_for(study, ())
    for number in (*range(32), 5, 3, 30):
        suggestion = live.suggest(number)
        assert suggestion is not None
        a, b, c = points[number]
        assert suggestion.params == {"a": a, "b": space.parameters["b"].quantile(b), "c": int(c * 4)}
    quarters = [trial.params["c"] for trial in run(suggester_for(study, ()), 32)]
    assert {quarters.count(value) for value in range(4)} == {8}


def test_conditional_parameters_are_drawn_where_they_are_active() -> None:
    space = Space(
        parameters={
            "kind": CategoricalParameter(choices=("sgd", "adam")),
            "momentum": FloatParameter(low=0.0, high=1.0, when={"kind": ("sgd",)}),
        }
    )
    found = [trial.params for trial in run(suggester_for(experiment(space=space), ()), 40)]
    assert all(("momentum" in params) == (params["kind"] == "sgd") for params in found)
    assert {params["kind"] for params in found} == {"sgd", "adam"}
