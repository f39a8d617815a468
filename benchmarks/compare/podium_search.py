"""The search of `hpo_compare.py` by Podium's embedded engine: `podium_search.py TASK_FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objective import evaluate

from podium.config.parameters import CategoricalParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named
from podium.execution.workers import WorkerPool
from podium.hpo.engines import EmbeddedEngine, TrialResult
from podium.hpo.experiment import Experiment, Objective, Space
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.store.store import ArtifactStore
from podium.training.launch import PRELOAD

SPACES = {
    "bbc": {
        "learning_rate": FloatParameter(low=1e-4, high=3e-3, log=True),
        "batch_size": CategoricalParameter(choices=(8, 16)),
    },
    "reviews": {
        "learning_rate": FloatParameter(low=3e-5, high=1e-3, log=True),
        "batch_size": CategoricalParameter(choices=(8, 16)),
    },
    "short": {
        "learning_rate": FloatParameter(low=1e-5, high=1e-1, log=True),
        "epochs": IntParameter(low=1, high=8),
        "batch_size": CategoricalParameter(choices=(8, 16, 32)),
    },
}


def experiment(task: Mapping[str, Any]) -> Experiment:
    """The random search of a task."""
    space = Space(parameters=SPACES[task["workload"]])
    return Experiment(
        name="compare",
        space=space,
        objective=Objective(metric="score"),
        algorithm=algorithm_named("random"),
        max_trials=task["trials"],
        parallel_trials=task["parallel"],
        max_failed_trials=0,
        seed=task["seed"],
    )


@dataclass(frozen=True)
class Evaluated:
    """A trial that calls the objective."""

    task: dict[str, Any]

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        return TrialResult(evaluate(self.task, claim.number, dict(claim.params)))


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text())
    output = Path(task["output"])
    ledger = TrialLedger(ArtifactStore(str(output / "store")).documents("ledger"))
    common = ("podium.hpo.trial", "podium.store.store")
    threads, preload = (None, common) if task["workload"] == "short" else (1, (*PRELOAD, *common))
    with WorkerPool(task["parallel"], threads, preload) as pool:
        # The trial must be importable in a worker, which this file, being the main module, is not.
        from podium_search import Evaluated as Imported

        engine = EmbeddedEngine(Imported(task), pool, output / "logs")
        trials = run_study(experiment(task), ledger, engine)
    print(json.dumps({"best": best_trial(trials, "maximize").score, "trials": len(trials)}))


if __name__ == "__main__":
    main()
