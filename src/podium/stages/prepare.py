"""From the run form to a validated config, a run, and step `prepare`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from podium.config.compose import Composed, compose
from podium.config.form import RunForm
from podium.config.overrides import Assignment, Parsed, backbone_choice, choice_of, parse_overrides
from podium.config.paths import locate, resolve
from podium.config.schema import PodiumConfig
from podium.errors import DataError
from podium.records import DataRecord, Record, RunRecord, withdrawn
from podium.stages.step import StepInputs, StepRun, execute
from podium.stages.steps import step_named
from podium.tracking import registry_state, tracker_for
from podium.tracking.base import TAG_KIND

_READING = {("dataset", name) for name in ("format", "encoding", "fallback_encoding")}
"""Fields by which inference reads the data, where the user has set them."""


def resolve_form(form: RunForm, directory: Path) -> Composed:
    """Turn a form into a validated config; relative paths are relative to `directory`.

    Raises:
        ConfigError: a value is unknown or contradicts another.
        InputError: the data or a backbone is missing, or its columns cannot be inferred.
    """
    files = [locate(resolve(form.run_config, directory))] if form.run_config else []
    given = Parsed()
    # The default preset is left to composition, so that a file may choose another.
    if form.run_preset != RunForm.run_preset:
        given.groups["preset"] = choice_of("preset", form.run_preset)
    lines: tuple[str, ...] = ()
    if form.data_path:
        from podium.data.infer import infer

        path = locate(resolve(form.data_path, directory))
        assigned = parse_overrides(form.run_overrides).assignments
        declared = {one.path[1]: one.value for one in assigned if one.path in _READING}
        found = infer(
            path, form.data_task or None, form.data_text_column or None, form.data_label_column or None, declared
        )
        given.add(found.given)
        lines = tuple(found.lines)
    if form.model_backbones:
        given.add(backbone_choice(form.model_backbones))
    given.assignments += [Assignment(tuple(name.split(".")), value) for name, value in form.config_values().items()]
    return replace(compose(form.run_overrides, directory, files, given), inferred=lines)


def prepare(form: RunForm, kfp_run_id: str) -> tuple[RunRecord, Record]:
    """What the first pod of a pipeline does: compose the config, open the parent run, and prepare the data.

    Every backbone is located before anything is computed, so that a missing one costs no training.

    Raises:
        ConfigError, DataError, ModelError: the input cannot be used.
    """
    config = resolve_form(form, Path.cwd()).config
    locate_backbones(config)
    tags = {"podium.kfp.run_id": kfp_run_id} if kfp_run_id else {}
    run = open_parent(new_run(config, f"{datetime.now():%Y%m%d-%H%M%S}-{kfp_run_id[:8] or os.getpid()}", tags))
    return run, execute(step_named("prepare"), StepInputs(run))


def locate_backbones(config: PodiumConfig) -> None:
    """Check that every backbone has weights here.

    Raises:
        ModelError: one is missing or has no safetensors weights; the message names it and what to do.
    """
    from podium.models.backbone import check_weights, locate_backbone

    for backbone in config.backbones.values():
        check_weights(locate_backbone(backbone))


def new_run(config: PodiumConfig, run_id: str, tags: dict[str, str] | None = None) -> RunRecord:
    """A run that begins now, with the champion that the registry has now; it has no parent run in MLflow yet."""
    registry = registry_state(config.tracking, config.model_name)
    gone = withdrawn(registry.moves)
    return RunRecord(run_id=run_id, config=config, incumbent=registry.incumbent, withdrawn=gone, tags=tags or {})


def open_parent(run: RunRecord, tags: Mapping[str, str] | None = None) -> RunRecord:
    """The run with its parent run in MLflow: a new one, or the one that the KFP plugin made (`MLFLOW_RUN_ID`)."""
    tags = {TAG_KIND: "run", "podium.run_id": run.run_id, **run.tags, **(tags or {})}
    name = f"{run.config.dataset.name} {run.run_id}"
    parent = tracker_for(run.config.tracking).open_run(name, tags, os.environ.get("MLFLOW_RUN_ID"))
    return run.model_copy(update={"mlflow_run_id": parent or None})


def compute(step: StepRun) -> DataRecord:
    """Read, check, split and store the data set."""
    from podium.data.prepare import prepare as prepare_dataset

    dataset, run_id = step.config.dataset, step.mlflow_run_id
    with step.store.scratch() as scratch:
        prepared = prepare_dataset(dataset, step.config.seed, scratch / "data")
        if prepared.sources != step.key.parts["sources"]:
            raise DataError(f"{dataset.path} changed while it was read; run the same command again")
        artifact = step.store.put_artifact("data", scratch / "data")
    record = DataRecord(**step.stamp, **dict(prepared), artifacts={"data": artifact})
    step.tracker.log_params(run_id, {"dataset": record.name, "task": record.task, "seed": step.config.seed})
    step.tracker.log_metrics(run_id, {f"rows.{name}": count for name, count in record.rows.items()})
    step.tracker.log_input(run_id, record, dataset.path)
    return record
