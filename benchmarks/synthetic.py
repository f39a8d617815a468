"""Trials without a model, importable in workers: what is left of a study's time when training costs nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from podium.config.parameters import CategoricalParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named
from podium.hpo.engines import TrialResult
from podium.hpo.experiment import Experiment, Objective, Space
from podium.hpo.ledger import Claim, TrialLedger
from podium.records import Scalar

SPACE = Space(
    parameters={
        "learning_rate": FloatParameter(low=1e-5, high=1e-1, log=True),
        "dropout": FloatParameter(low=0.0, high=0.5),
        "epochs": IntParameter(low=1, high=8),
        "batch_size": CategoricalParameter(choices=(8, 16, 32)),
    }
)


def score(params: Mapping[str, Scalar]) -> float:
    """A smooth objective with its maximum inside the space."""
    rate, dropout, epochs = (float(params[name]) for name in ("learning_rate", "dropout", "epochs"))
    return 1.0 - abs(rate - 1e-3) - (dropout - 0.2) ** 2 - abs(epochs - 4) / 10 - float(params["batch_size"]) / 1000


def compute(seconds: float) -> None:
    """Keep one core busy for that much of its time, however long that takes."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


@dataclass(frozen=True)
class SyntheticTrial:
    """One trial that takes `seconds` of processor time."""

    seconds: float = 0.0

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        compute(self.seconds)
        return TrialResult(score(claim.params))


def experiment(algorithm: str, trials: int, parallel: int) -> Experiment:
    """The search over the synthetic objective."""
    return Experiment(
        name="synthetic",
        space=SPACE,
        objective=Objective(metric="score"),
        algorithm=algorithm_named(algorithm),
        max_trials=trials,
        parallel_trials=parallel,
        max_failed_trials=0,
        seed=13,
    )
