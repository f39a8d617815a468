"""What answers the rows of `podium infer`, and what its answers are known by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from podium.local.inference_system import _trained
from podium.local.models import LocatedModel
from podium.models.backbone import ModelFacts


def test_code_that_a_model_may_run_makes_another_system(tmp_path: Path) -> None:
    facts = ModelFacts("text-classification", ("onnx",), labels=("bad", "good"))
    model = LocatedModel("mine", "mine", tmp_path, "d", "onnx", facts)

    def identity(model: LocatedModel, trust: bool = False) -> object:
        return _trained(model, "cpu", 1, trust).identity()

    trusted = replace(model, trust_remote_code=True)
    assert identity(model) == identity(model) != identity(trusted) == identity(model, trust=True)
