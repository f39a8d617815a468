from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from podium.config.algorithms import Algorithm, algorithm_named
from podium.errors import KilledFromOutside, OutOfMemory, ProcessKilled, StoreError
from podium.hpo.engines.base import MAX_KILLS, Engine, TrialFunction, TrialResult
from podium.hpo.engines.embedded import EmbeddedEngine
from podium.hpo.experiment import Experiment, Objective
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.records import Report, TrialRecord

from ..conformance import EngineContract
from ..support import ForkPool, InlinePool, Trial, experiment, file_ledger

TPE = algorithm_named("tpe", {"n_startup_trials": 3})


class TestInWorkers(EngineContract):
    def engine(self, trial: TrialFunction, tmp_path: Path) -> Engine:
        return EmbeddedEngine(trial, ForkPool(), tmp_path / "logs")


@dataclass(frozen=True)
class Killed(Trial):
    """Trial 1 ends its own worker after its first fold, in its first `kills` attempts."""

    kills: int = 0

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        if claim.number == 1 and claim.attempt <= self.kills:
            self._note("trials", f"{claim.number} {claim.attempt} {os.getpid()}")
            if claim.attempt == 1:
                ledger.fold_finished(claim, 0, 0.125, {}, 1.0)
            ledger.report(claim, Report(value=0.5, fold=1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(claim, ledger)


@pytest.mark.parametrize("algorithm", [algorithm_named("random"), TPE], ids=lambda algorithm: algorithm.name)
def test_a_trial_whose_worker_is_killed_is_executed_again(tmp_path: Path, algorithm: Algorithm) -> None:
    study = experiment(max_trials=5, parallel_trials=1, max_failed_trials=0, algorithm=algorithm)
    trial = Killed(tmp_path / "executed", kills=MAX_KILLS)
    told: list[TrialRecord] = []
    trials = run_study(study, file_ledger(tmp_path), EmbeddedEngine(trial, ForkPool(), tmp_path / "logs"), told.append)
    assert [record.status for record in trials] == ["succeeded"] * 5
    assert [record.number for record in told] == list(range(5))
    assert trial.attempts(1) == [1, 2, 3]
    assert [record.kills for record in trials] == [0, 2, 0, 0, 0]
    assert trials[1].fold_scores["0"] == 0.125 and trials[1].reports == ()
    undisturbed = run_study(
        study, file_ledger(tmp_path / "b"), EmbeddedEngine(Trial(tmp_path / "c"), ForkPool(), tmp_path / "logs")
    )
    assert [record.params for record in undisturbed] == [record.params for record in trials]


def test_a_worker_that_is_killed_every_time_is_a_failed_trial(tmp_path: Path) -> None:
    trial = Killed(tmp_path / "executed", kills=99)
    engine = EmbeddedEngine(trial, ForkPool(), tmp_path / "logs")
    trials = run_study(experiment(max_trials=4), file_ledger(tmp_path), engine)
    assert [record.status for record in trials] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert trials[1].reason == KilledFromOutside.__name__ and trials[1].kills == MAX_KILLS
    assert trial.attempts(1) == [1, 2, 3]


@pytest.mark.parametrize("error", [OutOfMemory("killed by the kernel"), ProcessKilled("ended by SIGSEGV")])
def test_a_crash_is_not_repeated(tmp_path: Path, error: Exception) -> None:
    trial = Trial(tmp_path / "executed", errors={1: error})
    trials = run_study(
        experiment(max_trials=3), file_ledger(tmp_path), EmbeddedEngine(trial, ForkPool(), tmp_path / "logs")
    )
    assert trials[1].status == "failed" and trials[1].kills == 0
    assert trial.attempts(1) == [1]


def test_a_store_that_fails_stops_the_study_and_loses_nothing(tmp_path: Path) -> None:
    ledger, trial = file_ledger(tmp_path), Trial(tmp_path / "executed", errors={2: StoreError("the disk is full")})
    with pytest.raises(StoreError, match="the disk is full"):
        run_study(experiment(parallel_trials=1), ledger, EmbeddedEngine(trial, InlinePool(), tmp_path / "logs"))
    assert [record.status for record in ledger.trials()] == ["succeeded", "succeeded", "running"]
    after = Trial(tmp_path / "after")
    trials = run_study(experiment(), ledger, EmbeddedEngine(after, InlinePool(), tmp_path / "logs"))
    assert len(trials) == 6
    assert after.executions() == dict.fromkeys(range(2, 6), 1)


def test_a_goal_stops_trials_that_still_run(tmp_path: Path) -> None:

    class Uneven(Trial):
        def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
            if claim.number:
                self._note("trials", f"{claim.number} {claim.attempt} {os.getpid()}")
                time.sleep(60)
            return TrialResult(1.0)

    trial, ledger = Uneven(tmp_path / "executed"), file_ledger(tmp_path)
    aim = experiment(objective=Objective(metric="score", direction="maximize", goal=1.0), parallel_trials=3)
    trials = run_study(aim, ledger, EmbeddedEngine(trial, ForkPool(), tmp_path / "logs"))
    assert [record.number for record in trials] == [0]
    assert not any(psutil.pid_exists(pid) for pid in trial.pids())
    assert {record.number: record.status for record in ledger.trials()} == {0: "succeeded", 1: "running", 2: "running"}


Fork = Callable[[Callable[[], None]], Any]


@pytest.fixture
def fork() -> Iterator[Fork]:
    """Run a function in a process forked from this one, as the head of a process group of its own."""
    started: list[Any] = []

    def start(function: Callable[[], None]) -> Any:
        def body() -> None:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with Path(os.devnull).open("w") as sys.stderr:
                function()

        process = multiprocessing.get_context("fork").Process(target=body)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_study_stops_its_workers_and_can_be_resumed(tmp_path: Path, fork: Fork, number: int) -> None:
    slow = Trial(tmp_path / "executed", seconds=60.0)
    study = fork(lambda: _run(experiment(), tmp_path, slow))
    _wait(lambda: len(slow.pids()) == 2)
    os.kill(study.pid, number)
    study.join(60)
    assert study.exitcode == (128 + signal.SIGTERM if number == signal.SIGTERM else 1)
    _wait(lambda: not any(psutil.pid_exists(pid) for pid in slow.pids()))
    ledger = file_ledger(tmp_path)
    assert [record.status for record in ledger.trials()] == ["running", "running"]
    quick = Trial(tmp_path / "executed")
    trials = run_study(experiment(), ledger, EmbeddedEngine(quick, ForkPool(), tmp_path / "logs"))
    assert [record.status for record in trials] == ["succeeded"] * 6
    assert quick.attempts(0) == [1, 2]


@pytest.mark.parametrize("algorithm", [algorithm_named("random"), TPE], ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("seed", range(2))
def test_a_study_killed_again_and_again_ends_as_if_undisturbed(
    tmp_path: Path, fork: Fork, algorithm: Algorithm, seed: int
) -> None:
    """Workers outlive the killed study for some milliseconds and go on writing: the worst case."""
    chance = random.Random(seed)
    study = experiment(max_trials=24, algorithm=algorithm)
    trial = Trial(tmp_path / "executed", folds=3, seconds=0.003)
    ledger = file_ledger(tmp_path)
    seen: dict[int, TrialRecord] = {}
    executed: dict[int, int] = {}
    for _ in range(8):
        process = fork(lambda: _run(study, tmp_path, trial))
        begun = sum(trial.executions().values()) + chance.randint(0, 5)
        _wait(lambda begun=begun: sum(trial.executions().values()) >= begun or len(ledger.finished()) == 24)
        time.sleep(chance.uniform(0.0, 0.03))
        process.kill()
        process.join()
        now = {record.number: record for record in ledger.finished()}
        assert {number: now[number] for number in seen} == seen
        seen = now
        executed = {number: trial.executions()[number] for number in seen}
    assert len(seen) > 3
    trials = run_study(study, ledger, EmbeddedEngine(trial, ForkPool(), tmp_path / "logs"))
    assert [record.number for record in trials] == list(range(24))
    assert {record.status for record in trials} == {"succeeded"}
    assert {record.number: record for record in trials if record.number in seen} == seen
    assert {number: trial.executions()[number] for number in seen} == executed
    assert all(set(record.fold_scores) == {"0", "1", "2"} for record in trials)
    total = sum(trial.executions().values())
    assert run_study(study, ledger, EmbeddedEngine(trial, ForkPool(), tmp_path / "logs")) == trials
    assert sum(trial.executions().values()) == total
    if algorithm.name == "random":
        other = Trial(tmp_path / "other" / "executed", folds=3)
        undisturbed = run_study(
            study, file_ledger(tmp_path / "other"), EmbeddedEngine(other, ForkPool(), tmp_path / "l")
        )
        assert [(t.params, t.score, t.fold_scores) for t in trials] == [
            (t.params, t.score, t.fold_scores) for t in undisturbed
        ]
        assert best_trial(trials, "maximize").number == best_trial(undisturbed, "maximize").number


def _run(study: Experiment, directory: Path, trial: Trial) -> None:
    run_study(study, file_ledger(directory), EmbeddedEngine(trial, ForkPool(), directory / "logs"))


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
