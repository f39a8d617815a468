"""Cheap trials and pools for the tests of studies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any

from podium.config.parameters import CategoricalParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named
from podium.errors import KilledFromOutside
from podium.hpo.engines import TrialResult
from podium.hpo.experiment import Experiment, Objective, Space
from podium.hpo.ledger import Claim, TrialLedger
from podium.store.store import ArtifactStore

SPACE = Space(
    parameters={
        "learning_rate": FloatParameter(low=1e-5, high=1e-1, log=True),
        "warmup_ratio": FloatParameter(low=0.0, high=0.5, step=0.1),
        "epochs": IntParameter(low=1, high=8),
        "batch_size": CategoricalParameter(choices=(8, 16, 32)),
    }
)


def where(name: str, **when: tuple[Any, ...]) -> Space:
    """The space with a condition on one parameter."""
    return Space(parameters={**SPACE.parameters, name: SPACE.parameters[name].model_copy(update={"when": when})})


def experiment(**changes: Any) -> Experiment:
    values: dict[str, Any] = {
        "name": "synthetic",
        "space": SPACE,
        "objective": Objective(metric="score"),
        "algorithm": algorithm_named("random"),
        "max_trials": 6,
        "parallel_trials": 2,
        "max_failed_trials": 2,
        "seed": 13,
        "resume_policy": "FromVolume",
    }
    return Experiment(**{**values, **changes})


def file_ledger(directory: Path) -> TrialLedger:
    return TrialLedger(ArtifactStore(str(directory / "store")).documents("ledger"))


def score_of(params: Mapping[str, Any]) -> float:
    """Smooth, with its maximum inside the space, and never the same for two random draws."""
    return 1.0 - abs(float(params["learning_rate"]) - 1e-3) - abs(params["epochs"] - 4) / 10 - params["warmup_ratio"]


@dataclass(frozen=True)
class Trial:
    """A trial of `folds` folds; what it executed can be counted afterwards from `directory`.

    Attributes:
        errors: exceptions to raise, by trial number.
        scores: scores to return, by trial number, instead of that of the params.
        seconds: time a fold takes.
    """

    directory: Path
    folds: int = 2
    seconds: float = 0.0
    errors: Mapping[int, Exception] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        self._note("trials", f"{claim.number} {claim.attempt} {os.getpid()}")
        if claim.number in self.errors:
            raise self.errors[claim.number]
        score = self.scores.get(claim.number, score_of(claim.params))
        for fold in range(self.folds):
            if str(fold) in claim.record.fold_scores:
                continue
            time.sleep(self.seconds)
            ledger.fold_finished(claim, fold, score_of(claim.params), {"accuracy": 0.5}, self.seconds)
            self._note("folds", f"{claim.number} {fold}")
        return TrialResult(score)

    def executions(self) -> Counter[int]:
        """How often each trial was executed."""
        return Counter(int(line.split()[0]) for line in self._lines("trials"))

    def attempts(self, number: int) -> list[int]:
        """Attempt numbers under which a trial was executed, in order."""
        return [int(line.split()[1]) for line in self._lines("trials") if int(line.split()[0]) == number]

    def pids(self) -> set[int]:
        """Processes that executed trials."""
        return {int(line.split()[2]) for line in self._lines("trials")}

    def fold_executions(self) -> Counter[tuple[int, int]]:
        """How often each fold of each trial was executed to its end."""
        pairs = [line.split() for line in self._lines("folds")]
        return Counter((int(number), int(fold)) for number, fold in pairs)

    def _note(self, name: str, line: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.directory / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)

    def _lines(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []


class InlinePool:
    """Executes a call in this process, when it is submitted."""

    def submit(self, function: Callable[..., Any], /, *args: Any, log: Path) -> InlineJob:
        try:
            return InlineJob(function(*args), None)
        except Exception as error:
            return InlineJob(None, error)

    def wait_any(self, jobs: Sequence[InlineJob]) -> list[InlineJob]:
        return list(jobs)


@dataclass(frozen=True, eq=False)
class InlineJob:
    result: Any
    error: Exception | None

    def wait(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result

    def kill(self) -> None:
        return


class ForkPool:
    """Executes every call in a process forked from this one."""

    def submit(self, function: Callable[..., Any], /, *args: Any, log: Path) -> ForkJob:
        return ForkJob(function, args)

    def wait_any(self, jobs: Sequence[ForkJob]) -> list[ForkJob]:
        ready = connection.wait([job.pipe for job in jobs])
        return [job for job in jobs if job.pipe in ready]


class ForkJob:
    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_answer, args=(os.getpid(), theirs, function, args), daemon=True)
        self._process.start()
        theirs.close()

    def wait(self) -> Any:
        try:
            value, error = self.pipe.recv()
        except EOFError:
            value, error = None, KilledFromOutside("the worker was ended by a signal")
        self._process.join()
        if error is not None:
            raise error
        return value

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.02)
    os._exit(1)


def _answer(parent: int, pipe: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Call the function; like a real worker, end with the parent, also where a signal met it while it forked."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        try:
            pipe.send((function(*args), None))
        except Exception as error:
            pipe.send((None, error))
