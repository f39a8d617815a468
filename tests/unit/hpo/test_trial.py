from __future__ import annotations

import pickle
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from podium.config.schema import TrainingConfig
from podium.errors import ConfigError, NonFiniteLoss, OutOfMemory, StoreError
from podium.hpo.trial import CrossValidationTrial, training_with
from podium.training.spec import TrainingResult, TrainingSpec

from .support import file_ledger

PARAMS = {"learning_rate": 5e-4, "batch_size": 8}


def fold_result(score: float) -> TrainingResult:
    metrics = {"macro_f1": score, "accuracy": score + 0.01}
    return TrainingResult(metrics=metrics, epoch=1.5, steps=9, seconds=2.0, samples_per_second=80.0, threads=1)


class Trainings:
    """Stands in for the folds' trainings: remembers what it was asked for, and fails where told to."""

    def __init__(self, scores: dict[int, float], error: Exception | None = None) -> None:
        self.scores, self.error = scores, error
        self.specs: list[TrainingSpec] = []
        self.run: list[int] = []

    def __call__(
        self, spec: TrainingSpec, folds: int, done: Collection[int], on_fold: Callable[[int, TrainingResult], None]
    ) -> None:
        self.specs.append(spec)
        spec.output.mkdir(parents=True)
        for fold in range(folds):
            if fold in done:
                continue
            if fold not in self.scores:
                assert self.error is not None
                raise self.error
            self.run.append(fold)
            on_fold(fold, fold_result(self.scores[fold]))


@pytest.fixture
def trial(tmp_path: Path) -> CrossValidationTrial:
    spec = TrainingSpec(
        task="text-classification",
        labels=("a", "b"),
        data=tmp_path / "data",
        backbone=tmp_path / "backbone",
        config=TrainingConfig(epochs=3, learning_rate=1e-4),
        metric="macro_f1",
        seed=13,
        output=tmp_path / "work",
        cache=tmp_path / "cache",
        context={"backbone": "tiny"},
    )
    return CrossValidationTrial(spec, folds=3)


def use(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    monkeypatch.setattr("podium.training.cross_validation.cross_validate", trainings)
    return trainings


def test_params_reach_the_training_and_folds_the_ledger(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings({0: 0.5, 1: 0.6, 2: 0.7}), monkeypatch)
    ledger = file_ledger(tmp_path)
    assert trial(ledger.begin(4, PARAMS), ledger).score == pytest.approx(0.6)
    (spec,) = trainings.specs
    assert spec.config == TrainingConfig(epochs=3, learning_rate=5e-4, batch_size=8)
    assert spec.context == {"backbone": "tiny", "number": 4}
    assert spec.output == tmp_path / "work" / "trial-000004"
    assert not spec.output.exists()
    (record,) = ledger.trials()
    assert record.fold_scores == {"0": 0.5, "1": 0.6, "2": 0.7}
    assert record.fold_metrics["1"] == {"macro_f1": 0.6, "accuracy": 0.61, "epoch": 1.5}
    assert record.fold_seconds == {"0": 2.0, "1": 2.0, "2": 2.0}
    assert trial.event_fields == {"backbone": "tiny", "folds": 3}


def test_a_continued_trial_runs_the_folds_it_lacks(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = file_ledger(tmp_path)
    ledger.fold_finished(ledger.begin(0, PARAMS), 1, 0.9, {}, 1.0)
    trainings = use(Trainings({0: 0.5, 2: 0.7}), monkeypatch)
    assert trial(ledger.take_over(0), ledger).score == pytest.approx(0.7)
    assert trainings.run == [0, 2]


@pytest.mark.parametrize("error", [OutOfMemory("full"), NonFiniteLoss("the loss is nan")])
def test_a_failed_trial_leaves_its_folds_and_no_files(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    trainings = use(Trainings({0: 0.5}, error), monkeypatch)
    ledger = file_ledger(tmp_path)
    with pytest.raises(type(error)):
        trial(ledger.begin(0, PARAMS), ledger)
    assert ledger.trials()[0].fold_scores == {"0": 0.5}
    assert not trainings.specs[0].output.exists()


def test_an_interrupted_trial_keeps_its_checkpoints(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings({0: 0.5}, StoreError("the disk is full")), monkeypatch)
    ledger = file_ledger(tmp_path)
    with pytest.raises(StoreError, match="the disk is full"):
        trial(ledger.begin(0, PARAMS), ledger)
    assert trainings.specs[0].output.exists()


def test_it_can_be_sent_to_a_worker(trial: CrossValidationTrial) -> None:
    assert pickle.loads(pickle.dumps(trial)) == trial


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"learning_rat": 1e-3}, "training.learning_rat: Extra inputs are not permitted"),
        ({"batch_size": 0}, "training.batch_size: Input should be greater than 0"),
    ],
)
def test_params_that_do_not_fit_the_training_are_refused(params: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        training_with(TrainingConfig(), params)
