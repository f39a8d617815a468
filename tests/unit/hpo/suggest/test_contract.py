"""Every algorithm keeps the contract."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named
from podium.hpo.experiment import Experiment, Space

from ..support import SPACE, experiment
from ..test_experiment import categorical_parameters, int_parameters, parameters
from .contract import SuggesterContract


class TestRandom(SuggesterContract):
    algorithm = algorithm_named("random")
    learns = False


class TestSobol(SuggesterContract):
    algorithm = algorithm_named("sobol")
    learns = False


GRID = Space(
    parameters={
        "learning_rate": DiscreteParameter(choices=(1e-5, 1e-4, 1e-3)),
        "warmup_ratio": FloatParameter(low=0.0, high=0.5, step=0.1),
        "epochs": IntParameter(low=1, high=8),
        "batch_size": CategoricalParameter(choices=(8, 16, 32)),
    }
)


class TestGrid(SuggesterContract):
    algorithm = algorithm_named("grid")
    learns = False
    spaces = st.dictionaries(
        st.text(min_size=1), categorical_parameters | int_parameters(), min_size=1, max_size=4
    ).map(lambda found: Space(parameters=found))

    def experiment(self, **changes: Any) -> Experiment:
        return super().experiment(**{"space": GRID, **changes})


class TestTpe(SuggesterContract):
    algorithm = algorithm_named("tpe", {"n_startup_trials": 3})


class TestMultivariateTpe(SuggesterContract):
    algorithm = algorithm_named("multivariate-tpe", {"n_startup_trials": 3})


NORMAL = Space(
    parameters={
        **SPACE.parameters,
        "learning_rate": FloatParameter(low=1e-5, high=1e-1, log=True, distribution="normal"),
        "epochs": IntParameter(low=1, high=8, distribution="normal"),
        "momentum": FloatParameter(low=-1.0, high=1.0, distribution="normal"),
        "dropout": DiscreteParameter(choices=(0, 0.1, 0.5)),
    }
)


class TestTpeOverNormalParameters(SuggesterContract):
    algorithm = algorithm_named("multivariate-tpe", {"n_startup_trials": 3})

    def experiment(self, **changes: Any) -> Experiment:
        return super().experiment(**{"space": NORMAL, **changes})


class TestBayesian(SuggesterContract):
    algorithm = algorithm_named("bayesianoptimization", {"n_initial_points": 4})
    count, steps, examples, few, prior = 6, 8, 2, 3, 12


@pytest.mark.slow
class TestBayesianAtFullSize(TestBayesian):
    count, steps, examples, few, prior = 12, 24, 5, 6, 40


class TestCmaes(SuggesterContract):
    algorithm = algorithm_named("cmaes")
    spaces = st.dictionaries(st.text(min_size=1, max_size=5), parameters, min_size=1, max_size=6).map(
        lambda found: Space(parameters=found)
    )


class TestCmaesWithRestarts(SuggesterContract):
    algorithm = algorithm_named("cmaes", {"restart_strategy": "bipop", "sigma": 0.3})

    def test_a_warm_start_is_learnt_from_or_refused(self) -> None:
        """A sigma contradicts it; see test_cmaes."""


class TestHyperband(SuggesterContract):
    algorithm = algorithm_named("hyperband", {"resource_name": "epochs", "r_l": 9.0})
    learns = False

    def experiment(self, **changes: Any) -> Experiment:
        space = changes.pop("space", SPACE)
        return experiment(
            algorithm=self.algorithm,
            space=Space(parameters={**space.parameters, "epochs": IntParameter(low=1, high=1)}),
            **changes,
        )
