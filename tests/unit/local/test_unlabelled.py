"""Rows without labels in a pod: the winner's answers become the file of an artifact, and no run fails for them."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.errors import DataError, OutOfMemory
from podium.local import unlabelled
from podium.local.inference import InferCommand
from podium.local.inference_system import SystemCommand
from podium.local.unlabelled import PREDICTIONS_FILE, UnlabelledCall, predict_unlabelled, publish_predictions
from podium.records import ReportRecord
from tests.unit.report.samples import sample

GIVEN = sample()
MODEL = next(one for one in GIVEN.models if one.entrant == "minilm")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[InferCommand]:
    """Rows are predicted at once; what was asked for."""
    found: list[InferCommand] = []

    def infer(command: InferCommand, directory: Path, *_: Any) -> None:
        found.append(command)
        if "absent" in command.data.data:
            raise DataError("there is no such file")
        (directory / PREDICTIONS_FILE).write_text("id,label\n")

    def run_program(module: str, spec: UnlabelledCall, *_: Any, limit: float, **__: Any) -> str:
        assert module == unlabelled.__name__ and limit < 6 * 3600, "the report is not lost with its pod"
        if "huge" in str(spec.config.dataset.predict_path):
            raise OutOfMemory("the prediction must fit into memory")
        call = UnlabelledCall.model_validate_json(spec.model_dump_json())
        return predict_unlabelled(call.config, call.winner, call.model, call.folder, "")

    monkeypatch.setattr(unlabelled, "infer", infer)
    monkeypatch.setattr(unlabelled, "run_program", run_program)
    return found


def published(folder: Path, monkeypatch: pytest.MonkeyPatch, path: str | None, winner: str | None = "minilm") -> bool:
    """Whether there is an artifact of predictions, of a run whose models were measured on a GPU."""
    config = GIVEN.run.config
    changed = {
        "dataset": config.dataset.model_copy(update={"predict_path": path}),
        "benchmark": config.benchmark.model_copy(update={"device": "cuda"}),
    }
    GIVEN.run.model_copy(update={"config": config.model_copy(update=changed)}).save(folder / "run.json")
    decision = GIVEN.decision.model_copy(update={"winner": winner})
    stored = {decision.key: decision, MODEL.key: MODEL}
    (folder / "scratch").mkdir()
    noted: list[Any] = []
    monkeypatch.setattr(unlabelled, "note_predictions", lambda run, kept: noted.append(kept))
    store = SimpleNamespace(
        put_artifact=lambda name, place: [one.name for one in place.iterdir()],
        get=lambda kind, key: stored.get(key),
        fetch=lambda reference: folder / "model",
        scratch=lambda: nullcontext(folder / "scratch"),
    )
    monkeypatch.setattr(unlabelled, "open_store", lambda config: store)
    report = ReportRecord(key="r", summary={}, parents={"decision": decision.key, "refit.minilm": MODEL.key})
    publish_predictions(str(folder / "run.json"), report, str(folder / "artifacts" / "predictions"))
    there = (folder / "artifacts" / "predictions").is_file()
    assert noted == ([[PREDICTIONS_FILE]] if there else [])
    return there


def test_the_winner_answers_on_the_processor_of_the_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[InferCommand]
) -> None:
    assert published(tmp_path, monkeypatch, "s3://bucket/test.csv")
    (command,) = asked
    assert isinstance(command.system, SystemCommand)
    assert (command.system.model, command.system.device) == (str(tmp_path / "model"), "cpu")
    assert command.data.data == "s3://bucket/test.csv"


@pytest.mark.parametrize(
    ("path", "winner", "said"),
    [
        (None, "minilm", ""),
        ("test.csv", None, "skipped: no entrant won"),
        ("absent.csv", "minilm", "failed: there is no such file; try: podium infer"),
        ("huge.csv", "minilm", "failed: the prediction must fit into memory"),
    ],
)
def test_without_answers_there_is_no_file_and_the_log_says_why(
    path: str | None,
    winner: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[InferCommand],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert not published(tmp_path, monkeypatch, path, winner)
    assert said in caplog.text and bool(caplog.text) == bool(said)
