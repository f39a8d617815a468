"""Tiny models of many architectures through everything that a model goes through, on rows with special tokens in them.

Where an architecture cannot take a step, the table of the guide says so and why: see `docs/models.md`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import podium_here
from podium.benchmarking.session import ModelFiles, Session, measure_together
from podium.config.benchmark import BenchmarkConfig
from podium.config.schema import TrackingConfig, TrainingConfig
from podium.data.artifact import DataArtifact
from podium.errors import ModelError
from podium.evaluation.predictions import Predictions
from podium.export import worker
from podium.export.variants import BuildCall, Built
from podium.inference.predictor import PredictorSpec, load_predictor, logits_of, predict
from podium.keys import digest_tree
from podium.models.network import check_backbone
from podium.records import ArtifactRef
from podium.tasks import TASKS
from podium.tracking import tracker_for
from podium.training.launch import TrainingSpec
from podium.training.train import train
from podium.training.trainer import PodiumTrainer
from tests.unit.conftest import TAGS, TEXT_LABELS, bbc_rows, conll_rows, write_artifact
from tests.unit.models.architectures import ARCHITECTURES, POSITIONS, save_architecture
from tests.unit.tracking.support import model_record

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SPECIAL = "</s> <s> [SEP] [CLS] <|endoftext|> <sep> <cls> <pad>"
"""Stands in some rows, as markup of another program might."""
LABELS = {"text-classification": TEXT_LABELS, "ner": TAGS}
METRIC = {"text-classification": "accuracy", "ner": "f1"}
NO_HEAD = {("bart", "ner")}
"""transformers has no such head."""
NOT_EXPORTED = {"xlnet": "OpOverload for aten.sub", "t5": "Cannot view a tensor with shape"}
"""Architectures that the exporter cannot follow, with a part of what it says."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    texts, words = bbc_rows(8), conll_rows(50)
    texts["text"] = [text[:600] + f" {SPECIAL}" * (number % 3) for number, text in enumerate(texts["text"])]
    for number in range(0, 50, 3):
        words["tokens"][number] = [*words["tokens"][number], *SPECIAL.split()]
        words["tags"][number] = [*words["tags"][number], *([0] * len(SPECIAL.split()))]
    rows = {"text-classification": texts, "ner": words}
    return {
        task: write_artifact(tmp_path_factory.mktemp(task), task, LABELS[task], columns)
        for task, columns in rows.items()
    }


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    texts, found = [text[:1500] for text in bbc_rows(6)["text"]], dict[str, Path]()

    def made(name: str) -> Path:
        if name not in found:
            found[name] = save_architecture(name, tmp_path_factory.mktemp("backbones") / name, texts)
        return found[name]

    return made


def training(task: str, folder: Path, data: Path, output: Path) -> TrainingSpec:
    config = TrainingConfig(epochs=1, max_length=48, batch_size=8, learning_rate=1e-3, checkpoints_per_epoch=2)
    common = {"task": task, "labels": LABELS[task], "data": data, "metric": METRIC[task], "seed": 7, "threads": 1}
    return TrainingSpec(**common, backbone=folder, config=config, output=output, cache=output.parent / "cache")


def loaded(folder: Path, task: str, variant: str = "eager", **fields: Any) -> Any:
    return load_predictor(spec(folder, task, variant, **fields))


def spec(folder: Path, task: str, variant: str = "eager", **fields: Any) -> PredictorSpec:
    values = {"labels": LABELS[task], "trust_remote_code": False, "device": "cpu", "threads": 1, **fields}
    return PredictorSpec(model_dir=folder, variant=variant, task=task, **values)


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_model_goes_all_the_way(
    name: str, task: str, data: dict[str, Path], backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, artifact = backbone(name), DataArtifact(data[task])
    if (name, task) in NO_HEAD:
        with pytest.raises(ModelError, match=f"must have a {task} head in transformers"):
            check_backbone(folder, task)
        return
    model, scored = trained_and_resumed(training(task, folder, data[task], tmp_path / "out"), monkeypatch)
    eager = loaded(model, task)
    again = predict(eager, task, LABELS[task], artifact.test)
    assert again.ids == scored.ids and again.named("predicted") == scored.named("predicted")
    long = [" ".join(["word </s>"] * 500)] if task != "ner" else [["word", "</s>"] * 500]
    assert len(eager(long)) == 1

    exported(name, task, model, data[task], tmp_path / "out" / "predictions", tmp_path / "variants")
    benchmarked(model, task, list(artifact.test[TASKS.get(task).content]) + long, tmp_path / "measured")
    promoted(model, task, scored, artifact, tmp_path)


def trained_and_resumed(call: TrainingSpec, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Predictions]:
    """The model of a training that was killed and resumed, which is that of an undisturbed one."""
    train(call)
    expected, own = digest_tree(call.output / "model"), call.model_copy(update={"output": call.output.parent / "again"})

    def die(self: PodiumTrainer, *args: Any) -> Any:
        if self.state.global_step + 1 == 4:
            raise KeyboardInterrupt
        return step(self, *args)

    step = PodiumTrainer.training_step
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(PodiumTrainer, "training_step", die)
        train(own)
    assert [*(own.output / "checkpoints").glob("checkpoint-*")]
    train(own)
    assert digest_tree(own.output / "model") == expected
    return call.output / "model", Predictions.load(call.output / "predictions")


def exported(name: str, task: str, model: Path, data: Path, reference: Path, output: Path) -> None:
    """Both packages give the logits of the eager model, or the reason why there are none is in plain words."""
    common = {"metric": METRIC[task], "margin": 1.0, "seed": 7}
    call = BuildCall(
        eager=spec(model, task), variants=("onnx", "onnx-int8"), data=data, reference=reference, output=output, **common
    )
    built = {variant: Built.model_validate(one) for variant, one in worker.build(call).items()}
    if name in NOT_EXPORTED:
        assert all(one.code == worker.BUILD and NOT_EXPORTED[name] in one.reason for one in built.values()), built
        assert not any("\x1b" in one.reason for one in built.values()) and not [*output.glob("*/model")]
        return
    assert [one.code for one in built.values()] == ["", ""], built
    rows = [[f"the {SPECIAL} house"], ["a much longer text than the other one"]]
    texts = [row[0] if task != "ner" else row[0].split() for row in rows]
    first, second = (
        logits_of(one, texts) for one in (loaded(model, task), loaded(output / "onnx/model", task, "onnx"))
    )
    assert all(np.allclose(a, b, atol=1e-3, equal_nan=True) for a, b in zip(first, second, strict=True))


def benchmarked(model: Path, task: str, rows: list[Any], folder: Path) -> None:
    config = BenchmarkConfig(device="cpu", threads=1, repetitions=1, samples=20, max_seconds=1, throughput_batch_size=4)
    files = ModelFiles(model, "tiny", "eager", "d" * 64)
    ((measurement, samples),) = measure_together([files], Session(rows, task, config, LABELS[task]), folder)
    assert measurement.latency[0].value_ms > 0
    assert max(samples["repetitions"][0]["samples"]["latency"]["tokens"]) <= POSITIONS


def test_a_model_with_code_of_its_own_stays_usable_where_its_training_was_allowed_to_run_it(
    data: dict[str, Path], backbone: Any, tmp_path: Path
) -> None:
    task, folder = "text-classification", tmp_path / "own"
    shutil.copytree(backbone("electra"), folder)
    (folder / "own.py").write_text(
        "from transformers import ElectraConfig, ElectraForSequenceClassification\n"
        "class OwnConfig(ElectraConfig):\n    model_type = 'own'\n"
        "class OwnForSequenceClassification(ElectraForSequenceClassification):\n    config_class = OwnConfig\n"
    )
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "own"}
    config["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForSequenceClassification": "own.OwnForSequenceClassification",
    }
    (folder / "config.json").write_text(json.dumps(config))
    call = training(task, folder, data[task], tmp_path / "out")
    with pytest.raises(ModelError, match="set trust_remote_code=true"):
        train(call)
    train(call.model_copy(update={"trust_remote_code": True}))
    model, artifact = call.output / "model", DataArtifact(data[task])
    with pytest.raises(ModelError):
        loaded(model, task)
    promoted(model, task, Predictions.load(call.output / "predictions"), artifact, tmp_path, trust_remote_code=True)
    common = [str(model), "--store", str(tmp_path / "store"), "--set", "samples=20", "--set", "repetitions=1"]
    refused = podium_here(tmp_path, "benchmark", *common)
    assert refused.code == 2 and "--trust-remote-code" in refused.output, refused.output
    measured = podium_here(tmp_path, "benchmark", *common, "--trust-remote-code")
    assert measured.code == 0, measured.output
    registered = podium_here(
        tmp_path, "benchmark", "models:/tiny@champion", *common[1:], "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"
    )
    assert registered.code == 0, registered.output


def promoted(
    model: Path, task: str, scored: Predictions, artifact: DataArtifact, folder: Path, trust_remote_code: bool = False
) -> None:
    """Registered and made champion; what the registry gives back answers as before, and so does its server."""
    import mlflow

    tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"))
    trusted = {"trust_remote_code": trust_remote_code}
    ref = ArtifactRef(name="model", digest=digest_tree(model), files=5, size_bytes=1)
    record = model_record("a" * 64, task=task, labels=LABELS[task], artifacts={"model": ref}, **trusted)
    step = tracker.open_step(tracker.open_run("run", {}), "refit", {})
    version = tracker.register("tiny", step, model, record)
    tracker.move_champion("tiny", version, how="decided", by="run", reason="the first")
    incumbent = tracker.incumbent("tiny")
    assert incumbent is not None and incumbent.trust_remote_code == trust_remote_code
    downloaded = tracker.download_model("tiny", version, folder / "downloaded")
    again = predict(loaded(downloaded, task, labels=None, **trusted), task, LABELS[task], artifact.test)
    assert again.named("predicted") == scored.named("predicted")
    mlflow.set_tracking_uri(tracker.uri)
    served = mlflow.pyfunc.load_model("models:/tiny@champion")
    texts = [f"the house {SPECIAL} in London", "Shares fell", f"{SPECIAL} {SPECIAL}"]
    answers = served.predict(texts)
    if task != "ner":
        assert list(answers["label"]) == loaded(model, task, **trusted)(texts)
