from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from podium.errors import ModelError
from podium.models.inspection import inspect_model


def model(folder: Path, architecture: str = "BertForSequenceClassification", **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    described = {"architectures": [architecture], "id2label": {"1": "ham", "0": "spam"}, **config}
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.zeros(4, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("RobertaForTokenClassification", "ner"),
        ("LlamaForCausalLM", "generation"),
        ("GPT2LMHeadModel", "generation"),
    ],
)
def test_the_kind_is_that_of_the_architecture(tmp_path: Path, architecture: str, kind: str) -> None:
    found = inspect_model(model(tmp_path, architecture))
    assert (found.kind, found.package) == (kind, False)
    assert found.labels == (() if kind == "generation" else ("spam", "ham")), "in the order of their numbers"


def test_labels_that_are_only_numbers_are_none(tmp_path: Path) -> None:
    assert inspect_model(model(tmp_path, id2label={"0": "LABEL_0", "1": "LABEL_1"})).labels == ()


def test_an_exported_package_tells_its_task(tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).touch()
    (tmp_path / "podium.json").write_text(json.dumps({"task": "ner", "labels": ["O", "B-PER"]}))
    found = inspect_model(tmp_path)
    assert (found.kind, found.package, found.labels) == ("ner", True, ("O", "B-PER"))


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has neither config.json nor model.onnx"),
        (lambda folder: (folder / "config.json").write_text("{"), "must be JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds list"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda folder: (folder / "model.safetensors").unlink(), "must have weights"),
        (cut_weights, "damaged or cut off"),
        (lambda folder: model(folder, "BertModel"), "names BertModel; train it"),
        (lambda folder: (folder / "model.onnx").touch(), "podium.json must be JSON"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(tmp_path: Path, damage: object, reason: str) -> None:
    damage(model(tmp_path))  # type: ignore[operator]
    with pytest.raises(ModelError, match=reason):
        inspect_model(tmp_path)


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no directory"):
        inspect_model(tmp_path / "absent")
