"""Rows without labels, such as the test file of a Kaggle competition: the winner of a run predicts them."""

from __future__ import annotations

import io
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from podium.config.dataset import READING, DatasetConfig
from podium.config.paths import locate
from podium.config.schema import PodiumConfig
from podium.data.formats import infer_format
from podium.devices.hardware import available_cores
from podium.errors import PodiumError
from podium.execution import program
from podium.execution.failures import Purpose
from podium.execution.launch import run_program
from podium.inference.rows import Choice
from podium.local.inference import InferCommand, infer
from podium.local.inference_data import DataCommand
from podium.local.inference_system import SystemCommand
from podium.records import DecisionRecord, ModelRecord, Record, RunRecord
from podium.records.base import Frozen
from podium.stages.step import open_store
from podium.stages.steps import note_predictions

PREDICTIONS_FILE = "predictions.csv"

_SECONDS = 2 * 3600.0
"""That predicting may take in the pod of the report, which has six hours."""

_PURPOSE = Purpose(
    "the prediction of rows without labels", "give pool_cpu_memory more", "predict them with podium infer"
)

_log = logging.getLogger(__name__)


def predict_unlabelled(config: PodiumConfig, winner: str, model: Path | None, directory: Path, command: str) -> str:
    """Predict the rows of `dataset.predict_path` into `predictions.csv` of a run directory.

    Args:
        winner: the entrant that won; empty where none did.
        model: its package.

    Returns:
        A line for people: where the predictions are, or why there are none, and the command that makes them.
    """
    dataset = config.dataset
    path = str(dataset.predict_path)
    if model is None:
        return f"skipped: no entrant won; choose a model for {path}: podium infer MODEL --data {path} --all"
    fixed = {name: getattr(dataset, name) for name in READING if name != "format"}
    settings = [
        f"{name}={value}" for name, value in fixed.items() if isinstance(value, (str, bool)) and value != "auto"
    ]
    settings += _format(path, dataset)
    asked = InferCommand(
        SystemCommand(
            str(model),
            str(config.store),
            str(config.tracking.uri or ""),
            config.benchmark.device,
            trust_remote_code=config.entrants[winner].trust_remote_code,
        ),
        DataCommand(path, text_column=_given(dataset.text_column), settings=settings),
        Choice(),
        output=directory / PREDICTIONS_FILE,
        max_errors="100%",
        folder=directory / "inference",
    )
    try:
        infer(asked, directory, Console(file=io.StringIO()), command)
    except PodiumError as error:
        return f"failed: {error}; try: podium infer {model} --data {path} --all"
    return f"{directory / PREDICTIONS_FILE}  (rows of {path} without labels, by {winner})"


def _format(path: str, dataset: DatasetConfig) -> list[str]:
    """The format of the training rows, where the rows do not show their own, as in fastText without labels."""
    with suppress(PodiumError):
        infer_format(locate(path), dataset.task)
        return []
    return [f"format={dataset.format}"]


def publish_predictions(run: str, report: Record, file: str) -> None:
    """In a pod, predict the rows of `dataset.predict_path`, where there are any, into the file of a KFP artifact.

    There is no file where nothing won or the rows cannot be predicted; the log then says why. The pod has no device,
    whichever was measured. A process of its own predicts, so that neither its memory nor its time ends the run.
    `podium fetch` finds the answers in the store.

    Args:
        run: path of the run's record.
        report: the result of the last step.
        file: path of the artifact.
    """
    record = RunRecord.read(run)
    if not record.config.dataset.predict_path:
        return
    on_cpu = record.config.benchmark.model_copy(update={"device": "cpu"})
    config = record.config.model_copy(update={"benchmark": on_cpu})
    store = open_store(config)
    decision = store.get(DecisionRecord, report.parents[DecisionRecord.kind])
    winner = (decision and decision.winner) or ""
    refit = store.get(ModelRecord, report.parents.get(f"{ModelRecord.kind}.{winner}", ""))
    model = store.fetch(refit.artifacts["model"]) if refit else None
    with store.scratch() as folder:
        call = UnlabelledCall(config=config, winner=winner, model=model, folder=folder)
        try:
            said = run_program(
                "podium.local.unlabelled",
                call,
                folder,
                folder / "log.txt",
                purpose=_PURPOSE,
                environment=os.environ,
                cores=available_cores(),
                limit=_SECONDS,
            )
        except PodiumError as error:
            said = f"failed: {error}"
        _log.info("rows without labels: %s", said)
        if (made := folder / PREDICTIONS_FILE).is_file():
            for place in (Path(file), folder / "kept" / PREDICTIONS_FILE):
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(made, place)
            note_predictions(record, store.put_artifact("predictions", folder / "kept"))


class UnlabelledCall(Frozen):
    """What `predict_unlabelled` takes, as the spec of a program."""

    config: PodiumConfig
    winner: str
    model: Path | None
    folder: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict the rows that a spec names, and write the line for people; returns the exit code."""
    options = program.argument_parser("podium.local.unlabelled", "Predict rows without labels.").parse_args(arguments)
    return program.run(
        options,
        UnlabelledCall.model_validate_json,
        lambda call: predict_unlabelled(call.config, call.winner, call.model, call.folder, ""),
    )


def _given(column: str) -> str:
    return column if column not in ("text", "") else ""


if __name__ == "__main__":
    program.end(main())
