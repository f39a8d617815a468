"""Step `prepare`: resolve the config, open the run, and prepare the data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import cast

from podium.config.form import RunForm
from podium.config.schema import PodiumConfig
from podium.errors import DataError
from podium.records import DataRecord, RunRecord, withdrawn
from podium.stages.run_form import resolve_form
from podium.stages.step import StepInputs, StepRun, execute
from podium.stages.steps import step_named
from podium.tracking import registry_state, tracker_for
from podium.tracking.base import TAG_KIND


def prepare(form: RunForm, kfp_run_id: str) -> tuple[RunRecord, DataRecord]:
    """What the first pod of a pipeline does: compose the config, open the parent run, and prepare the data.

    Every backbone is located before anything is computed, so that a missing one costs no training.

    Raises:
        ConfigError, DataError, ModelError: the input cannot be used.
    """
    config = resolve_form(form, Path.cwd()).composed.config
    locate_backbones(config)
    tags = {"podium.kfp.run_id": kfp_run_id} if kfp_run_id else {}
    run = open_parent(new_run(config, f"{datetime.now():%Y%m%d-%H%M%S}-{kfp_run_id[:8] or os.getpid()}", tags))
    return run, prepare_data(run)


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


def new_run(config: PodiumConfig, run_id: str, tags: dict[str, str] | None = None) -> RunRecord:
    """A run that begins now, with the champion that the registry has now; it has no parent run in MLflow yet."""
    registry = registry_state(config.tracking, config.model_name)
    return RunRecord(
        run_id=run_id,
        config=config,
        incumbent=registry.incumbent,
        withdrawn=withdrawn(registry.moves),
        tags=tags or {},
    )


def open_parent(run: RunRecord, tags: Mapping[str, str] | None = None) -> RunRecord:
    """The run with its parent run in MLflow: a new one, or the one that the KFP plugin made (`MLFLOW_RUN_ID`)."""
    tags = {TAG_KIND: "run", "podium.run_id": run.run_id, **run.tags, **(tags or {})}
    name = f"{run.config.dataset.name} {run.run_id}"
    parent = tracker_for(run.config.tracking).open_run(name, tags, os.environ.get("MLFLOW_RUN_ID"))
    return run.model_copy(update={"mlflow_run_id": parent or None})


def prepare_data(run: RunRecord) -> DataRecord:
    """The data set of `run.config`, prepared or reused."""
    return cast(DataRecord, execute(step_named("prepare"), StepInputs(run)))


def compute(step: StepRun, inputs: StepInputs) -> DataRecord:
    """Read, check, split and store the data set."""
    from podium.data.prepare import prepare as prepare_dataset

    with step.store.scratch() as scratch:
        prepared = prepare_dataset(step.config.dataset, step.config.seed, scratch / "data")
        if prepared.sources != step.key.parts["sources"]:
            raise DataError(f"{step.config.dataset.path} changed while it was read; run the same command again")
        artifact = step.store.put_artifact("data", scratch / "data")
    record = DataRecord(**step.stamp, **dict(prepared), artifacts={"data": artifact})
    step.tracker.log_params(step.mlflow_run_id, {"dataset": record.name, "task": record.task, "seed": step.config.seed})
    step.tracker.log_metrics(step.mlflow_run_id, {f"rows.{name}": count for name, count in record.rows.items()})
    step.tracker.log_input(step.mlflow_run_id, record, step.config.dataset.path)
    return record
