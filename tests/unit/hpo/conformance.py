"""What every engine and every ledger does, whatever it stands on."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from abc import ABC, abstractmethod
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from podium.errors import InputError, NonFiniteLoss, OutOfMemory, StudyFailed
from podium.hpo.engines.base import Engine, TrialFunction
from podium.hpo.experiment import Algorithm, Objective
from podium.hpo.ledger import Documents, TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.records import Observed, Report, StoppingRule, TrialRecord
from podium.store.owner import Owner

from .support import Trial, experiment, file_ledger

PARAMS = {"learning_rate": 1e-3, "epochs": 4, "batch_size": 8, "warmup_ratio": 0.3}


def dead_owner() -> Owner:
    """A process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return Owner(host=Owner.current().host, pid=ended.pid, started=0.0)


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
        events = [(_moment(record.started_at), 1) for record in trials]
        events += [(_moment(record.finished_at), -1) for record in trials]
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
        aim = experiment(max_trials=50, parallel_trials=1, objective=Objective("score", direction, goal))
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
        before = TrialLedger(ledger._documents, dead_owner())
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

    @pytest.mark.parametrize("algorithm", [Algorithm("random"), Algorithm("tpe", {"n_startup_trials": 2})])
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

    def test_every_ended_trial_is_told_once_after_the_ledger_has_it(self, ledger: TrialLedger, tmp_path: Path) -> None:
        trial = Trial(tmp_path / "executed", errors={2: OutOfMemory("full")})
        told: list[TrialRecord] = []

        def on_trial(record: TrialRecord) -> None:
            assert record in ledger.finished()
            told.append(record)

        trials = run_study(experiment(max_trials=4), ledger, self.engine(trial, tmp_path), on_trial)
        assert sorted(told, key=lambda record: record.number) == list(trials)
        assert all(_moment(a.finished_at) <= _moment(b.finished_at) for a, b in pairwise(told))

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
        ledger._documents.put("trial-000002.1.json", "{")
        repaired = run_study(experiment(), ledger, self.engine(trial, tmp_path))
        assert [record.params for record in repaired] == [record.params for record in trials]
        assert [record.score for record in repaired] == [record.score for record in trials]
        assert trial.executions() == {0: 1, 1: 1, 2: self.executions_of_a_damaged_trial, 3: 1, 4: 1, 5: 1}


def _moment(time: datetime | None) -> datetime:
    assert time is not None
    return time


class LedgerContract(ABC):
    """Subclasses say where the documents are."""

    @abstractmethod
    def open(self, place: Path) -> Documents:
        """The documents at a place: the same ones each time it is called."""

    @pytest.fixture
    def documents(self, tmp_path: Path) -> Documents:
        return self.open(tmp_path)

    @pytest.fixture
    def ledger(self, documents: Documents) -> TrialLedger:
        return TrialLedger(documents)

    def test_a_trial_from_begin_to_finish(self, ledger: TrialLedger, tmp_path: Path) -> None:
        assert ledger.trials() == ()
        claim = ledger.begin(0, PARAMS)
        assert (claim.number, claim.params, claim.attempt) == (0, PARAMS, 1)
        assert ledger.trials() == (claim.record,)
        assert ledger.finished() == ()
        ledger.fold_finished(claim, 0, 0.5, {"accuracy": 0.6}, 2.0)
        ledger.fold_finished(claim, 1, 0.7, {"accuracy": 0.8}, 3.0)
        record = ledger.finish(claim, 0.6)
        assert record.status == "succeeded"
        assert record.score == 0.6
        assert record.params == PARAMS
        assert record.fold_scores == {"0": 0.5, "1": 0.7}
        assert record.fold_metrics == {"0": {"accuracy": 0.6}, "1": {"accuracy": 0.8}}
        assert record.fold_seconds == {"0": 2.0, "1": 3.0}
        assert claim.record.started_at == record.started_at <= _moment(record.finished_at)
        assert TrialLedger(self.open(tmp_path)).finished() == (record,)

    def test_a_failed_trial_keeps_its_reason_and_folds(self, ledger: TrialLedger) -> None:
        claim = ledger.begin(3, PARAMS)
        ledger.fold_finished(claim, 0, 0.5, {}, 2.0)
        record = ledger.fail(claim, "OutOfMemory", "OutOfMemory: full")
        assert (record.status, record.error, record.score) == ("failed", "OutOfMemory: full", None)
        assert record.fold_scores == {"0": 0.5}
        assert ledger.finished() == (record,)

    def test_a_trial_reports_until_its_rule_stops_it(self, ledger: TrialLedger) -> None:
        rule = StoppingRule(
            algorithm="median",
            direction="maximize",
            compared="latest",
            point="progress",
            thresholds={0.5: 0.3, 1.0: 0.4, 1.5: 0.6},
        )
        claim = ledger.begin(0, PARAMS, {"bracket": 2}, rule)
        assert (claim.record.rule, claim.record.labels) == (rule, {"bracket": 2})
        first, end, last = (
            Report(value=0.3, fold=0, epoch=1.0, progress=0.5),
            Report(value=0.5, fold=0, progress=1.0),
            Report(value=0.55, fold=1, epoch=1.0, progress=1.5),
        )
        assert not ledger.report(claim, first).should_stop
        record = ledger.fold_finished(claim, 0, 0.5, {"accuracy": 0.6}, 2.0, [end])
        assert (record.reports, record.should_stop) == ((first, end), False)
        assert ledger.report(claim, last).should_stop
        metrics = {"score": Observed.of([0.55])}
        pruned = ledger.prune(claim, "score 0.55 is below 0.6", metrics)
        assert (pruned.status, pruned.score, pruned.metrics) == ("pruned", 0.55, metrics)
        assert (pruned.reason, pruned.error) == ("TrialPruned", "score 0.55 is below 0.6")
        assert pruned.reports == (first, end, last)
        assert ledger.finished() == (pruned,)
        with pytest.raises(StudyFailed, match="trial 0 has pruned"):
            ledger.report(claim, last)

    def test_a_trial_that_never_reported_has_no_score_when_it_is_pruned(self, ledger: TrialLedger) -> None:
        assert ledger.prune(ledger.begin(0, PARAMS), "stopped").score is None

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_reports_that_are_not_finite_are_refused(self, ledger: TrialLedger, value: float) -> None:
        claim = ledger.begin(0, PARAMS)
        with pytest.raises(NonFiniteLoss, match=f"a report must be finite, but trial 0 reported {value}"):
            ledger.report(claim, Report(value=0.5), Report(value=value))
        with pytest.raises(NonFiniteLoss, match=f"must be finite, but fold 0 of trial 0 gave {value}"):
            ledger.fold_finished(claim, 0, 0.5, {}, 1.0, [Report(value=value, fold=0, progress=1.0)])
        assert ledger.trials() == (claim.record,)

    def test_trials_come_by_number(self, ledger: TrialLedger) -> None:
        for number in (10, 2, 1_234_567, 0):
            ledger.begin(number, PARAMS)
        assert [record.number for record in ledger.trials()] == [0, 2, 10, 1_234_567]

    def test_a_number_is_used_once(self, ledger: TrialLedger) -> None:
        ledger.fail(ledger.begin(0, PARAMS), "OutOfMemory", "full")
        ledger.begin(1, PARAMS)
        for number in (0, 1):
            with pytest.raises(ValueError, match=f"trial {number} is already in the ledger"):
                ledger.begin(number, PARAMS)
        with pytest.raises(ValueError, match="number >= 0 must hold, but got -1"):
            ledger.begin(-1, PARAMS)

    def test_a_trial_of_a_dead_owner_is_continued(self, documents: Documents, ledger: TrialLedger) -> None:
        dead = TrialLedger(documents, dead_owner())
        old = dead.begin(0, PARAMS)
        kept = dead.fold_finished(old, 0, 0.5, {"accuracy": 0.6}, 2.0)
        claim = ledger.take_over(0)
        assert claim.record == kept
        assert claim.attempt == 2
        with pytest.raises(StudyFailed, match="trial 0 was taken over from attempt 1 by another process"):
            dead.fold_finished(old, 1, 0.9, {}, 2.0)
        record = ledger.fold_finished(claim, 1, 0.7, {}, 3.0)
        assert record.fold_scores == {"0": 0.5, "1": 0.7}

    def test_a_trial_of_a_living_owner_is_left_alone(self, documents: Documents, ledger: TrialLedger) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            import psutil

            started = psutil.Process(process.pid).create_time()
            alive = Owner(host=Owner.current().host, pid=process.pid, started=started)
            TrialLedger(documents, alive).begin(0, PARAMS)
            with pytest.raises(StudyFailed, match=f"trial 0 is being run by process {process.pid}"):
                ledger.take_over(0)
            process.kill()
        assert ledger.take_over(0).attempt == 2

    def test_a_killed_trial_is_continued_and_the_kill_counted(self, ledger: TrialLedger) -> None:
        old = ledger.begin(0, PARAMS)
        ledger.fold_finished(old, 0, 0.5, {}, 1.0)
        ledger.report(old, Report(value=0.5, fold=0), Report(value=0.7, fold=1))
        again = ledger.again(old)
        assert (again.number, again.params, again.attempt, again.record.kills) == (0, PARAMS, 2, 1)
        assert again.record.fold_scores == {"0": 0.5}
        assert again.record.reports == (Report(value=0.5, fold=0),)
        with pytest.raises(StudyFailed, match="trial 0 was taken over"):
            ledger.report(old, Report(value=0.1, fold=1))
        record = ledger.finish(again, 0.6)
        assert ledger.trials() == (record,) and record.kills == 1
        with pytest.raises(StudyFailed, match="trial 0 has succeeded"):
            ledger.again(again)

    def test_only_a_running_trial_is_taken_over(self, ledger: TrialLedger) -> None:
        ledger.finish(ledger.begin(0, PARAMS), 0.5)
        for number in (0, 1):
            with pytest.raises(ValueError, match=f"trial {number} is not running"):
                ledger.take_over(number)

    def test_a_trial_that_ended_is_not_changed(self, ledger: TrialLedger) -> None:
        claim = ledger.begin(0, PARAMS)
        record = ledger.finish(claim, 0.5)
        with pytest.raises(StudyFailed, match="trial 0 has succeeded"):
            ledger.fold_finished(claim, 0, 0.5, {}, 1.0)
        with pytest.raises(StudyFailed, match="trial 0 has succeeded"):
            ledger.fail(claim, "OutOfMemory", "too late")
        assert ledger.trials() == (record,)

    def test_figures_that_are_not_finite_are_refused(self, ledger: TrialLedger) -> None:
        claim = ledger.begin(0, PARAMS)
        with pytest.raises(NonFiniteLoss, match="score must be finite, but fold 1 of trial 0 gave nan"):
            ledger.fold_finished(claim, 1, math.nan, {}, 1.0)
        with pytest.raises(NonFiniteLoss, match="loss must be finite, but fold 1 of trial 0 gave inf"):
            ledger.fold_finished(claim, 1, 0.5, {"loss": math.inf}, 1.0)
        with pytest.raises(NonFiniteLoss, match="trial 0 gave -inf"):
            ledger.finish(claim, -math.inf)
        assert ledger.trials() == (claim.record,)

    @pytest.mark.parametrize("damage", ["empty", "cut", "changed", "list", "other"])
    def test_a_damaged_trial_counts_as_not_finished(
        self, documents: Documents, ledger: TrialLedger, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(3):
            ledger.finish(ledger.begin(number, PARAMS), 0.5 + number)
        text = documents.get("trial-000001.1.json") or ""
        other = documents.get("trial-000002.1.json") or ""
        documents.put(
            "trial-000001.1.json",
            {"empty": "", "cut": text[:100], "changed": text.replace("1.5", "9.5"), "list": "[]", "other": other}[
                damage
            ],
        )
        with caplog.at_level(logging.WARNING):
            assert [record.number for record in ledger.trials()] == [0, 2]
        assert "trial 1 counts as not finished: its document trial-000001.1.json is damaged" in caplog.text
        assert ledger.begin(1, PARAMS).attempt == 2
        assert [record.status for record in ledger.trials()] == ["succeeded", "running", "succeeded"]

    def test_an_older_attempt_stands_in_for_a_damaged_one(self, documents: Documents, ledger: TrialLedger) -> None:
        kept = ledger.fold_finished(ledger.begin(0, PARAMS), 0, 0.5, {}, 1.0)
        ledger.finish(ledger.take_over(0), 0.6)
        documents.put("trial-000000.2.json", "{")
        assert ledger.trials() == (kept,)
        assert ledger.take_over(0).attempt == 3

    def test_a_write_under_way_during_a_take_over_changes_nothing(
        self, documents: Documents, ledger: TrialLedger
    ) -> None:
        old = ledger.begin(0, PARAMS)
        behind = ledger.fold_finished(old, 0, 0.5, {}, 1.0)
        record = ledger.finish(ledger.take_over(0), 0.6)
        ledger._write(old, behind)
        assert ledger.trials() == (record,)

    def test_a_trial_damaged_while_it_runs_is_restored_by_its_holder(
        self, documents: Documents, ledger: TrialLedger
    ) -> None:
        claim = ledger.begin(0, PARAMS)
        documents.put("trial-000000.1.json", "{")
        assert ledger.finish(claim, 0.5) == ledger.trials()[0]

    def test_other_documents_are_left_alone(self, documents: Documents, ledger: TrialLedger) -> None:
        documents.put("notes.json", "{}")
        claim = ledger.begin(0, PARAMS)
        assert ledger.trials() == (claim.record,)
        assert documents.get("notes.json") == "{}"
