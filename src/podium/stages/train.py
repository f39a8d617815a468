"""Steps `baseline` and `refit`: the baselines, and the best trial of a study, trained on all development data."""

from __future__ import annotations

import shutil
import time
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from podium.config.schema import TrainingConfig
from podium.devices.hardware import available_cores
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.metrics import all_metrics, details
from podium.evaluation.predictions import Predictions
from podium.records import ArtifactRef, Baseline, BaselineRecord, DataRecord, Interval, ModelRecord, StudyRecord
from podium.stages.keys import refit_training
from podium.stages.step import StepRun
from podium.tasks import TASKS
from podium.tasks.base import Training

if TYPE_CHECKING:
    from podium.data.artifact import DataArtifact
    from podium.training.launch import TrainingSpec

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of the intervals in a model's record: fixed, since a setting of the selection must not train a model again."""


def training_spec(step: StepRun, training: TrainingConfig, work: Path, threads: int, **own: Any) -> TrainingSpec:
    """What a step trains on its data, with its backbone; `own` are the fields that not every training has."""
    from podium.models.backbone import locate_backbone
    from podium.training.launch import TrainingSpec

    data, backbone = step.one(DataRecord), step.config.backbones[step.backbone]
    return TrainingSpec(
        task=data.task,
        labels=data.labels,
        data=step.store.fetch(data.artifacts["data"]),
        data_digest=data.artifacts["data"].digest,
        backbone=locate_backbone(backbone),
        trust_remote_code=backbone.trust_remote_code,
        config=training,
        metric=step.config.hpo.metric,
        seed=step.config.seed,
        threads=threads,
        output=work,
        cache=step.store.cache("tokenised"),
        context={"backbone": step.backbone},
        **own,
    )


def refit(step: StepRun) -> ModelRecord:
    """Refit the best trial on train and validation rows under the protocol of the trial."""
    from podium.training.launch import run_training

    data, study = step.one(DataRecord), step.one(StudyRecord)
    training = refit_training(step.config, study)
    work = step.store.cache(f"refit-{step.key.digest}")
    spec = training_spec(step, training, work, training.threads or available_cores())
    result = run_training(spec, log=(step.directory or work) / "training.log")
    predictions = Predictions.load(work / "predictions")
    record = ModelRecord(
        **step.stamp,
        backbone=study.backbone,
        task=data.task,
        trial=study.best,
        params=study.best_trial.params,
        labels=data.labels,
        parameters=count_parameters(work / "model"),
        cv_score=study.best_score,
        metric=study.metric,
        metrics=score_intervals(predictions, step.config.seed),
        details={**details(predictions), "training": result.model_dump()},
        artifacts={name: step.store.put_artifact(name, work / name) for name in ("model", "predictions")},
    )
    tracker, run_id = step.tracker, step.mlflow_run_id
    tracker.log_params(run_id, {"backbone": record.backbone, "trial": record.trial, **training.model_dump()})
    tracker.log_metrics(run_id, {f"test_{name}": interval.value for name, interval in record.metrics.items()})
    tracker.log_model(run_id, record, f"{step.store.uri}/artifacts/{record.artifacts['model'].digest}")
    shutil.rmtree(work)
    return record


def score_intervals(predictions: Predictions, seed: int) -> dict[str, Interval]:
    """Every metric that the predictions support, with its interval."""
    names = sorted(all_metrics(predictions))
    return {name: bootstrap_interval(predictions, name, CONFIDENCE, RESAMPLES, seed) for name in names}


def count_parameters(model: Path) -> int:
    """Number of weights in the safetensors files below `model`, from their headers alone."""
    from safetensors import safe_open

    total = 0
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as weights:
            total += sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def baseline(step: StepRun) -> BaselineRecord:
    """Train the baselines of the config on the development rows, and score the test rows."""
    from podium.data.artifact import DataArtifact
    from podium.execution.slots import core_slots

    rows = DataArtifact(step.store.fetch(step.one(DataRecord).artifacts["data"]))
    found, artifacts = [], {}
    with core_slots():
        for kind in step.config.baseline.kinds:
            started = time.monotonic()
            predictions = predict(kind, rows, step.config.seed)
            seconds = time.monotonic() - started
            metrics = score_intervals(predictions, step.config.seed)
            found.append(Baseline(name=kind, metrics=metrics, details=details(predictions), seconds=seconds))
            artifacts[kind] = keep_predictions(step, predictions)
            step.tracker.log_metrics(
                step.mlflow_run_id, {f"{kind}.test_{name}": interval.value for name, interval in metrics.items()}
            )
    return BaselineRecord(**step.stamp, baselines=tuple(found), artifacts=artifacts)


def predict(kind: str, data: DataArtifact, seed: int) -> Predictions:
    """Train a baseline on train and validation rows, and predict the test rows; equal arguments give equal answers."""
    task, development = TASKS.get(data.task), data.development
    rows = Training(list(development[task.content]), list(development[task.target]))
    if kind == "linear":
        return _linear(rows, data, seed)
    answers = task.baseline(rows, list(data.test[task.content]), data.labels)
    return Predictions.of(data.task, data.labels, data.test, answers)


def _linear(rows: Training, data: DataArtifact, seed: int) -> Predictions:
    """The predictions of a linear model with default hyperparameters."""
    from podium.entrants.linear import LinearConfig
    from podium.entrants.linear_training import fit, load
    from podium.inference.predictor import predict as predict_rows

    with TemporaryDirectory() as folder:
        fit(TASKS.get(data.task), data.labels, rows, LinearConfig(), seed).save(Path(folder))
        return predict_rows(load(Path(folder), data.task, data.labels), data.task, data.labels, data.test)


def keep_predictions(step: StepRun, predictions: Predictions) -> ArtifactRef:
    """Store predictions as an artifact."""
    with step.store.scratch() as scratch:
        predictions.save(scratch / "predictions")
        return step.store.put_artifact("predictions", scratch / "predictions")
