"""Step `benchmark`: what would be deployed, measured in fresh processes on this hardware."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podium.benchmarking.subject import Subject, sessions
from podium.keys import Key
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

__all__ = ["Job", "Subject", "champions_of", "compute", "hardware_of", "held_out_rows", "measure", "measure_all"]


@dataclass(frozen=True)
class Job:
    """A subject to measure, the key of its measurement, and what that was made from, by role."""

    subject: Subject
    key: Key
    parents: Mapping[str, str]


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
    from podium.stages.variants import artifacts_of, build_variants

    data, hardware = inputs.one(DataRecord), hardware_of(step.run)
    champions = champions_of(inputs.one(SelectionRecord), inputs.all(ModelRecord))
    variants: list[VariantRecord] = []
    jobs: dict[str, Job] = {}
    for model in champions:
        made = build_variants(step, data, model, hardware["device"], int(hardware["threads"]))
        variants += made.values()
        for variant, files in made.items():
            if files.variant.status == "ok":
                jobs[f"{model.backbone}.{variant}"] = Job(
                    Subject(
                        files=step.store.fetch(files.artifacts["model"]),
                        name=model.backbone,
                        variant=variant,
                        model_digest=model.artifacts["model"].digest,
                        trust_remote_code=step.config.backbones[model.backbone].trust_remote_code,
                    ),
                    measurement_key(step.config, data, model, variant, hardware),
                    {"refit": model.key, "data": data.key, "variant": files.key},
                )
    measured = dict(zip(jobs, measure_all(step, data, list(jobs.values()), hardware), strict=True))
    for name, record in measured.items():
        step.tracker.log_metrics(step.mlflow_run_id, _figures(name, record.measurement))
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


def measure(
    step: StepRun,
    data: DataRecord,
    subject: Subject,
    key: Key,
    parents: Mapping[str, str],
    hardware: Mapping[str, str],
) -> MeasurementRecord:
    """The stored measurement of `key`, or else one that is made and stored now.

    Raises:
        BenchmarkError: the files hold no such model, or a repetition failed.
    """
    return measure_all(step, data, [Job(subject, key, parents)], hardware)[0]


def measure_all(
    step: StepRun, data: DataRecord, jobs: Sequence[Job], hardware: Mapping[str, str]
) -> list[MeasurementRecord]:
    """The measurement of every job: those that are stored, and the others measured and stored now.

    What is measured now takes turns, in sessions of a few, each of which is stored when it is complete.

    Raises:
        BenchmarkError: the files of a job hold no such model, or a repetition failed.
    """
    found: dict[str, MeasurementRecord] = {}
    for job in jobs:
        stored = step.store.get(MeasurementRecord, job.key.digest) if step.config.run_mode == "reuse" else None
        if stored is not None:
            found[job.key.digest] = stored
    missing = [job for job in jobs if job.key.digest not in found]
    for together in sessions(missing):
        found |= _measure(step, data, together, hardware)
    return [found[job.key.digest] for job in jobs]


def _measure(
    step: StepRun, data: DataRecord, jobs: Sequence[Job], hardware: Mapping[str, str]
) -> dict[str, MeasurementRecord]:
    """Measure the jobs as one session and store the results, by key."""
    from podium.benchmarking.run import benchmark as timed

    found = {}
    with step.store.scratch() as scratch:
        measured = timed(
            [job.subject for job in jobs],
            held_out_rows(step, data),
            data.task,
            step.config.benchmark,
            step.directory or scratch,
            labels=data.labels,
        )
        for number, (job, (measurement, samples)) in enumerate(zip(jobs, measured, strict=True)):
            folder = scratch / f"samples-{number}"
            folder.mkdir()
            (folder / "samples.json").write_text(json.dumps(samples))
            found[job.key.digest] = MeasurementRecord(
                key=job.key.digest,
                parents=dict(job.parents),
                mlflow_run_id=step.mlflow_run_id or None,
                hardware=dict(hardware),
                measurement=measurement,
                artifacts={"samples": step.store.put_artifact("samples", folder)},
            )
    for job in jobs:
        step.store.put(job.key, found[job.key.digest])
    return found


def held_out_rows(step: StepRun, data: DataRecord) -> list[str] | list[list[str]]:
    """Held-out rows that mirror the length distribution of the data."""
    from podium.benchmarking.sampling import sample_rows
    from podium.data.artifact import DataArtifact

    column = TASKS.get(data.task).content
    rows = list(DataArtifact(Path(step.store.fetch(data.artifacts["data"]))).test[column])
    part = step.config.benchmark
    return sample_rows(rows, part.repetitions * part.samples, step.config.seed)


def _figures(name: str, item: Measurement) -> dict[str, float]:
    found = {f"latency_p{entry.q * 100:g}_ms": entry.value_ms for entry in item.latency}
    found |= {
        "throughput_per_second": item.throughput_per_second.value,
        "peak_rss_mb": item.peak_rss_mb,
        "size_mb": item.size_mb,
    }
    for cell in item.grid:
        length = "own" if cell.length is None else str(cell.length)
        found[f"grid.batch_{cell.batch_size}.length_{length}_per_second"] = cell.rows_per_second.value
    if item.server is not None and item.server.per_second is not None:
        found["server_per_second"] = item.server.per_second.value
    if item.cold_start is not None:
        found["cold_start_seconds"] = item.cold_start.total.value
    known = {"energy_j": item.energy_j, "mfu": item.mfu, "peak_device_mb": item.peak_device_mb}
    found |= {key: value for key, value in known.items() if value is not None}
    return {f"{name}.{key}": value for key, value in found.items()}
