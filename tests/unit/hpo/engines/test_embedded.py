from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.search import Algorithm, algorithm_named, stopping_named
from podium.errors import KilledFromOutside, OutOfMemory, ProcessKilled, StoreError
from podium.hpo.engines import MAX_KILLS, EmbeddedEngine, Engine, TrialFunction, TrialResult, stopping_rule
from podium.hpo.experiment import Experiment, Objective
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.records import Report, StoppingRule, TrialRecord
from tests.support import PATIENCE_SECONDS, eventually

from ..conformance import EngineContract
from ..support import ForkPool, InlinePool, Trial, experiment, file_ledger

TPE = algorithm_named("tpe", {"n_startup_trials": 3})


class TestInThisProcess(EngineContract):
    """The integration tests do the same in a real pool of workers."""

    def engine(self, trial: TrialFunction, tmp_path: Path) -> Engine:
        return EmbeddedEngine(trial, InlinePool(), tmp_path / "logs")


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
    eventually(lambda: len(slow.pids()) == 2)
    os.kill(study.pid, number)
    study.join(PATIENCE_SECONDS)
    assert study.exitcode == (128 + signal.SIGTERM if number == signal.SIGTERM else 1)
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in slow.pids()))
    ledger = file_ledger(tmp_path)
    assert [record.status for record in ledger.trials()] == ["running", "running"]
    quick = Trial(tmp_path / "executed")
    trials = run_study(experiment(), ledger, EmbeddedEngine(quick, ForkPool(), tmp_path / "logs"))
    assert [record.status for record in trials] == ["succeeded"] * 6
    assert quick.attempts(0) == [1, 2]


@pytest.mark.parametrize("algorithm", [algorithm_named("random"), TPE], ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
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
        eventually(lambda begun=begun: sum(trial.executions().values()) >= begun or len(ledger.finished()) == 24)
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


class Stopper:
    """The rule after the trials that were added."""

    def __init__(self, aim: Experiment, trials: Sequence[TrialRecord] = ()) -> None:
        self._aim, self._trials = aim, list(trials)

    def add(self, trial: TrialRecord) -> None:
        self._trials.append(trial)

    def rule(self) -> StoppingRule | None:
        return stopping_rule(self._aim, self._trials)


def stopper(name: str, direction: Any = "maximize", **settings: int) -> Stopper:
    return Stopper(
        experiment(
            early_stopping=stopping_named(name, settings), objective=Objective(metric="score", direction=direction)
        )
    )


def numbered(*values: float) -> tuple[Report, ...]:
    return tuple(Report(value=value) for value in values)


def course(*points: tuple[float, float]) -> tuple[Report, ...]:
    """Reports of a cross-validated trial by progress."""
    return tuple(Report(value=value, fold=0, progress=progress) for progress, value in points)


def ended(number: int, reports: Sequence[Report], status: Any = "succeeded") -> TrialRecord:
    return TrialRecord(number=number, params={}, status=status, score=0.5, reports=tuple(reports))


def rule_of(subject: Stopper) -> StoppingRule:
    rule = subject.rule()
    assert rule is not None
    return rule


def test_without_early_stopping_there_is_no_rule() -> None:
    subject = Stopper(experiment(), [ended(0, numbered(0.5))])
    assert subject.rule() is None


@pytest.mark.parametrize("name", ["median", "medianstop"])
def test_a_rule_needs_succeeded_trials_that_reported(name: str) -> None:
    subject = stopper(name, min_trials_required=2, start_step=1)
    subject.add(ended(0, numbered(0.5)))
    subject.add(ended(1, numbered(0.5), "failed"))
    subject.add(ended(2, numbered(0.5), "pruned"))
    subject.add(ended(3, ()))
    assert subject.rule() is None
    subject.add(ended(4, numbered(0.7)))
    assert rule_of(subject).thresholds == {1: pytest.approx(0.6)}


def test_medianstop_judges_once_by_the_best_value_against_a_mean_of_means() -> None:
    """The service of Katib (`pkg/earlystopping/v1beta1/medianstop/service.py`) averages each trial's first values."""
    subject = stopper("medianstop", min_trials_required=2, start_step=2)
    subject.add(ended(0, numbered(0.2, 0.4, 0.9)))
    subject.add(ended(1, numbered(0.6, 0.8, 0.1)))
    rule = rule_of(subject)
    assert (rule.compared, rule.thresholds) == ("best", {2: pytest.approx(0.5)})
    assert [rule.stops(numbered(*values)) for values in ([0.1], [0.1, 0.4], [0.6, 0.1], [0.6, 0.6, 0.1])] == [
        False,
        True,
        False,
        False,
    ]


def test_median_judges_every_report_by_the_last_value() -> None:
    subject = stopper("median", min_trials_required=3)
    for number, values in enumerate([(0.1, 0.5), (0.2, 0.6), (0.9, 0.7)]):
        subject.add(ended(number, numbered(*values)))
    rule = rule_of(subject)
    assert rule.thresholds == {1: 0.2, 2: 0.6}
    assert [rule.stops(numbered(*values)) for values in ([0.1], [0.2], [0.9, 0.5], [0.1, 0.6], [0.1, 0.1, 0.1])] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_median_leaves_the_first_reports_alone() -> None:
    subject = stopper("median", min_trials_required=1, start_step=2)
    subject.add(ended(0, course((0.5, 0.8), (1.0, 0.9))))
    rule = rule_of(subject)
    assert not rule.stops(course((0.5, 0.1)))
    assert rule.stops(course((0.5, 0.1), (1.0, 0.8)))


def test_smaller_is_better_when_scores_are_minimised() -> None:
    subject = stopper("median", "minimize", min_trials_required=1)
    subject.add(ended(0, numbered(0.5)))
    assert rule_of(subject).stops(numbered(0.6)) and not rule_of(subject).stops(numbered(0.4))
    assert not rule_of(stopper_with_mean("minimize")).stops(numbered(0.6, 0.4)), "the best so far is the smallest"


def stopper_with_mean(direction: Any) -> Stopper:
    subject = stopper("medianstop", direction, min_trials_required=1, start_step=2)
    subject.add(ended(0, numbered(0.5, 0.5)))
    return subject


def test_trials_of_different_lengths_are_compared_at_the_same_share_of_a_fold() -> None:
    subject = stopper("median", min_trials_required=1)
    subject.add(ended(0, course((0.5, 0.4), (1.0, 0.6), (1.5, 0.5), (2.0, 0.7))))
    subject.add(ended(1, course((0.25, 0.1), (0.5, 0.2), (0.75, 0.3), (1.0, 0.4), (2.0, 0.5))))
    rule = rule_of(subject)
    assert rule.thresholds == {
        0.25: 0.1,
        0.5: pytest.approx(0.3),
        0.75: pytest.approx(0.35),
        1.0: pytest.approx(0.5),
        1.5: 0.5,
        2.0: pytest.approx(0.6),
    }
    assert rule.threshold(course((0.2, 0.0))) is None
    assert rule.threshold(course((0.34, 0.0))) == 0.1
    assert rule.threshold(course((0.34, 0.0), (0.67, 0.0))) == pytest.approx(0.3)
    assert rule.threshold(course((1.34, 0.0))) is None, "the end of a fold says nothing about the next one's middle"


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(1, 8).map(lambda eighth: eighth / 4), st.floats(0, 1)),
            min_size=1,
            max_size=8,
            unique_by=lambda point: point[0],
        ).map(sorted),
        min_size=1,
        max_size=6,
    )
)
def test_thresholds_are_medians_whatever_the_order_of_the_trials(courses: list[list[tuple[float, float]]]) -> None:
    trials = [ended(number, course(*points)) for number, points in enumerate(courses)]
    forth, back = stopper("median", min_trials_required=1), stopper("median", min_trials_required=1)
    for trial in trials:
        forth.add(trial)
    for trial in reversed(trials):
        back.add(trial)
    rule = rule_of(forth)
    assert rule == back.rule() == StoppingRule.model_validate_json(rule.model_dump_json())
    for point, threshold in rule.thresholds.items():
        first = 0 if point <= 1 else 1
        reached = [[v for p, v in points if first < p <= point] for points in courses]
        assert threshold == pytest.approx(median(values[-1] for values in reached if values))
