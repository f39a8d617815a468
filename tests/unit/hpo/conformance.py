"""What every engine does, whatever it stands on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from abc import ABC, abstractmethod
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from podium.config.search import Algorithm, algorithm_named
from podium.errors import InputError, OutOfMemory, StudyFailed
from podium.hpo.engines import Engine, TrialFunction
from podium.hpo.experiment import Objective
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.records import TrialRecord
from podium.store.process import ProcessIdentity

from .support import Trial, experiment, file_ledger

PARAMS = {"learning_rate": 1e-3, "epochs": 4, "batch_size": 8, "warmup_ratio": 0.3}


def dead_owner() -> ProcessIdentity:
    """A process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ProcessIdentity(host=ProcessIdentity.current().host, pid=ended.pid, started=0.0)


def moment(time: datetime | None) -> datetime:
    """A time that must be there."""
    assert time is not None
    return time


class EngineContract(ABC):
    """Subclasses make an engine; trials reach the ledger through the file system, as from other processes."""

    executions_of_a_damaged_trial = 2
    """How often a trial is executed whose document was damaged after it had ended: once where its process keeps a
    result of its own, from which the ledger is restored."""

    @abstractmethod
    def engine(self, trial: TrialFunction, tmp_path: Path) -> Engine: ...

    def log_of(self, number: int) -> str:
        """Part of what the error of a failed trial says of the place of its log."""
        return f"trial-{number:06d}.log"

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> TrialLedger:
        return file_ledger(tmp_path)

    @pytest.fixture
    def trial(self, tmp_path: Path) -> Trial:
        return Trial(tmp_path / "executed")

    def test_the_budget_is_used_up_and_not_exceeded(self, ledger: TrialLedger, trial: Trial, tmp_path: Path) -> None:
        trials = run_study(experiment(max_trials=6), ledger, self.engine(trial, tmp_path))
        assert [record.number for record in trials] == list(range(6))
        assert {record.status for record in trials} == {"succeeded"}
        assert trial.executions() == dict.fromkeys(range(6), 1)
        assert all(set(record.fold_scores) == {"0", "1"} for record in trials)

    def test_as_many_run_at_once_as_the_experiment_says(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", seconds=0.02)
        trials = run_study(experiment(max_trials=6, parallel_trials=2), ledger, self.engine(trial, tmp_path))
        events = [(moment(record.started_at), 1) for record in trials]
        events += [(moment(record.finished_at), -1) for record in trials]
        running, most = 0, 0
        for _, change in sorted(events):
            running += change
            most = max(most, running)
        assert most == 2

    def test_failed_trials_use_up_the_budget(self, ledger: TrialLedger, tmp_path: Path) -> None:
        errors = {1: OutOfMemory("8 GiB were asked for"), 3: ZeroDivisionError("division by zero")}
        trial = Trial(tmp_path / "executed", errors=errors)
        trials = run_study(experiment(max_trials=5, max_failed_trials=2), ledger, self.engine(trial, tmp_path))
        assert [record.status for record in trials] == ["succeeded", "failed", "succeeded", "failed", "succeeded"]
        assert "OutOfMemory: 8 GiB were asked for" in str(trials[1].error)
        assert "ZeroDivisionError: division by zero" in str(trials[3].error)
        assert best_trial(trials, "maximize").number in (0, 2, 4)

    def test_too_many_failures_end_the_study_with_their_reasons(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", errors={n: OutOfMemory(f"no memory for {n}") for n in range(1, 9)})
        budget = experiment(max_trials=9, max_failed_trials=1, parallel_trials=1)
        with pytest.raises(StudyFailed, match=r"at most max_failed_trials=1 trials may fail, but 2 of 3 did") as error:
            run_study(budget, ledger, self.engine(trial, tmp_path))
        for number in (1, 2):
            assert f"trial {number}: OutOfMemory: no memory for {number} (log: " in str(error.value)
            assert self.log_of(number) in str(error.value)
        assert sorted(trial.executions()) == [0, 1, 2]

    def test_a_failed_study_goes_on_under_a_larger_failure_budget(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", errors={n: OutOfMemory("full") for n in range(2)})
        small = experiment(max_trials=6, max_failed_trials=1, parallel_trials=1)
        with pytest.raises(StudyFailed):
            run_study(small, ledger, self.engine(trial, tmp_path))
        with pytest.raises(StudyFailed):
            run_study(small, ledger, self.engine(trial, tmp_path))
        assert trial.executions() == {0: 1, 1: 1}
        trials = run_study(experiment(max_trials=6, max_failed_trials=2), ledger, self.engine(trial, tmp_path))
        assert [record.status for record in trials] == ["failed"] * 2 + ["succeeded"] * 4

    def test_a_study_without_a_succeeded_trial_fails(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", errors={n: OutOfMemory("full") for n in range(2)})
        with pytest.raises(StudyFailed, match="none of 2 did: trial 0: OutOfMemory: full"):
            run_study(experiment(max_trials=2, max_failed_trials=5), ledger, self.engine(trial, tmp_path))

    @pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
    def test_a_score_that_is_not_finite_fails_the_trial(
        self, ledger: TrialLedger, tmp_path: Path, score: float
    ) -> None:
        trial = Trial(tmp_path / "executed", scores={1: score})
        trials = run_study(experiment(max_trials=3), ledger, self.engine(trial, tmp_path))
        assert [record.status for record in trials] == ["succeeded", "failed", "succeeded"]
        assert f"NonFiniteLoss: the score of a trial must be finite, but trial 1 gave {score}" in str(trials[1].error)

    @pytest.mark.parametrize(("direction", "goal", "score"), [("maximize", 5.0, 5.0), ("minimize", -5.0, -6.0)])
    def test_the_goal_ends_the_study(
        self, ledger: TrialLedger, tmp_path: Path, direction: Any, goal: float, score: float
    ) -> None:
        trial = Trial(tmp_path / "executed", scores={3: score})
        aim = experiment(
            max_trials=50, parallel_trials=1, objective=Objective(metric="score", direction=direction, goal=goal)
        )
        trials = run_study(aim, ledger, self.engine(trial, tmp_path))
        assert [record.number for record in trials] == [0, 1, 2, 3]
        assert best_trial(trials, direction).number == 3
        assert run_study(aim, ledger, self.engine(trial, tmp_path)) == trials
        assert trial.executions() == dict.fromkeys(range(4), 1)

    def test_bad_input_stops_the_study_at_once(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", errors={1: InputError("the data set is empty")})
        with pytest.raises(InputError, match="the data set is empty"):
            run_study(experiment(max_trials=50, parallel_trials=1), ledger, self.engine(trial, tmp_path))
        assert sorted(trial.executions()) == [0, 1]
        assert [record.status for record in ledger.trials()] == ["succeeded", "running"]

    def test_a_trial_left_running_is_continued(self, ledger: TrialLedger, trial: Trial, tmp_path: Path) -> None:
        suggested = run_study(experiment(), file_ledger(tmp_path / "other"), self.engine(trial, tmp_path))[0].params
        before = TrialLedger(ledger.documents, dead_owner())
        kept = before.fold_finished(before.begin(0, suggested), 0, 0.25, {"accuracy": 0.75}, 1.5)
        again = Trial(tmp_path / "again")
        trials = run_study(experiment(), ledger, self.engine(again, tmp_path))
        assert again.attempts(0) == [2]
        assert again.fold_executions()[0, 0] == 0
        assert again.fold_executions()[0, 1] == 1
        assert trials[0].params == suggested
        assert trials[0].started_at == kept.started_at
        assert trials[0].fold_scores["0"] == 0.25
        assert trials[0].fold_metrics["0"] == {"accuracy": 0.75}
        assert trials[0].fold_seconds["0"] == 1.5
        assert [record.number for record in trials] == list(range(6))

    def test_a_study_that_is_over_starts_nothing(self, ledger: TrialLedger, trial: Trial, tmp_path: Path) -> None:
        trials = run_study(experiment(), ledger, self.engine(trial, tmp_path))
        seen: list[TrialRecord] = []
        assert run_study(experiment(), ledger, self.engine(trial, tmp_path), seen.append) == trials
        self.engine(trial, tmp_path).run(experiment(), ledger, seen.append)
        assert seen == list(trials)
        assert set(trial.executions().values()) == {1}

    @pytest.mark.parametrize("algorithm", [algorithm_named("random"), algorithm_named("tpe", {"n_startup_trials": 2})])
    def test_a_larger_budget_continues_the_study(
        self, ledger: TrialLedger, trial: Trial, tmp_path: Path, algorithm: Algorithm
    ) -> None:
        small = experiment(max_trials=3, parallel_trials=1, algorithm=algorithm)
        large = experiment(max_trials=7, parallel_trials=1, algorithm=algorithm)
        first = run_study(small, ledger, self.engine(trial, tmp_path))
        extended = run_study(large, ledger, self.engine(trial, tmp_path))
        at_once = run_study(large, file_ledger(tmp_path / "other"), self.engine(Trial(tmp_path / "b"), tmp_path))
        assert extended[:3] == first
        assert trial.executions() == dict.fromkeys(range(7), 1)
        assert [record.params for record in extended] == [record.params for record in at_once]
        assert len({json.dumps(record.params) for record in extended}) == 7

    def test_the_same_seed_gives_the_same_trials(self, tmp_path: Path, trial: Trial) -> None:
        def params(seed: int, place: str, parallel: int) -> list[dict[str, Any]]:
            engine = self.engine(trial, tmp_path)
            trials = run_study(experiment(seed=seed, parallel_trials=parallel), file_ledger(tmp_path / place), engine)
            return [record.params for record in trials]

        assert params(1, "a", 1) == params(1, "b", 3) != params(2, "c", 1)

    def test_every_ended_trial_is_announced_once_it_is_in_the_ledger(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", errors={2: OutOfMemory("full")})
        told: list[TrialRecord] = []

        def on_trial(record: TrialRecord) -> None:
            assert record in ledger.finished()
            told.append(record)

        trials = run_study(experiment(max_trials=4), ledger, self.engine(trial, tmp_path), on_trial)
        assert sorted(told, key=lambda record: record.number) == list(trials)
        assert all(moment(a.finished_at) <= moment(b.finished_at) for a, b in pairwise(told))

    def test_an_error_of_the_listener_stops_the_study(self, ledger: TrialLedger, trial: Trial, tmp_path: Path) -> None:
        def on_trial(record: TrialRecord) -> None:
            raise RuntimeError("tracking is down")

        with pytest.raises(RuntimeError, match="tracking is down"):
            run_study(experiment(), ledger, self.engine(trial, tmp_path), on_trial)
        told: list[TrialRecord] = []
        trials = run_study(experiment(), ledger, self.engine(trial, tmp_path), told.append)
        assert sorted(record.number for record in told) == [record.number for record in trials] == list(range(6))

    def test_of_equal_scores_the_lowest_number_is_best(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", scores={0: 0.1, 1: 0.7, 2: 0.7, 3: 0.2})
        trials = run_study(experiment(max_trials=4), ledger, self.engine(trial, tmp_path))
        assert best_trial(trials, "maximize").number == 1
        assert best_trial(trials, "minimize").number == 0

    def test_a_damaged_trial_is_executed_again_under_its_number(
        self, ledger: TrialLedger, trial: Trial, tmp_path: Path
    ) -> None:
        trials = run_study(experiment(), ledger, self.engine(trial, tmp_path))
        ledger.documents.put("trial-000002.1.json", "{")
        repaired = run_study(experiment(), ledger, self.engine(trial, tmp_path))
        assert [record.params for record in repaired] == [record.params for record in trials]
        assert [record.score for record in repaired] == [record.score for record in trials]
        assert trial.executions() == {0: 1, 1: 1, 2: self.executions_of_a_damaged_trial, 3: 1, 4: 1, 5: 1}
