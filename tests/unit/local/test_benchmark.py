"""`podium benchmark MODEL`: what a measurement outside a run is known by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from podium.config.benchmark import BenchmarkConfig
from podium.data.staging import Texts
from podium.local.benchmark import BenchmarkCommand, _requests
from podium.local.models import LocatedModel
from podium.models.backbone import ModelFacts


def test_code_that_a_model_may_run_makes_another_measurement(tmp_path: Path) -> None:
    kind = "text-classification"
    model = LocatedModel("mine", "mine", tmp_path, "d", "onnx", ModelFacts(kind, ("onnx",)))
    session: Any = SimpleNamespace(config=BenchmarkConfig(variants=("onnx",)), task=kind, rows=["one row"])
    command = BenchmarkCommand(models=("mine",), any_variant=True, settings=(), store="", tracking_uri="")
    hardware = {"device": "cpu"}

    def key(model: LocatedModel, command: BenchmarkCommand = command) -> str:
        (request,) = _requests(model, {kind: Texts([], set())}, {kind: session}, command, hardware)
        return request.key.digest

    trusted = replace(model, trust_remote_code=True)
    assert key(model) == key(model) != key(trusted) == key(model, replace(command, trust_remote_code=True))
