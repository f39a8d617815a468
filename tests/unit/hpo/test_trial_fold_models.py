from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import TrainingConfig
from podium.hpo.trial import BestTrialFiles, CrossValidationTrial, fold_models_of
from podium.records import TrialRecord
from podium.training.launch import TrainingResult, TrainingSpec

from .support import file_ledger


@pytest.fixture
def trial(tmp_path: Path) -> CrossValidationTrial:
    spec = TrainingSpec(
        task="text-classification",
        labels=("a", "b"),
        data=tmp_path / "data",
        backbone=tmp_path / "backbone",
        config=TrainingConfig(),
        metric="macro_f1",
        seed=13,
        keep_model=True,
        output=tmp_path / "work",
        cache=tmp_path / "cache",
    )
    return CrossValidationTrial(spec, folds=2)


def ended(number: int, score: float | None, status: Any = "succeeded") -> TrialRecord:
    scores = {"0": 0.5, "1": 0.6}
    return TrialRecord(number=number, params={"batch_size": 8}, status=status, score=score, fold_scores=scores)


def leave_models(trial: CrossValidationTrial, number: int) -> Path:
    kept = trial.spec.output / f"trial-{number:06d}" / "models"
    for fold in range(2):
        (kept / f"fold-{fold}").mkdir(parents=True)
    return kept


def left(trial: CrossValidationTrial) -> list[str]:
    return sorted(path.name for path in trial.spec.output.iterdir())


@pytest.mark.parametrize(("direction", "kept"), [("maximize", [0, 1, 1, 1, 1]), ("minimize", [0, 0, 2, 2, 2])])
def test_the_best_trial_so_far_keeps_its_files(
    trial: CrossValidationTrial, tmp_path: Path, direction: Any, kept: list[int]
) -> None:
    ledger = file_ledger(tmp_path)
    files = BestTrialFiles(trial, ledger, direction)
    ends = [ended(0, 0.5), ended(1, 0.7), ended(2, 0.4), ended(3, 0.9, "pruned"), ended(4, None, "failed")]
    for record, best in zip(ends, kept, strict=True):
        leave_models(trial, record.number)
        claim = ledger.begin(record.number, record.params)
        for fold in range(2):
            ledger.keep_predictions(claim, fold, b"%d.%d" % (record.number, fold))
        files.ended(record)
        assert left(trial) == [f"trial-{best:06d}"]
        predicted = {one.number: ledger.predictions(one) for one in ends}
        assert {number for number, parts in predicted.items() if parts} == {best}
        assert predicted[best] == {0: b"%d.0" % best, 1: b"%d.1" % best}


def test_those_of_running_trials_stay_and_a_resumed_study_goes_on(trial: CrossValidationTrial, tmp_path: Path) -> None:
    for number in (1, 5):
        leave_models(trial, number)
    files = BestTrialFiles(trial, file_ledger(tmp_path), "maximize")
    for record in (ended(0, 0.5), ended(1, 0.7), ended(2, 0.7), ended(1, 0.7)):
        files.ended(record)
    assert left(trial) == ["trial-000001", "trial-000005"]
    leave_models(trial, 4)
    files.ended(ended(4, 0.8))
    assert left(trial) == ["trial-000004", "trial-000005"]


def test_models_that_are_missing_are_trained_again(
    trial: CrossValidationTrial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[tuple[TrainingSpec, set[int]]] = []

    def cross_validate(
        spec: TrainingSpec,
        folds: int,
        done: Collection[int],
        on_fold: Callable[[int, TrainingResult], None],
        at_once: int,
    ) -> None:
        asked.append((spec, set(done)))
        for fold in set(range(folds)) - set(done):
            metrics = {"macro_f1": 0.5}
            on_fold(
                fold,
                TrainingResult(metrics=metrics, epoch=1, steps=1, seconds=1, samples_per_second=1),
            )

    monkeypatch.setattr("podium.training.launch.cross_validate", cross_validate)
    kept = leave_models(trial, 3)
    (kept / "fold-1").rmdir()
    with caplog.at_level(logging.WARNING):
        assert fold_models_of(trial, ended(3, 0.55)) == kept
    assert [done for _, done in asked] == [{0}]
    assert asked[0][0].config.batch_size == 8 and asked[0][0].keep_model
    assert "fold 1 of trial 3 was trained again for its model, and has macro_f1=0.5 instead of 0.6" in caplog.text
