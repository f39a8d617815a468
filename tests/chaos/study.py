"""A study in a process of its own, to be killed.

Everything is real but what a trial computes: engine, pool of workers, lease, and ledger in a local store.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podium.config.parameters import CategoricalParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named, stopping_named
from podium.execution.workers import WorkerPool
from podium.hpo.engines import EmbeddedEngine, TrialResult
from podium.hpo.experiment import Experiment, Objective, Space
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.study import run_study
from podium.keys import Key
from podium.records import Report, Scalar, TrialRecord
from podium.store.store import ArtifactStore

FOLDS = 3
EPOCHS = 2

SPACE = Space(
    parameters={
        "rate": FloatParameter(low=1e-4, high=1e-1, log=True),
        "size": IntParameter(low=1, high=8),
        "kind": CategoricalParameter(choices=("a", "b", "c")),
    }
)


@dataclass(frozen=True)
class Settings:
    """What is searched how; written to `settings.json` of the study's directory."""

    algorithm: str = "random"
    stopping: str | None = None
    trials: int = 16
    parallel: int = 1
    seed: int = 1
    seconds: float = 0.005

    @property
    def experiment(self) -> Experiment:
        """The experiment of these settings; no trial may fail."""
        settings: dict[str, Scalar] = {} if self.algorithm == "random" else {"n_startup_trials": 4}
        stopping = stopping_named("none")
        if self.stopping is not None:
            stopping = stopping_named(self.stopping, {"min_trials_required": 2, "start_step": 2})
        return Experiment(
            name="chaos",
            space=SPACE,
            objective=Objective(metric="score"),
            algorithm=algorithm_named(self.algorithm, settings),
            max_trials=self.trials,
            parallel_trials=self.parallel,
            max_failed_trials=0,
            seed=self.seed,
            early_stopping=stopping,
        )


@dataclass(frozen=True)
class ComputedTrial:
    """Folds of epochs that keep a core busy; every value follows from the params alone.

    Attributes:
        seconds: processor time of an epoch.
        journal: gets a line when a trial begins, and when a fold of it is done.
    """

    seconds: float
    journal: Journal

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        """The mean over the folds, of which only those that the ledger lacks are computed."""
        self.journal.note("begin", claim.number)
        scores = {int(fold): score for fold, score in claim.record.fold_scores.items()}
        if claim.record.should_stop:
            return TrialResult(0.0, pruned="worse than the others")
        for fold in range(FOLDS):
            if fold in scores:
                continue
            for epoch in range(1, EPOCHS + 1):
                _compute(self.seconds)
                value = _value(claim.params, fold, epoch)
                if ledger.report(claim, Report(value=value, fold=fold, epoch=epoch)).should_stop:
                    return TrialResult(0.0, pruned="worse than the others")
            scores[fold] = value
            ledger.fold_finished(claim, fold, value, {"accuracy": value}, self.seconds)
            self.journal.note("fold", claim.number, fold)
        return TrialResult(sum(scores.values()) / FOLDS)


def _compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(200))


def _value(params: Mapping[str, Scalar], fold: int, epoch: int) -> float:
    base = 1.0 - abs(float(params["rate"]) - 1e-2) * 10 - abs(float(params["size"]) - 5) / 10
    return base + "abc".index(str(params["kind"])) / 20 - fold / 100 - 0.1 / epoch


@dataclass(frozen=True)
class Journal:
    """What really happened, in lines that no kill can take back."""

    path: Path

    def note(self, *words: object) -> None:
        """Add a line in one write."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
        os.close(descriptor)

    def lines(self) -> list[str]:
        """All lines, in order."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    def count(self, word: str) -> Counter[tuple[int, ...]]:
        """How often each thing happened."""
        split = [line.split() for line in self.lines()]
        return Counter(tuple(map(int, rest)) for first, *rest in split if first == word)


def ledger_of(directory: Path) -> TrialLedger:
    """The ledger of the study in a directory."""
    return TrialLedger(ArtifactStore(str(directory / "store")).documents("ledgers/chaos/main"))


def run(directory: Path, settings: Settings) -> tuple[TrialRecord, ...]:
    """Run or resume the study of a directory."""
    journal = Journal(directory / "journal.txt")
    store = ArtifactStore(str(directory / "store"))

    def told(record: TrialRecord) -> None:
        journal.note("told", os.getpid(), record.number)

    with store.lease(Key.of("study", name="chaos")):
        preload = ("podium.hpo.trial", "podium.store.store")
        with WorkerPool(settings.parallel, threads=None, preload=preload) as pool:
            engine = EmbeddedEngine(ComputedTrial(settings.seconds, journal), pool, directory / "logs")
            return run_study(settings.experiment, ledger_of(directory), engine, told)


def main(directory: Path) -> None:
    """Run or resume the study whose settings lie in a directory."""
    run(directory, Settings(**json.loads((directory / "settings.json").read_text())))
