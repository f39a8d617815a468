"""Step `benchmark`: what would be deployed, built, checked, and measured in fresh processes on this hardware."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from podium import records
from podium.config.benchmark import VariantName
from podium.config.entrants import ENTRANTS
from podium.config.schema import PodiumConfig
from podium.events import emit
from podium.export.variants import BuildCall, Built, build, obstacle
from podium.inference.predictor import PredictorSpec
from podium.keys import Key
from podium.stages.keys import measurement_key, variant_key
from podium.stages.step import StepInputs, StepRun
from podium.tasks import TASKS

if TYPE_CHECKING:
    from podium.benchmarking.session import MeasuringService, Session

_METRIC_NAME = re.compile(r"[^A-Za-z0-9_.\- ]")
"""Characters that MLflow does not take in the name of a metric."""
_NOT_HERE = "not-possible-here"


def champions_of(inputs: StepInputs) -> list[records.ModelRecord]:
    """The models on the leaderboard, in its order."""
    of_key = {model.key: model for model in inputs.all(records.ModelRecord)}
    return [of_key[entry.model_key] for entry in inputs.one(records.SelectionRecord).leaderboard]


def hardware_of(run: records.RunRecord) -> dict[str, str]:
    """The fingerprint of what the benchmark of this run uses."""
    from podium.devices.hardware import fingerprint

    return fingerprint(run.config.benchmark.device, run.config.benchmark.threads)


def compute(step: StepRun) -> records.BenchmarkRecord:
    """Make, check and measure every variant of every champion; what exists for this hardware is reused.

    A variant that could not be made here, or failed its check, is in the record with the reason, and not measured.
    """
    from podium.benchmarking.session import MeasurementRequest, ModelFiles

    data, hardware = step.one(records.DataRecord), hardware_of(step.run)
    variants: dict[str, records.VariantRecord] = {}
    requests: dict[str, MeasurementRequest] = {}
    for model in champions_of(step):
        for variant, made in build_variants(step, model, hardware).items():
            name = f"{model.entrant}.{variant}"
            variants[name] = made
            if made.variant.status == "ok":
                requests[name] = MeasurementRequest(
                    ModelFiles(
                        files=step.store.fetch(made.artifacts["model"]),
                        name=model.entrant,
                        variant=variant,
                        model_digest=model.artifacts["model"].digest,
                        trust_remote_code=step.config.entrants[model.entrant].trust_remote_code,
                    ),
                    measurement_key(step.config, data, model, variant, hardware),
                    {"refit": model.key, "data": data.key, "variant": made.key},
                )
    results = measuring_service(step, hardware).measure(list(requests.values()), measuring_session(step))
    measured = dict(zip(requests, results, strict=True))
    for name, record in measured.items():
        step.tracker.log_metrics(step.mlflow_run_id, figures(name, record.measurement))
    step.tracker.log_params(step.mlflow_run_id, {f"hardware.{name}": value for name, value in hardware.items()})
    parents = {f"variant.{name}": made.key for name, made in variants.items()}
    parents |= {f"measurement.{name}": record.key for name, record in measured.items()}
    artifacts = {f"samples.{name}": record.artifacts["samples"] for name, record in measured.items()}
    for name, made in variants.items():
        artifacts |= {f"{role}.{name}": ref for role, ref in made.artifacts.items()}
    return records.BenchmarkRecord(
        **{**step.stamp, "parents": {**step.parents, **parents}},
        hardware=hardware,
        measurements=tuple(record.measurement for record in results),
        variants=tuple(made.variant for made in variants.values()),
        artifacts=artifacts,
    )


def measuring_service(step: StepRun, hardware: Mapping[str, str]) -> MeasuringService:
    """The service that measures for a step."""
    from podium.benchmarking.session import MeasuringService

    reuse = step.config.run_mode == "reuse"
    return MeasuringService(step.store, hardware, reuse, step.mlflow_run_id or None, logs=step.directory)


def measuring_session(step: StepRun) -> Session:
    """Held-out rows that mirror the length distribution of the data, and the settings of the run."""
    from podium.benchmarking.calls import sample_rows
    from podium.benchmarking.session import Session
    from podium.data.artifact import DataArtifact

    data, config = step.one(records.DataRecord), step.config.benchmark
    rows = list(DataArtifact(step.store.fetch(data.artifacts["data"])).test[TASKS.get(data.task).content])
    drawn = sample_rows(rows, config.repetitions * config.samples, step.config.seed)
    return Session(drawn, data.task, config, data.labels)


def figures(name: str, item: records.Measurement) -> dict[str, float]:
    """Figures for the tracking server, as `MODEL.VARIANT.SCENARIO_FIGURE`, with labels where a scenario has several."""
    found = {name: getattr(item, name) for name in ("peak_rss_mb", "peak_device_mb", "size_mb")}
    for scenario, result in item.scenarios.items():
        several = Counter(one.name for one in result.figures)
        for one in result.figures:
            shown = {label: value for label, value in one.labels.items() if several[one.name] > 1}
            labels = "".join(f".{label}_{value}" for label, value in shown.items() if not isinstance(value, float))
            found[f"{scenario.replace('-', '_')}_{one.name}{labels}"] = one.value
    return {f"{name}.{_METRIC_NAME.sub('_', key)}": value for key, value in found.items() if value is not None}


def variants_of(config: PodiumConfig, entrant: str) -> tuple[VariantName, ...]:
    """The variants of the config that the entrant's kind has; at least the form in which it is trained."""
    own: tuple[VariantName, ...] = ENTRANTS.get(config.entrants[entrant].kind).variants
    return tuple(name for name in config.benchmark.variants if name in own) or own[:1]


def build_variants(
    step: StepRun, model: records.ModelRecord, hardware: Mapping[str, str]
) -> dict[VariantName, records.VariantRecord]:
    """Every variant of `model` that the config names, in its order. One that could not be built or failed has a reason.

    Raises:
        BenchmarkError: the model cannot be loaded, or the process that builds was killed.
    """
    data, device = step.one(records.DataRecord), hardware["device"]
    variants = variants_of(step.config, model.entrant)
    keys = {name: variant_key(step.config, data, model, name, device) for name in variants}
    found: dict[VariantName, records.VariantRecord] = {}
    missing: list[VariantName] = []
    for name, key in keys.items():
        stored = step.store.get(records.VariantRecord, key.digest) if step.config.run_mode == "reuse" else None
        if stored is not None:
            found[name] = stored
        elif name == "eager":
            found[name] = _keep(step, key, model, name, Built(), model.artifacts)
        elif (reason := obstacle(name, device)) is not None:
            found[name] = _keep(step, key, model, name, Built(code=_NOT_HERE, reason=reason), {})
        else:
            missing.append(name)
    if missing:
        found |= _build(step, model, hardware, {name: keys[name] for name in sorted(missing)})
    for name in keys:
        emit("variant", entrant=model.entrant, variant=name, status=found[name].variant.status)
    return {name: found[name] for name in keys}


def _build(
    step: StepRun, model: records.ModelRecord, hardware: Mapping[str, str], keys: Mapping[VariantName, Key]
) -> dict[VariantName, records.VariantRecord]:
    data, store = step.one(records.DataRecord), step.store
    with store.scratch() as scratch:
        call = BuildCall(
            eager=PredictorSpec(
                model_dir=store.fetch(model.artifacts["model"]),
                variant="eager",
                task=data.task,
                labels=data.labels,
                trust_remote_code=step.config.entrants[model.entrant].trust_remote_code,
                device=hardware["device"],
                threads=int(hardware["threads"]),
            ),
            variants=tuple(keys),
            data=store.fetch(data.artifacts["data"]),
            reference=store.fetch(model.artifacts["predictions"]),
            metric=model.metric,
            margin=step.config.benchmark.max_quality_loss,
            seed=step.config.seed,
            output=scratch / "variants",
        )
        made = {}
        for name, built in build(call, (step.directory or scratch) / f"variants-{model.entrant}.log").items():
            artifacts, folder = {}, call.output / name
            if not built.code:
                # A compiled model has the files of the eager one.
                own = (folder / "model").is_dir()
                artifacts["model"] = store.put_artifact("model", folder / "model") if own else model.artifacts["model"]
                artifacts["predictions"] = store.put_artifact("predictions", folder / "predictions")
            made[name] = _keep(step, keys[name], model, name, built, artifacts)
        return made


def _keep(
    step: StepRun,
    key: Key,
    model: records.ModelRecord,
    name: VariantName,
    built: Built,
    artifacts: dict[str, records.ArtifactRef],
) -> records.VariantRecord:
    record = records.VariantRecord(
        key=key.digest,
        parents={"refit": model.key},
        mlflow_run_id=step.mlflow_run_id or None,
        seconds=built.seconds,
        artifacts=artifacts,
        variant=records.Variant(
            entrant=model.entrant,
            variant=name,
            model_digest=model.artifacts["model"].digest,
            status="ok" if not built.code else "skipped" if built.code == _NOT_HERE else "failed",
            code=built.code,
            reason=built.reason,
            check=built.check,
            size_mb=artifacts["model"].size_bytes / 1e6 if artifacts else None,
            build_seconds=built.seconds,
        ),
    )
    step.store.put(key, record)
    return record
