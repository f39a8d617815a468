"""Every algorithm keeps the contract."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from podium.hpo.experiment import Algorithm, Experiment
from podium.hpo.space import (
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Space,
)

from ..support import SPACE, experiment
from ..test_space import categorical_parameters, int_parameters, parameters
from .contract import SuggesterContract


class TestRandom(SuggesterContract):
    algorithm = Algorithm("random")
    learns = False


class TestSobol(SuggesterContract):
    algorithm = Algorithm("sobol")
    learns = False


GRID = Space.of(
    {
        "learning_rate": DiscreteParameter((1e-5, 1e-4, 1e-3)),
        "warmup_ratio": FloatParameter(0.0, 0.5, step=0.1),
        "epochs": IntParameter(1, 8),
        "batch_size": CategoricalParameter((8, 16, 32)),
    }
)


class TestGrid(SuggesterContract):
    algorithm = Algorithm("grid")
    learns = False
    spaces = st.dictionaries(
        st.text(min_size=1), categorical_parameters | int_parameters(), min_size=1, max_size=4
    ).map(Space.of)

    def experiment(self, **changes: Any) -> Experiment:
        return super().experiment(**{"space": GRID, **changes})


class TestTpe(SuggesterContract):
    algorithm = Algorithm("tpe", {"n_startup_trials": 3})


class TestMultivariateTpe(SuggesterContract):
    algorithm = Algorithm("multivariate-tpe", {"n_startup_trials": 3})


NORMAL = Space.of(
    {
        **dict(SPACE.parameters),
        "learning_rate": NormalParameter(1e-5, 1e-1, log=True),
        "epochs": NormalParameter(1, 8, whole=True),
        "momentum": NormalParameter(-1.0, 1.0),
        "dropout": DiscreteParameter((0, 0.1, 0.5)),
    }
)


class TestTpeOverNormalParameters(SuggesterContract):
    algorithm = Algorithm("multivariate-tpe", {"n_startup_trials": 3})

    def experiment(self, **changes: Any) -> Experiment:
        return super().experiment(**{"space": NORMAL, **changes})


class TestBayesian(SuggesterContract):
    algorithm = Algorithm("bayesianoptimization", {"n_initial_points": 4})
    count, steps, examples, few = 8, 12, 3, 6


class TestCmaes(SuggesterContract):
    algorithm = Algorithm("cmaes")
    spaces = st.dictionaries(st.text(min_size=1, max_size=5), parameters, min_size=1, max_size=6).map(Space.of)


class TestCmaesWithRestarts(SuggesterContract):
    algorithm = Algorithm("cmaes", {"restart_strategy": "bipop", "sigma": 0.3})

    def test_a_warm_start_is_learnt_from_or_refused(self) -> None:
        """A sigma contradicts it; see test_cmaes."""


class TestHyperband(SuggesterContract):
    algorithm = Algorithm("hyperband", {"resource_name": "epochs", "r_l": 9.0})
    learns = False

    def experiment(self, **changes: Any) -> Experiment:
        space = changes.pop("space", SPACE)
        return experiment(
            algorithm=self.algorithm,
            space=Space.of({**dict(space.parameters), "epochs": IntParameter(1, 1)}),
            **changes,
        )
