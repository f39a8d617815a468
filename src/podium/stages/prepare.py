"""Step `prepare`: resolve the config, open the run, and prepare the data set."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from podium.config.schema import PodiumConfig
from podium.errors import DataError
from podium.events import emit
from podium.records import DataRecord, RunRecord, withdrawn
from podium.stages.context import step_context
from podium.stages.keys import data_key
from podium.stages.run_form import RunForm, resolve_form
from podium.stages.step import StepRun, run_step
from podium.tracking import tracker_for
from podium.tracking.base import TAG_KIND


def prepare(form: RunForm, kfp_run_id: str = "") -> tuple[RunRecord, DataRecord]:
    """Compose the config, open (or attach to) the parent run, and prepare the data.

    Every backbone is located before anything is computed, so that a missing one costs no training.

    Raises:
        ConfigError, DataError, ModelError: the input cannot be used.
    """
    with step_context("prepare") as directory:
        config = resolve_form(form, Path.cwd()).composed.config
        locate_backbones(config)
        run = open_run(config, kfp_run_id)
        return run, prepare_data(run, directory)


def locate_backbones(config: PodiumConfig) -> dict[str, Path]:
    """The local directory of every backbone, by name.

    Raises:
        ModelError: one is missing or has no safetensors weights; the message names it and what to do.
    """
    from podium.models.backbone import check_weights, locate_backbone

    found = {name: locate_backbone(backbone) for name, backbone in config.backbones.items()}
    for path in found.values():
        check_weights(path)
    return found


def open_run(config: PodiumConfig, kfp_run_id: str) -> RunRecord:
    """Start the parent run in MLflow, or attach to the one that the KFP plugin made (`MLFLOW_RUN_ID`)."""
    run_id = os.environ.get("PODIUM_RUN_ID") or f"{datetime.now():%Y%m%d-%H%M%S}-{kfp_run_id[:8] or os.getpid()}"
    tags = {"podium.kfp.run_id": kfp_run_id} if kfp_run_id else {}
    name = f"{config.dataset.name} {run_id}"
    tracker = tracker_for(config.tracking)
    parent = tracker.open_run(name, {TAG_KIND: "run", "podium.run_id": run_id, **tags}, os.environ.get("MLFLOW_RUN_ID"))
    emit("run_opened", mlflow_run_id=parent)
    record = RunRecord(run_id=run_id, config=config, tags=tags, mlflow_run_id=parent or None)
    refused = withdrawn(tracker.moves(config.model_name))
    return record.model_copy(update={"incumbent": tracker.incumbent(config.model_name), "withdrawn": refused})


def prepare_data(run: RunRecord, directory: Path | None) -> DataRecord:
    """The data set of `run.config`, prepared or reused."""
    from podium.data.fingerprint import fingerprint

    key = data_key(run.config, fingerprint(run.config.dataset))
    return run_step(run, key, DataRecord, _compute, parents={}, directory=directory)


def _compute(step: StepRun) -> DataRecord:
    from dataclasses import asdict

    from podium.data.prepare import prepare as prepare_dataset

    with step.store.scratch() as scratch:
        prepared = prepare_dataset(step.config.dataset, step.config.seed, scratch / "data")
        if prepared.sources != step.key.parts["sources"]:
            raise DataError(f"{step.config.dataset.path} changed while it was read; run the same command again")
        artifact = step.store.put_artifact("data", scratch / "data")
    record = DataRecord(**step.stamp, **asdict(prepared), artifacts={"data": artifact})
    step.tracker.log_params(step.mlflow_run_id, {"dataset": record.name, "task": record.task, "seed": step.config.seed})
    step.tracker.log_metrics(step.mlflow_run_id, {f"rows.{name}": count for name, count in record.rows.items()})
    step.tracker.log_input(step.mlflow_run_id, record, step.config.dataset.path)
    return record
