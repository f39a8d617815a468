"""Step `baseline`: what fine-tuning must beat, on the same rows. Needs only the data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from podium.evaluation.metrics import details
from podium.evaluation.predictions import Predictions
from podium.records import ArtifactRef, Baseline, BaselineRecord, DataRecord
from podium.stages.refit import score_intervals
from podium.stages.step import StepInputs, StepRun
from podium.tasks import TASKS
from podium.tasks.base import BaselineKind, Training

if TYPE_CHECKING:
    from podium.data.artifact import DataArtifact


def compute(step: StepRun, inputs: StepInputs) -> BaselineRecord:
    """Train the baselines of the config on the development rows, and score the test rows."""
    from podium.data.artifact import DataArtifact
    from podium.execution.slots import core_slots

    rows = DataArtifact(Path(step.store.fetch(inputs.one(DataRecord).artifacts["data"])))
    found, artifacts = [], {}
    with core_slots():
        for kind in step.config.baseline.kinds:
            started = time.monotonic()
            predictions = predict(kind, rows, step.config.seed)
            seconds = time.monotonic() - started
            metrics = score_intervals(predictions, step.config.seed)
            found.append(Baseline(name=kind, metrics=metrics, details=details(predictions), seconds=seconds))
            artifacts[kind] = _keep(step, predictions)
            step.tracker.log_metrics(
                step.mlflow_run_id, {f"{kind}.test_{name}": interval.value for name, interval in metrics.items()}
            )
    return BaselineRecord(**step.stamp, baselines=tuple(found), artifacts=artifacts)


def predict(kind: BaselineKind, data: DataArtifact, seed: int) -> Predictions:
    """Train a baseline on train and validation rows, and predict the test rows; equal arguments give equal answers."""
    task, development = TASKS.get(data.task), data.development
    rows = Training(list(development[task.content]), list(development[task.target]))
    answers = task.baseline(kind, rows, list(data.test[task.content]), data.labels, seed)
    return Predictions.of(data.task, data.labels, data.test, answers)


def _keep(step: StepRun, predictions: Predictions) -> ArtifactRef:
    with step.store.scratch() as scratch:
        predictions.save(scratch / "predictions")
        return step.store.put_artifact("predictions", scratch / "predictions")
