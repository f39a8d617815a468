"""Steps `baseline` and `refit`: the majority class, and the best trial of a study, trained on all development data."""

from __future__ import annotations

import shutil
import time
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podium.config.entrants import ENTRANTS
from podium.config.section import Section
from podium.devices.hardware import available_cores
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.metrics import all_metrics, details
from podium.evaluation.predictions import Predictions
from podium.events import emit
from podium.records import ArtifactRef, Baseline, BaselineRecord, DataRecord, Interval, ModelRecord, StudyRecord
from podium.stages.keys import refit_settings
from podium.stages.step import StepRun
from podium.tasks import TASKS
from podium.tasks.base import Training

if TYPE_CHECKING:
    from podium.training.launch import FitSpec

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of the intervals in a model's record: fixed, since a setting of the selection must not train a model again."""
MAJORITY = "majority"
"""Name of the baseline."""


def training_spec(step: StepRun, settings: Section, work: Path, threads: int, **own: Any) -> FitSpec:
    """What a step trains on its data, with its entrant; `own` are the fields that not every training has."""
    data, entry = step.one(DataRecord), step.config.entrants[step.entrant]
    kind = ENTRANTS.get(entry.kind)
    spec: FitSpec = kind.spec(
        task=data.task,
        labels=data.labels,
        data=step.store.fetch(data.artifacts["data"]),
        data_digest=data.artifacts["data"].digest,
        **kind.source(entry),
        config=settings,
        metric=step.config.hpo.metric,
        seed=step.config.seed,
        threads=threads,
        output=work,
        cache=step.store.cache("tokenised"),
        context={"entrant": step.entrant},
        **own,
    )
    return spec


def refit(step: StepRun) -> ModelRecord:
    """Refit the best trial on train and validation rows under the protocol of the trial."""
    from podium.training.launch import run_training

    data, study = step.one(DataRecord), step.one(StudyRecord)
    settings = refit_settings(step.config, study)
    work = step.store.cache(f"refit-{step.key.digest}")
    spec = training_spec(step, settings, work, getattr(settings, "threads", None) or available_cores())
    result = run_training(spec, log=(step.directory or work) / "training.log")
    for note in result.notes:
        emit("note", text=note)
    predictions = Predictions.load(work / "predictions")
    record = ModelRecord(
        **step.stamp,
        entrant=study.entrant,
        task=data.task,
        trial=study.best,
        params=study.best_trial.params,
        labels=data.labels,
        parameters=count_parameters(work / "model"),
        cv_score=study.best_score,
        metric=study.metric,
        metrics=score_intervals(predictions, step.config.seed),
        details={**details(predictions), "training": result.model_dump(mode="json")},
        artifacts={name: step.store.put_artifact(name, work / name) for name in ("model", "predictions")},
        trust_remote_code=step.config.entrants[study.entrant].trust_remote_code,
    )
    tracker, run_id = step.tracker, step.mlflow_run_id
    tracker.log_params(run_id, {"entrant": record.entrant, "trial": record.trial, **settings.model_dump()})
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
    """Score what does not look at the rows: the most frequent label, or the most frequent tag of each word."""
    from podium.data.artifact import DataArtifact

    data = DataArtifact(step.store.fetch(step.one(DataRecord).artifacts["data"]))
    started, task, development = time.monotonic(), TASKS.get(data.task), data.development
    rows = Training(list(development[task.content]), list(development[task.target]))
    answers = task.baseline(rows, list(data.test[task.content]), data.labels)
    predictions = Predictions.of(data.task, data.labels, data.test, answers)
    seconds = time.monotonic() - started
    metrics = score_intervals(predictions, step.config.seed)
    found = Baseline(name=MAJORITY, metrics=metrics, details=details(predictions), seconds=seconds)
    step.tracker.log_metrics(
        step.mlflow_run_id, {f"{MAJORITY}.test_{name}": interval.value for name, interval in metrics.items()}
    )
    artifacts = {MAJORITY: keep_predictions(step, predictions)}
    return BaselineRecord(**step.stamp, baselines=(found,), artifacts=artifacts)


def keep_predictions(step: StepRun, predictions: Predictions) -> ArtifactRef:
    """Store predictions as an artifact."""
    with step.store.scratch() as scratch:
        predictions.save(scratch / "predictions")
        return step.store.put_artifact("predictions", scratch / "predictions")
