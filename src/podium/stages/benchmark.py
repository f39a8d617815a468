"""Step `benchmark`: what would be deployed, measured in fresh processes on this hardware."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from podium.records import (
    BenchmarkRecord,
    DataRecord,
    Measurement,
    MeasurementRecord,
    ModelRecord,
    RunRecord,
    SelectionRecord,
    VariantRecord,
)
from podium.stages.keys import measurement_key
from podium.stages.step import StepInputs, StepRun
from podium.tasks import TASKS

if TYPE_CHECKING:
    from podium.benchmarking.service import MeasuringService
    from podium.benchmarking.session import Session

_METRIC_NAME = re.compile(r"[^A-Za-z0-9_.\- ]")
"""Characters that MLflow does not take in the name of a metric."""


def champions_of(selection: SelectionRecord, models: Sequence[ModelRecord]) -> list[ModelRecord]:
    """The models on the leaderboard, in its order."""
    of_key = {model.key: model for model in models}
    return [of_key[entry.model_key] for entry in selection.leaderboard]


def hardware_of(run: RunRecord) -> dict[str, str]:
    """The fingerprint of what the benchmark of this run uses."""
    from podium.devices.hardware import fingerprint

    return fingerprint(run.config.benchmark.device, run.config.benchmark.threads)


def compute(step: StepRun, inputs: StepInputs) -> BenchmarkRecord:
    """Make, check and measure every variant of every champion; what exists for this hardware is reused.

    A variant that could not be made here, or failed its check, is in the record with the reason, and not measured.
    """
    from podium.benchmarking.service import MeasurementRequest
    from podium.benchmarking.session import ModelFiles
    from podium.stages.variants import artifacts_of, build_variants

    data, hardware = inputs.one(DataRecord), hardware_of(step.run)
    champions = champions_of(inputs.one(SelectionRecord), inputs.all(ModelRecord))
    variants: list[VariantRecord] = []
    requests: dict[str, MeasurementRequest] = {}
    for model in champions:
        made = build_variants(step, data, model, hardware["device"], int(hardware["threads"]))
        variants += made.values()
        for variant, files in made.items():
            if files.variant.status == "ok":
                requests[f"{model.backbone}.{variant}"] = MeasurementRequest(
                    ModelFiles(
                        files=step.store.fetch(files.artifacts["model"]),
                        name=model.backbone,
                        variant=variant,
                        model_digest=model.artifacts["model"].digest,
                        trust_remote_code=step.config.backbones[model.backbone].trust_remote_code,
                    ),
                    measurement_key(step.config, data, model, variant, hardware),
                    {"refit": model.key, "data": data.key, "variant": files.key},
                )
    records = measuring_service(step, hardware).measure(list(requests.values()), measuring_session(step, data))
    measured = dict(zip(requests, records, strict=True))
    for name, record in measured.items():
        step.tracker.log_metrics(step.mlflow_run_id, figures(name, record.measurement))
    step.tracker.log_params(step.mlflow_run_id, {f"hardware.{name}": value for name, value in hardware.items()})
    return BenchmarkRecord(
        **{**step.stamp, "parents": {**step.parents, **_parents(measured, variants)}},
        hardware=dict(hardware),
        measurements=tuple(record.measurement for record in measured.values()),
        variants=tuple(record.variant for record in variants),
        artifacts={
            **{f"samples.{name}": record.artifacts["samples"] for name, record in measured.items()},
            **artifacts_of(variants),
        },
    )


def _parents(measured: Mapping[str, MeasurementRecord], variants: Sequence[VariantRecord]) -> dict[str, str]:
    made = {f"variant.{record.variant.backbone}.{record.variant.variant}": record.key for record in variants}
    return {**made, **{f"measurement.{name}": record.key for name, record in measured.items()}}


def measuring_service(step: StepRun, hardware: Mapping[str, str]) -> MeasuringService:
    """The service that measures for a step."""
    from podium.benchmarking.service import MeasuringService

    return MeasuringService(
        store=step.store,
        hardware=hardware,
        reuse=step.config.run_mode == "reuse",
        mlflow_run_id=step.mlflow_run_id or None,
        logs=step.directory,
    )


def measuring_session(step: StepRun, data: DataRecord) -> Session:
    """Held-out rows that mirror the length distribution of the data, and the settings of the run."""
    from podium.benchmarking.sampling import sample_rows
    from podium.benchmarking.session import Session
    from podium.data.artifact import DataArtifact

    column = TASKS.get(data.task).content
    rows = list(DataArtifact(Path(step.store.fetch(data.artifacts["data"]))).test[column])
    config = step.config.benchmark
    drawn = sample_rows(rows, config.repetitions * config.samples, step.config.seed)
    return Session(drawn, data.task, config, data.labels)


def figures(name: str, item: Measurement) -> dict[str, float]:
    """Figures for the tracking server, as `MODEL.VARIANT.SCENARIO_FIGURE`, with labels where a scenario has several."""
    found: dict[str, float | None] = {
        "peak_rss_mb": item.peak_rss_mb,
        "peak_device_mb": item.peak_device_mb,
        "size_mb": item.size_mb,
    }
    for scenario, result in item.scenarios.items():
        several = Counter(one.name for one in result.figures)
        for one in result.figures:
            shown = {label: value for label, value in one.labels.items() if several[one.name] > 1}
            labels = "".join(f".{label}_{value}" for label, value in shown.items() if not isinstance(value, float))
            found[f"{scenario.replace('-', '_')}_{one.name}{labels}"] = one.value
    return {f"{name}.{_METRIC_NAME.sub('_', key)}": value for key, value in found.items() if value is not None}
