from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from podium import events
from podium.data.artifact import DataArtifact
from podium.errors import (
    DataError,
    ModelError,
    NonFiniteLoss,
    OutOfMemory,
    TimeLimitExceeded,
    TrialPruned,
)
from podium.evaluation.metrics import all_metrics, score
from podium.evaluation.predictions import Predictions
from podium.training import train as module
from podium.training.launch import TrainingResult, TrainingSpec, cross_validate
from podium.training.train import train
from podium.training.trainer import Evaluation, PodiumTrainer

SpecMaker = Callable[..., TrainingSpec]
FAST = {"learning_rate": 1e-3, "epochs": 3}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    file = tmp_path / "events.jsonl"
    monkeypatch.setenv(events.ENV_FILE, str(file))
    return lambda: [json.loads(line) for line in file.read_text().splitlines()]


def test_learns_bbc_and_tells_progress(
    text_spec: SpecMaker, told: Callable[[], list[dict[str, Any]]], capfd: pytest.CaptureFixture[str]
) -> None:
    spec = text_spec(pretrained=True, **FAST).model_copy(update={"context": {"trial": 4}})
    result = train(spec)
    assert result.metrics["accuracy"] > 0.6, "five classes of equal size: a constant answer scores 0.2"
    assert set(result.metrics) == {"accuracy", "macro_f1", "log_loss"}
    assert (result.epoch, result.steps) == (3.0, 30)
    assert result.samples_per_second > 0 and result.seconds > 0
    lines = [line for line in told() if line["event"] == "epoch"]
    assert [(line["epoch"], line["step"], line["steps"]) for line in lines] == [(1, 10, 30), (2, 20, 30), (3, 30, 30)]
    assert lines[-1]["score"] == result.metrics["accuracy"] and lines[-1]["loss"] < lines[0]["loss"]
    assert {(line["trial"], line["fold"], line["metric"]) for line in lines} == {(4, 0, "accuracy")}
    assert capfd.readouterr() == ("", ""), "nothing of the libraries' own reports belongs into a log"
    assert not (spec.output / "checkpoints").exists() and not (spec.output / "model").exists()


def test_learns_entities(ner_spec: SpecMaker) -> None:
    result = train(ner_spec(fold=1, pretrained=True, learning_rate=3e-3, epochs=6))
    assert result.metrics["token_accuracy"] > 0.8 and result.metrics["f1"] > 0.15
    assert set(result.metrics) == {"f1", "precision", "recall", "token_accuracy"}


def test_same_seed_same_result_and_another_seed_another(text_spec: SpecMaker) -> None:
    first, again = train(text_spec(epochs=0.5)), train(text_spec(epochs=0.5))
    other = train(text_spec(epochs=0.5).model_copy(update={"seed": 8}))
    assert first.metrics == again.metrics != other.metrics
    assert (first.epoch, first.steps) == (0.5, 5)


def test_refit_leaves_a_model_its_card_and_predictions(text_spec: SpecMaker, bbc: Path) -> None:
    spec = text_spec(fold=None, pretrained=True, **FAST)
    result = train(spec)
    assert sorted(path.name for path in spec.output.iterdir()) == ["model", "predictions"]
    predictions = Predictions.load(spec.output / "predictions")
    test = DataArtifact(bbc).test
    assert predictions.ids == tuple(test["id"]) and predictions.truth.tolist() == list(test["label"])
    assert all_metrics(predictions) == pytest.approx(result.metrics) and result.metrics["accuracy"] > 0.6
    names = {path.name for path in (spec.output / "model").iterdir()}
    assert {"model.safetensors", "config.json", "README.md"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in names)
    card = (spec.output / "model" / "README.md").read_text()
    for text in ("pipeline_tag: text-classification", "| learning_rate | 0.001 |", "| train rows | 160 |", "`sports`"):
        assert text in card
    assert f"| accuracy | {result.metrics['accuracy']:.4f} |" in card
    assert str(spec.output) not in card and str(spec.backbone) not in card

    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(spec.output / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(spec.output / "model")
    batch = tokenizer(test["text"][:4], truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        probabilities = model(**batch).logits.softmax(-1).numpy()
    assert probabilities == pytest.approx(predictions.probabilities[:4], abs=1e-5)
    assert model.config.id2label[predictions.predicted[0]] == predictions.labels[predictions.predicted[0]]


def test_a_head_that_was_kept_is_noted(text_spec: SpecMaker, tmp_path: Path) -> None:
    first = text_spec(fold=None, epochs=0.1)
    assert train(first).notes == ()
    again = first.model_copy(update={"backbone": first.output / "model", "output": tmp_path / "again"})
    (note,) = train(again).notes
    assert "head for the same labels, which was kept" in note


def test_refit_scores_words_that_truncation_took(ner_spec: SpecMaker, conll: Path) -> None:
    spec = ner_spec(fold=None, pretrained=True, learning_rate=3e-3, epochs=4, max_length=8)
    result = train(spec)
    predictions = Predictions.load(spec.output / "predictions")
    test = DataArtifact(conll).test
    assert predictions.ids == tuple(test["id"])
    assert [len(tags) for tags in predictions.predicted] == [len(tokens) for tokens in test["tokens"]]
    assert [list(tags) for tags in predictions.truth] == [[spec.labels[tag] for tag in tags] for tags in test["tags"]]
    assert all(set(tags[8:]) <= {"O"} for tags in predictions.predicted)
    assert any(set(tags) - {"O"} for tags in predictions.predicted)
    assert all_metrics(predictions) == pytest.approx(result.metrics)


def test_predictions_do_not_depend_on_the_order_of_evaluation(text_spec: SpecMaker) -> None:
    spec = text_spec(fold=None, epochs=0.5)
    train(spec)
    large = Predictions.load(spec.output / "predictions")
    train(spec.model_copy(update={"config": spec.config.model_copy(update={"eval_batch_size": 1})}))
    assert Predictions.load(spec.output / "predictions").probabilities == pytest.approx(large.probabilities, abs=1e-5)


class Killed(BaseException):
    pass


def train_but_die_before_step(spec: TrainingSpec, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: PodiumTrainer, *args: Any) -> Any:
        if self.state.global_step + 1 == number:
            raise Killed
        return step(self, *args)

    step = PodiumTrainer.training_step
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(PodiumTrainer, "training_step", die)
        train(spec)


@pytest.mark.parametrize("die_before", [4, 6, 9])
def test_resumed_training_ends_the_same(ner_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch, die_before: int) -> None:
    """Five steps an epoch, checkpoints after steps 3, 5 and 8: in the first epoch, between epochs, in the second."""
    spec = ner_spec(epochs=2, gradient_accumulation=2, evaluations_per_epoch=2, dropout=0.2, learning_rate=1e-3)
    expected = train(spec)
    train_but_die_before_step(spec, die_before, monkeypatch)
    assert len(list((spec.output / "checkpoints").glob("checkpoint-*"))) == 1
    seen: list[int] = []
    begin = PodiumTrainer.get_batch_samples
    monkeypatch.setattr(PodiumTrainer, "get_batch_samples", lambda self, *args: (seen.append(1), begin(self, *args))[1])
    result = train(spec)
    assert len(seen) == {4: 7, 6: 5, 9: 2}[die_before], "it must go on from the checkpoint, not start anew"
    assert (result.metrics, result.epoch, result.steps) == (expected.metrics, expected.epoch, expected.steps)


def test_checkpoint_of_another_training_is_not_resumed_from(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_but_die_before_step(text_spec(), 8, monkeypatch)
    changed = text_spec(learning_rate=1e-3)
    after = train(changed)
    assert after.metrics == train(changed).metrics


def test_early_stopping_reports_the_best_evaluation(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[dict[str, Any]]]
) -> None:
    scores = iter([0.2, 0.6, 0.5, 0.4, 0.9])
    monkeypatch.setattr(module, "all_metrics", lambda _: {"accuracy": next(scores)})
    spec = text_spec(epochs=5, early_stopping_patience=2).model_copy(update={"data_fraction": 0.2})
    result = train(spec)
    assert (result.metrics, result.epoch, result.steps) == ({"accuracy": 0.6}, 2.0, 6)
    assert [line["score"] for line in told() if line["event"] == "epoch"] == [0.2, 0.6, 0.5, 0.4]


def test_without_early_stopping_the_last_evaluation_counts(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.1])
    monkeypatch.setattr(module, "all_metrics", lambda _: {"accuracy": next(scores)})
    assert train(text_spec(epochs=1, evaluations_per_epoch=2)).metrics == {"accuracy": 0.1}


Told = list[tuple[float, float, dict[str, float]]]


def listener(told: Told) -> Callable[[Evaluation, float], None]:
    return lambda evaluation, share: told.append((evaluation.epoch, share, evaluation.metrics))


def test_evaluations_are_told_and_change_nothing(text_spec: SpecMaker) -> None:
    told: Told = []
    often = train(text_spec(epochs=1, evaluations_per_epoch=3), listener(told))
    assert often.metrics == train(text_spec(epochs=1)).metrics
    assert [(epoch, share) for epoch, share, _ in told] == [(0.4, 0.4), (0.7, 0.7)]
    assert told[1][2] != often.metrics and set(told[1][2]) == set(often.metrics)


def test_evaluations_from_before_an_interruption_are_told_again(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Told = []
    spec = text_spec(epochs=1, evaluations_per_epoch=5)
    undisturbed = train(spec, listener(whole))
    train_but_die_before_step(spec, 8, monkeypatch)
    resumed: Told = []
    assert train(spec, listener(resumed)).metrics == undisturbed.metrics
    assert resumed == whole and len(whole) == 4


def test_with_early_stopping_the_best_evaluation_so_far_is_told(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.2, 0.9, 0.1, 0.4])
    monkeypatch.setattr(module, "all_metrics", lambda _: {"accuracy": next(scores)})
    told: Told = []
    train(text_spec(epochs=1, evaluations_per_epoch=4, early_stopping_patience=3), listener(told))
    assert [metrics["accuracy"] for _, _, metrics in told] == [0.2, 0.9, 0.9]


def test_what_a_listener_raises_ends_the_training(text_spec: SpecMaker) -> None:
    def stop(evaluation: Evaluation, share: float) -> None:
        raise TrialPruned("at half-time")

    with pytest.raises(TrialPruned, match="at half-time"):
        train(text_spec(epochs=1, evaluations_per_epoch=2), stop)


@pytest.mark.parametrize("patience", [None, 1])
def test_a_fold_may_leave_the_model_that_was_scored(text_spec: SpecMaker, bbc: Path, patience: int | None) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    training = {"learning_rate": 3e-3, "evaluations_per_epoch": 2, "early_stopping_patience": patience}
    spec = text_spec(epochs=3, **training).model_copy(update={"keep_model": True})
    result = train(spec)
    assert sorted(path.name for path in spec.output.iterdir()) == ["model", "predictions"]
    assert score(Predictions.load(spec.output / "predictions"), "accuracy") == result.metrics["accuracy"]
    model = AutoModelForSequenceClassification.from_pretrained(spec.output / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(spec.output / "model")
    artifact = DataArtifact(bbc)
    rows = artifact.development.select(artifact.fold(0)[1])
    batch = tokenizer(rows["text"][:], truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = model(**batch).logits.argmax(-1).numpy()
    assert (found == np.asarray(rows["label"])).mean() == pytest.approx(result.metrics["accuracy"])
    assert "held out of the training" in (spec.output / "model" / "README.md").read_text()


def test_predictions_of_the_best_evaluation_survive_an_interruption(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = text_spec(epochs=2, learning_rate=3e-3, evaluations_per_epoch=2, early_stopping_patience=9)
    expected = train(spec)
    held_out = Predictions.load(spec.output / "predictions")
    shutil.rmtree(spec.output)
    train_but_die_before_step(spec, 18, monkeypatch)
    assert train(spec).metrics == expected.metrics
    resumed = Predictions.load(spec.output / "predictions")
    assert resumed.ids == held_out.ids
    np.testing.assert_array_equal(resumed.probabilities, held_out.probabilities)


def test_class_weights_are_balanced_over_the_training_rows(text_spec: SpecMaker, ner_spec: SpecMaker) -> None:
    def weights(spec: TrainingSpec) -> torch.Tensor | None:
        return module._Training(spec, 0.0, None)._class_weights()

    assert weights(text_spec()) is None
    assert weights(text_spec(class_weights="balanced")) == pytest.approx(np.ones(5))
    training = module._Training(ner_spec(class_weights="balanced"), 0.0, None)
    found = training._class_weights()
    labels = np.concatenate([np.array(row) for row in training.train_tokens["labels"]])
    assert found is not None and found[0] < 1 < found[1], "O is by far the most frequent tag"
    assert found.numpy()[labels[labels >= 0]].mean() == pytest.approx(1, abs=1e-4)


def test_options_change_the_training(text_spec: SpecMaker) -> None:
    plain = train(text_spec(epochs=0.5)).metrics["log_loss"]
    for change in (
        {"label_smoothing": 0.3},
        {"dropout": 0.5},
        {"warmup_ratio": 0.9},
        {"weight_decay": 0.5, "learning_rate": 1e-3},
        {"gradient_accumulation": 2},
    ):
        assert train(text_spec(epochs=0.5, **change)).metrics["log_loss"] != plain, change


def test_loss_that_is_not_finite_ends_the_training_at_once(text_spec: SpecMaker) -> None:
    with pytest.raises(NonFiniteLoss, match=r"became (nan|inf) at step [23] of 100 .*training\.learning_rate"):
        train(text_spec(learning_rate=1e30, epochs=10, warmup_ratio=0))


def test_outputs_that_are_not_finite_are_never_scored(text_spec: SpecMaker) -> None:
    with pytest.raises(NonFiniteLoss, match="outputs must stay finite"):
        train(text_spec(fold=None, learning_rate=1e38, epochs=0.05, warmup_ratio=0))


def test_metric_that_is_not_finite(text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "all_metrics", lambda _: {"accuracy": float("nan")})
    with pytest.raises(NonFiniteLoss, match="every metric must be finite"):
        train(text_spec(epochs=0.1))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_says_what_to_lower(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(module, "load_model", fail)
    with pytest.raises(OutOfMemory, match=r"training\.batch_size \(now 8.*training\.max_length \(now 64"):
        train(text_spec())


def test_other_errors_keep_their_type(text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(module, "load_model", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        train(text_spec())


def test_time_limit(text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeLimitExceeded, match=r"must end within 1 s"):
        train(text_spec(epochs=500, timeout_seconds=1, checkpoints_per_epoch=1))


def test_wrong_input(text_spec: SpecMaker, bbc: Path, tmp_path: Path) -> None:
    spec = text_spec()
    with pytest.raises(DataError, match="must have the task and labels of the training"):
        train(spec.model_copy(update={"labels": ("a", "b")}))
    with pytest.raises(ModelError, match="max_length <= 128"):
        train(text_spec(max_length=600))
    with pytest.raises(ModelError, match=r"config\.json|tokenizer"):
        train(spec.model_copy(update={"backbone": tmp_path}))
    damaged = Path(shutil.copytree(bbc, tmp_path / "data"))
    shutil.rmtree(damaged / "validation")
    with pytest.raises(DataError, match="must be a whole data artifact"):
        train(spec.model_copy(update={"data": damaged}))


def test_cross_validation_runs_what_is_not_done(text_spec: SpecMaker, told: Callable[[], list[dict[str, Any]]]) -> None:
    spec = text_spec(fold=None, epochs=0.5).model_copy(update={"context": {"trial": 1}})
    reported: list[tuple[int, TrainingResult]] = []
    cross_validate(spec, 2, {0: 0.5}, lambda fold, result: reported.append((fold, result)))
    results = dict(reported)
    assert list(results) == [1]
    assert results[1].metrics == train(text_spec(fold=1, epochs=0.5)).metrics
    assert not list(spec.output.glob("fold-*"))
    started, finished = (
        [line for line in told() if line["event"] == name] for name in ("fold_started", "fold_finished")
    )
    assert [(line["fold"], line["trial"]) for line in started] == [(1, 1)]
    assert [(line["fold"], line["score"]) for line in finished] == [(1, results[1].metrics["accuracy"])]


def test_folds_at_once_give_what_one_after_another_do(text_spec: SpecMaker) -> None:
    spec = text_spec(fold=None, epochs=0.5, evaluations_per_epoch=4)
    results: dict[int, dict[int, TrainingResult]] = {1: {}, 2: {}}
    told: list[int] = []
    for at_once, found in results.items():
        cross_validate(spec, 2, {}, found.__setitem__, lambda fold, *_: told.append(fold), at_once)
    assert {fold: result.metrics for fold, result in results[2].items()} == {
        fold: result.metrics for fold, result in results[1].items()
    }
    assert told == [0, 1], "folds in other processes tell nothing before their end"
    assert not list(spec.output.glob("fold-*"))


def test_cross_validation_keeps_models(text_spec: SpecMaker) -> None:
    spec = text_spec(fold=None, epochs=0.1).model_copy(update={"keep_model": True})
    cross_validate(spec, 2, {}, lambda *_: None)
    kept = [path.relative_to(spec.output).as_posix() for path in spec.output.glob("**/model.safetensors")]
    assert sorted(kept) == ["models/fold-0/model.safetensors", "models/fold-1/model.safetensors"]
    assert sorted(path.name for path in spec.output.iterdir()) == ["models", "predictions"]


def test_cross_validation_ends_with_what_the_callback_raises(text_spec: SpecMaker) -> None:
    def stop(fold: int, result: TrainingResult) -> None:
        raise KeyboardInterrupt(fold)

    with pytest.raises(KeyboardInterrupt, match="0"):
        cross_validate(text_spec(epochs=0.1), 2, {}, stop)
