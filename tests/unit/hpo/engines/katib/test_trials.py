"""What becomes of a Trial's state in the ledger, where the pod wrote nothing and where it wrote something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.errors import ComputationFailed, OutOfMemory, StoreError
from podium.hpo.engines.katib.trials import StudyTrials, ending_of
from podium.hpo.ledger import TrialLedger
from podium.hpo.trial_container import TrialDocuments
from podium.records import Report, TrialRecord

from ...support import Trial, experiment, file_ledger, score_of

PARAMS = {"learning_rate": 1e-3, "epochs": 4, "batch_size": 8, "warmup_ratio": 0.3}


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return file_ledger(tmp_path)


def katib_trial(*conditions: str, latest: str = "0.5") -> dict[str, Any]:
    found = [{"type": "Created", "status": "True"}]
    found += [{"type": name, "status": "True", "message": f"it is {name}"} for name in conditions]
    metric = {"name": "score", "min": "unavailable", "max": "0.9", "latest": latest}
    return {"metadata": {"name": "t"}, "status": {"conditions": found, "observation": {"metrics": [metric]}}}


def ended(ledger: TrialLedger, trial: dict[str, Any], error: ComputationFailed | None = None) -> TrialRecord:
    ended_trials: list[TrialRecord] = []
    trials = StudyTrials(experiment(), ledger, ended_trials.append, str)
    trials.begin("t", "e", PARAMS)
    ending = ending_of(trial, experiment().objective, lambda: error or ComputationFailed("?"), "kubectl logs")
    assert ending is not None
    trials.end("t", ending)
    assert ended_trials == list(ledger.finished())
    return ended_trials[0]


@pytest.mark.parametrize(
    ("conditions", "status", "text"),
    [
        (("Succeeded",), "succeeded", None),
        (("EarlyStopped",), "pruned", "it is EarlyStopped"),
        (("EarlyStopped", "Failed"), "failed", "OutOfMemory: full (log: kubectl logs)"),
        (("Killed",), "failed", "OutOfMemory: full (log: kubectl logs)"),
        (("MetricsUnavailable",), "failed", "MetricsUnavailable: it is MetricsUnavailable (log: kubectl logs)"),
    ],
)
def test_without_a_result_of_the_pod_katibs_state_counts(
    ledger: TrialLedger, conditions: tuple[str, ...], status: str, text: str | None
) -> None:
    record = ended(ledger, katib_trial(*conditions), OutOfMemory("full"))
    assert (record.status, record.error) == (status, text)
    assert record.score == (None if status == "failed" else 0.5)


def test_a_value_that_is_no_number_fails_the_trial(ledger: TrialLedger) -> None:
    assert ended(ledger, katib_trial("Succeeded", latest="nan")).reason == "MetricsUnavailable"


@pytest.mark.parametrize("condition", ["Failed", "MetricsUnavailable", "EarlyStopped", "Succeeded"])
def test_a_result_of_the_pod_counts_more(ledger: TrialLedger, tmp_path: Path, condition: str) -> None:
    TrialDocuments(ledger.documents.below("t")).execute(Trial(tmp_path / "executed"), PARAMS)
    record = ended(ledger, katib_trial(condition))
    assert (record.status, record.score) == ("succeeded", score_of(PARAMS))
    assert set(record.fold_scores) == {"0", "1"}


def test_predictions_of_the_pod_move_into_the_ledger_of_the_study(ledger: TrialLedger) -> None:
    begun = ledger.begin(0, PARAMS)  # so that the study numbers the trial of the pod otherwise than the pod does
    ledger.fail(begun, "ComputationFailed", "?")
    pod = TrialLedger(ledger.documents.below("t"))
    claim = pod.begin(0, PARAMS)
    for fold in range(2):
        pod.keep_predictions(claim, fold, b"rows of %d" % fold)
        pod.fold_finished(claim, fold, 0.5, {}, 1.0)
    pod.finish(claim, 0.5)
    trials = StudyTrials(experiment(), ledger, lambda record: None, str)
    trials.begin("t", "e", PARAMS)
    ending = ending_of(katib_trial("Succeeded"), experiment().objective, lambda: ComputationFailed("?"), "log")
    assert ending is not None
    trials.end("t", ending)
    record = ledger.trials()[1]
    assert ledger.predictions(record) == {0: b"rows of 0", 1: b"rows of 1"}
    assert pod.predictions(record) == {}


def test_folds_and_reports_of_a_trial_that_was_stopped_are_kept(ledger: TrialLedger) -> None:
    pod = TrialLedger(ledger.documents.below("t"))
    claim = pod.begin(0, PARAMS)
    pod.fold_finished(claim, 0, 0.25, {"accuracy": 0.5}, 1.0, [Report(value=0.25, fold=0, progress=1.0)])
    pod.report(claim, Report(value=0.3, fold=1, epoch=1.0, progress=1.5))
    record = ended(ledger, katib_trial("EarlyStopped"))
    assert (record.status, record.score, record.fold_scores) == ("pruned", 0.3, {"0": 0.25})
    assert [report.value for report in record.reports] == [0.25, 0.3]


def test_an_error_that_every_trial_would_meet_is_raised(ledger: TrialLedger, tmp_path: Path) -> None:
    trial = Trial(tmp_path / "executed", errors={0: StoreError("the disk is full")})
    with pytest.raises(StoreError):
        TrialDocuments(ledger.documents.below("t")).execute(trial, PARAMS)
    with pytest.raises(StoreError, match="the disk is full"):
        ended(ledger, katib_trial("Failed"))
    assert [record.status for record in ledger.trials()] == ["running"]


def test_a_trial_that_goes_on_has_no_ending() -> None:
    assert ending_of(katib_trial("Running"), experiment().objective, lambda: ComputationFailed("?"), "") is None
