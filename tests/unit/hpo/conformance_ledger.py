"""What every ledger does, whatever it stands on."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from podium.errors import NonFiniteLoss, StudyFailed
from podium.hpo.ledger import TrialLedger
from podium.records import Observed, Report, StoppingRule
from podium.store.files import DocumentFolder
from podium.store.process import ProcessIdentity

from .conformance import PARAMS, dead_owner, moment


class LedgerContract(ABC):
    """Subclasses say where the documents are."""

    @abstractmethod
    def open(self, place: Path) -> DocumentFolder:
        """The documents at a place: the same ones each time it is called."""

    @pytest.fixture
    def documents(self, tmp_path: Path) -> DocumentFolder:
        return self.open(tmp_path)

    @pytest.fixture
    def ledger(self, documents: DocumentFolder) -> TrialLedger:
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
        assert claim.record.started_at == record.started_at <= moment(record.finished_at)
        assert TrialLedger(self.open(tmp_path)).finished() == (record,)

    def test_predictions_are_kept_by_fold_and_damaged_ones_are_ignored(
        self, ledger: TrialLedger, documents: DocumentFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        claim = ledger.begin(0, PARAMS)
        for fold in range(3):
            ledger.keep_predictions(claim, fold, bytes([0, 255, fold]))
            ledger.fold_finished(claim, fold, 0.5, {}, 2.0)
        record = ledger.finish(claim, 0.5)
        assert ledger.trials() == (record,)
        (damaged,) = [name for name in documents.names() if name.startswith("predictions") and ".1." in name]
        documents.put(damaged, (documents.get(damaged) or "")[:-4] + "AAAA")
        with caplog.at_level(logging.WARNING):
            assert ledger.predictions(record) == {0: b"\x00\xff\x00", 2: b"\x00\xff\x02"}
        assert f"predictions of trial 0 are ignored: their document {damaged} is damaged" in caplog.text
        ledger.drop_predictions(record)
        assert ledger.predictions(record) == {}
        assert ledger.trials() == (record,)

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

    def test_a_trial_of_a_dead_owner_is_continued(self, documents: DocumentFolder, ledger: TrialLedger) -> None:
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

    def test_a_trial_of_a_living_owner_is_left_alone(self, documents: DocumentFolder, ledger: TrialLedger) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            import psutil

            started = psutil.Process(process.pid).create_time()
            alive = ProcessIdentity(host=ProcessIdentity.current().host, pid=process.pid, started=started)
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

    def test_failed_trials_are_reopened_from_their_start(self, ledger: TrialLedger) -> None:
        failed = ledger.begin(0, PARAMS, {"generation": 1})
        ledger.fold_finished(failed, 0, 0.5, {}, 1.0)
        ledger.fail(failed, "OutOfMemory", "full")
        kept = ledger.finish(ledger.begin(1, PARAMS), 0.5)
        ledger.reopen_failed()
        reopened, other = ledger.trials()
        assert other == kept
        assert (reopened.status, reopened.params, reopened.labels) == ("running", PARAMS, {"generation": 1})
        assert (reopened.fold_scores, reopened.error, reopened.reason) == ({}, None, None)
        claim = ledger.take_over(0)
        assert claim.attempt == 3 and ledger.finish(claim, 0.7).status == "succeeded"

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
        self, documents: DocumentFolder, ledger: TrialLedger, damage: str, caplog: pytest.LogCaptureFixture
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

    def test_an_older_attempt_stands_in_for_a_damaged_one(self, documents: DocumentFolder, ledger: TrialLedger) -> None:
        kept = ledger.fold_finished(ledger.begin(0, PARAMS), 0, 0.5, {}, 1.0)
        ledger.finish(ledger.take_over(0), 0.6)
        documents.put("trial-000000.2.json", "{")
        assert ledger.trials() == (kept,)
        assert ledger.take_over(0).attempt == 3

    def test_a_write_under_way_during_a_take_over_changes_nothing(
        self, documents: DocumentFolder, ledger: TrialLedger
    ) -> None:
        old = ledger.begin(0, PARAMS)
        behind = ledger.fold_finished(old, 0, 0.5, {}, 1.0)
        record = ledger.finish(ledger.take_over(0), 0.6)
        ledger._write(old, behind)
        assert ledger.trials() == (record,)

    def test_a_trial_damaged_while_it_runs_is_restored_by_its_holder(
        self, documents: DocumentFolder, ledger: TrialLedger
    ) -> None:
        claim = ledger.begin(0, PARAMS)
        documents.put("trial-000000.1.json", "{")
        assert ledger.finish(claim, 0.5) == ledger.trials()[0]

    def test_other_documents_are_left_alone(self, documents: DocumentFolder, ledger: TrialLedger) -> None:
        documents.put("notes.json", "{}")
        claim = ledger.begin(0, PARAMS)
        assert ledger.trials() == (claim.record,)
        assert documents.get("notes.json") == "{}"
