"""Step `refit`: the best trial of a study, trained again on all development data and scored on the test rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from podium.config.schema import TrainingConfig
from podium.devices.machine import available_cores
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.metrics import all_metrics, details
from podium.evaluation.predictions import Predictions
from podium.records import DataRecord, Interval, ModelRecord, StudyRecord
from podium.stages.keys import refit_training
from podium.stages.step import StepInputs, StepRun

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of the intervals in a model's record: fixed, since a setting of the selection must not train a model again."""


def compute(step: StepRun, inputs: StepInputs) -> ModelRecord:
    """Refit the best trial on train and validation rows under the protocol of the trial."""
    from podium.models.backbone import locate_backbone
    from podium.training.launch import run_training
    from podium.training.spec import TrainingSpec

    config, data, study = step.config, inputs.one(DataRecord), inputs.one(StudyRecord)
    training = refit_training(config, study)
    work = step.store.cache(f"refit-{step.key.digest}")
    spec = TrainingSpec(
        task=data.task,
        labels=data.labels,
        data=step.store.fetch(data.artifacts["data"]),
        data_digest=data.artifacts["data"].digest,
        backbone=locate_backbone(config.backbones[study.backbone]),
        trust_remote_code=config.backbones[study.backbone].trust_remote_code,
        config=training,
        metric=study.metric,
        seed=config.seed,
        threads=training.threads or available_cores(),
        output=work,
        cache=step.store.cache("tokenised"),
        context={"backbone": study.backbone},
    )
    result = run_training(spec, log=(step.directory or work) / "training.log")
    predictions = Predictions.load(work / "predictions")
    metrics = score_intervals(predictions, config.seed)
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
        metrics=metrics,
        details={**details(predictions), "training": result.model_dump()},
        artifacts={
            "model": step.store.put_artifact("model", work / "model"),
            "predictions": step.store.put_artifact("predictions", work / "predictions"),
        },
    )
    _track(step, record, metrics, training)
    shutil.rmtree(work)
    return record


def score_intervals(predictions: Predictions, seed: int) -> dict[str, Interval]:
    """Every metric that the predictions support, with its interval."""
    names = sorted(all_metrics(predictions))
    return {name: bootstrap_interval(predictions, name, CONFIDENCE, RESAMPLES, seed) for name in names}


def count_parameters(model: Path) -> int:
    """Number of weights in the safetensors files below `model`, from their headers alone."""
    from math import prod

    from safetensors import safe_open

    total = 0
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as weights:
            total += sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def _track(step: StepRun, record: ModelRecord, metrics: Mapping[str, Interval], training: TrainingConfig) -> None:
    tracker, run_id = step.tracker, step.mlflow_run_id
    tracker.log_params(run_id, {"backbone": record.backbone, "trial": record.trial, **training.model_dump()})
    tracker.log_metrics(run_id, {f"test_{name}": interval.value for name, interval in metrics.items()})
    model = record.artifacts["model"]
    tracker.log_model(run_id, record, f"{step.store.uri}/artifacts/{model.digest}")
