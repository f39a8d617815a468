"""Variants of a really trained model: built, checked, loaded in a clean process, and found again by a later run."""

from __future__ import annotations

import json
import shutil
import subprocess
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from conftest import Finished
from podium.config.benchmark import VariantName
from podium.config.schema import PodiumConfig
from podium.data.artifact import DataArtifact
from podium.errors import BenchmarkError
from podium.evaluation.predictions import Predictions
from podium.export import worker
from podium.export.variants import BuildCall, Built, build
from podium.inference.predictor import Predictor, PredictorSpec, predictor_class
from podium.keys import Key
from podium.records import DataRecord, ModelRecord, RunRecord
from podium.stages import benchmark as stage
from podium.stages.step import StepRun, open_store
from podium.store.store import ArtifactStore
from podium.tracking import Tracker

pytestmark = pytest.mark.integration

BUILT: tuple[VariantName, ...] = ("bf16", "onnx", "onnx-int8")
ALONE = ("numpy", "numpy.libs", "onnxruntime", "tokenizers", "flatbuffers", "google", "packaging", "ml_dtypes")
"""What onnxruntime and tokenizers install: all that a clean process has."""
CLEAN = """
import importlib.util, json, sys
from pathlib import Path
assert not any(importlib.util.find_spec(name) for name in ("torch", "transformers", "podium"))
spec = importlib.util.spec_from_file_location("onnx_package", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(module.OnnxPackage(Path(sys.argv[2]), 1)(json.load(sys.stdin))))
"""


class Trained:
    """The model of the smoke run and its data."""

    def __init__(self, run: Finished, folder: Path):
        self.store = ArtifactStore(str(run.folder / "podium-out" / "store"))
        self.data = DataRecord.read(run.record("prepare"))
        self.model = ModelRecord.read(run.record("refit-bert-tiny"))
        self.folder = folder

    def path(self, role: str) -> Path:
        return self.store.fetch(self.data.artifacts[role] if role == "data" else self.model.artifacts[role])

    def spec(self, **fields: Any) -> PredictorSpec:
        values: dict[str, Any] = {
            "model_dir": self.path("model"),
            "variant": "eager",
            "task": "text-classification",
            "labels": self.data.labels,
            "trust_remote_code": False,
            "device": "cpu",
            "threads": 1,
        }
        return PredictorSpec.model_validate(values | fields)

    def call(self, name: str, variants: tuple[VariantName, ...], **fields: Any) -> BuildCall:
        values: dict[str, Any] = {
            "eager": self.spec(),
            "variants": variants,
            "data": self.path("data"),
            "reference": self.path("predictions"),
            "metric": "macro_f1",
            "margin": 0.01,
            "seed": 13,
            "output": self.folder / name,
        }
        return BuildCall.model_validate(values | fields)

    def build(self, name: str, variants: tuple[VariantName, ...], **fields: Any) -> dict[VariantName, Built]:
        return build(self.call(name, variants, **fields), self.folder / f"{name}.log")

    def load(self, variant: VariantName, folder: Path, **fields: Any) -> Predictor:
        return predictor_class(variant, folder)(self.spec(variant=variant, model_dir=folder, **fields))


@pytest.fixture(scope="module")
def trained(smoke_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(smoke_run, tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def built(trained: Trained) -> dict[VariantName, Built]:
    return trained.build("variants", BUILT)


@pytest.fixture(scope="module")
def texts(trained: Trained) -> list[str]:
    return list(DataArtifact(trained.path("data")).test["text"])


class VariantConformance:
    """What holds for every variant that has files of its own."""

    variant: ClassVar[VariantName]
    weights: ClassVar[str]

    @pytest.fixture
    def folder(self, trained: Trained, built: dict[VariantName, Built]) -> Path:
        return trained.folder / "variants" / self.variant / "model"

    def test_it_passes_its_check(self, built: dict[VariantName, Built]) -> None:
        one = built[self.variant]
        assert (one.code, one.reason) == ("", "")
        assert one.check is not None and one.check.rows > 40
        assert 0 < one.check.logit_difference <= one.check.tolerance * one.check.logit_scale
        assert one.check.difference.low <= 0 <= one.check.difference.high

    def test_its_predictions_are_its_own(self, trained: Trained, texts: list[str], folder: Path) -> None:
        own = Predictions.load(folder.parent / "predictions")
        eager = Predictions.load(trained.path("predictions"))
        assert own.ids == eager.ids
        assert not np.array_equal(own.probabilities, eager.probabilities)
        assert np.mean(own.predicted == eager.predicted) > 0.9
        assert [own.labels[index] for index in own.predicted] == trained.load(self.variant, folder)(texts)

    def test_padding_and_truncation_are_those_of_eager(self, trained: Trained, texts: list[str], folder: Path) -> None:
        rows = ["short", *texts[:5], "a much longer text " * 60]
        eager, own = trained.load("eager", trained.path("model")), trained.load(self.variant, folder)
        assert own.tokens(rows) == eager.tokens(rows)
        alone, together = [own.logits([row])[0] for row in rows], own.logits(rows)
        scale = float(np.abs(np.array(eager.logits(rows))).max())
        assert np.abs(np.array(alone) - np.array(together)).max() < 0.05 * scale, "padding changes nothing"

    def test_a_damaged_file_is_told(self, trained: Trained, folder: Path, tmp_path: Path) -> None:
        damaged = tmp_path / "damaged"
        shutil.copytree(folder, damaged)
        content = (damaged / self.weights).read_bytes()
        (damaged / self.weights).write_bytes(content[: len(content) // 2])
        with pytest.raises(Exception, match=r"(?i)whole|header|incomplete|truncated|larger"):
            trained.load(self.variant, damaged)
        (damaged / self.weights).unlink()
        with pytest.raises(Exception, match=r"(?i)must have|no file|not found|does not appear"):
            trained.load(self.variant, damaged)

    def test_a_model_for_other_labels_or_another_task_is_refused(self, trained: Trained, folder: Path) -> None:
        with pytest.raises(Exception, match="the data has ham, spam"):
            trained.load(self.variant, folder, labels=("ham", "spam"))
        with pytest.raises(Exception, match=r"another task|the task of a package must be that of the data"):
            trained.load(self.variant, folder, task="ner")


class TestBf16(VariantConformance):
    variant, weights = "bf16", "model.safetensors"


class TestOnnx(VariantConformance):
    variant, weights = "onnx", "model.onnx"


class TestOnnxInt8(VariantConformance):
    variant, weights = "onnx-int8", "model.onnx"


@pytest.mark.parametrize("variant", ["onnx", "onnx-int8"])
def test_a_package_predicts_with_onnxruntime_alone_in_a_clean_process(
    trained: Trained, built: dict[VariantName, Built], texts: list[str], tmp_path: Path, variant: VariantName
) -> None:
    import podium.models.onnx_package

    venv.create(tmp_path / "clean", symlinks=True)
    (site,) = (tmp_path / "clean" / "lib").glob("*/site-packages")
    here = Path(str(distribution("onnxruntime").locate_file("")))
    for name in ALONE:
        if (here / name).exists():
            (site / name).symlink_to(here / name)
    folder = trained.folder / "variants" / variant / "model"
    done = subprocess.run(
        [tmp_path / "clean" / "bin" / "python", "-I", "-c", CLEAN, podium.models.onnx_package.__file__, folder],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    own = Predictions.load(folder.parent / "predictions")
    assert answer == [own.labels[index] for index in own.predicted]
    eager = trained.load("eager", trained.path("model"))(texts)
    assert np.mean([one == other for one, other in zip(answer, eager, strict=True)]) >= (
        0.9 if "int8" in variant else 1
    )


@pytest.mark.slow
def test_a_loss_of_quality_fails_and_equal_models_give_equal_packages(
    trained: Trained, built: dict[VariantName, Built]
) -> None:
    eager = Predictions.load(trained.path("predictions"))
    perfect = Predictions(eager.task, eager.labels, eager.ids, eager.truth, eager.truth)
    perfect.save(trained.folder / "perfect")
    found = trained.build("again", ("onnx", "onnx-int8"), reference=trained.folder / "perfect")
    assert {one.code for one in found.values()} == {"quality-lost"}
    assert "wholly beyond the loss of 0.01" in found["onnx"].reason
    for name in found:
        first, second = (
            (trained.folder / run / name / "model/model.onnx").read_bytes() for run in ("variants", "again")
        )
        assert first == second
        assert b"site-packages" not in first and str(Path.cwd()).encode() not in first


def test_what_cannot_be_built_has_its_reason_and_a_damaged_model_is_an_error(trained: Trained, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    shutil.copytree(trained.path("model"), slow)
    (slow / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    (slow / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')  # written in Python alone
    found = worker.build(trained.call("slow", ("onnx",), eager=trained.spec(model_dir=slow)))["onnx"]
    assert (found["code"], found["reason"]) == (
        "build-failed",
        "it could not be built: ModelError: an exported package needs a fast tokenizer, but ByT5Tokenizer is none",
    )
    (slow / "model.safetensors").chmod(0o644)
    (slow / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(BenchmarkError, match=r"failed with SafetensorError(.|\n)*broken\.log"):
        trained.build("broken", ("onnx",), eager=trained.spec(model_dir=slow))


def step_of(store: Path, data: Any, *variants: VariantName) -> StepRun:
    """A benchmark step on `data` that asks for `variants`."""
    config = PodiumConfig.model_validate(
        {
            "store": str(store),
            "dataset": {"name": "x", "path": "/x", "task": "text-classification"},
            "entrants": {"bert-tiny": {"path": "/tiny"}},
            "hpo": {"space": {"learning_rate": {"type": "float", "low": 1e-5, "high": 1e-3}}},
            "benchmark": {"variants": variants},
        }
    )
    run = RunRecord(run_id="r", config=config)
    return StepRun(run, (data,), store=open_store(config), tracker=Tracker(), key=Key.of("benchmark"))


@pytest.mark.slow
def test_a_variant_is_built_once_and_a_damaged_one_again(
    smoke_copy: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Trained(smoke_copy, tmp_path)
    monkeypatch.setattr(stage, "obstacle", lambda name, device: "no such arithmetic" if name == "bf16" else None)
    step = step_of(smoke_copy.folder / "podium-out" / "store", one.data, "eager", "bf16", "onnx")

    def made() -> dict[VariantName, Any]:
        return stage.build_variants(step, one.model, {"device": "cpu", "threads": "1"})

    first = made()
    assert {name: record.variant.status for name, record in first.items()} == {
        "eager": "ok",
        "bf16": "skipped",
        "onnx": "ok",
    }
    assert (first["bf16"].variant.reason, first["bf16"].artifacts) == ("no such arithmetic", {})
    assert first["eager"].artifacts == one.model.artifacts, "eager needs no copy of the weights"
    assert first["onnx"].artifacts["predictions"] != one.model.artifacts["predictions"]

    def forbidden(*arguments: Any) -> Any:
        raise AssertionError("nothing is to be built")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "build", forbidden)
        assert made() == first

    graph = step.store.fetch(first["onnx"].artifacts["model"]) / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(b"damaged")
    again = made()
    assert again["onnx"].artifacts["model"] == first["onnx"].artifacts["model"]
    assert step.store.fetch(again["onnx"].artifacts["model"])
