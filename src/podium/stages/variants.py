"""The deployable variants of a model: built and checked once, and found in the store by later runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from podium.config.benchmark import VariantName
from podium.events import emit
from podium.export.build import BuildCall, Built, build
from podium.export.variants import obstacle
from podium.inference.predictor import PredictorSpec
from podium.keys import Key
from podium.records import ArtifactRef, DataRecord, ModelRecord, Variant, VariantRecord
from podium.stages.keys import variant_key
from podium.stages.step import StepRun

NOT_HERE = "not-possible-here"


def build_variants(
    step: StepRun, data: DataRecord, model: ModelRecord, device: str, threads: int
) -> dict[VariantName, VariantRecord]:
    """Every variant of `model` that the config names, in its order. One that could not be built or failed has a reason.

    Raises:
        BenchmarkError: the model cannot be loaded, or the process that builds was killed.
    """
    keys = {name: variant_key(step.config, data, model, name, device) for name in step.config.benchmark.variants}
    found: dict[VariantName, VariantRecord] = {}
    if step.config.run_mode == "reuse":
        stored = {name: step.store.get(VariantRecord, key.digest) for name, key in keys.items()}
        found = {name: record for name, record in stored.items() if record is not None}
    missing: list[VariantName] = []
    for name in keys.keys() - found.keys():
        if name == "eager":
            found[name] = _keep(step, keys[name], model, name, Built(), model.artifacts)
        elif (reason := obstacle(name, device)) is not None:
            found[name] = _keep(step, keys[name], model, name, Built(code=NOT_HERE, reason=reason), {})
        else:
            missing.append(name)
    if missing:
        found |= _build(step, data, model, device, threads, {name: keys[name] for name in sorted(missing)})
    for name in keys:
        emit("variant", backbone=model.backbone, variant=name, status=found[name].variant.status)
    return {name: found[name] for name in keys}


def _build(
    step: StepRun, data: DataRecord, model: ModelRecord, device: str, threads: int, keys: dict[VariantName, Key]
) -> dict[VariantName, VariantRecord]:
    with step.store.scratch() as scratch:
        source = step.store.fetch(model.artifacts["model"])
        spec = BuildCall(
            eager=PredictorSpec(
                model_dir=source,
                variant="eager",
                task=data.task,
                labels=data.labels,
                trust_remote_code=step.config.backbones[model.backbone].trust_remote_code,
                device=device,
                threads=threads,
            ),
            variants=tuple(keys),
            data=step.store.fetch(data.artifacts["data"]),
            reference=step.store.fetch(model.artifacts["predictions"]),
            metric=model.metric,
            margin=step.config.benchmark.max_quality_loss,
            seed=step.config.seed,
            output=scratch / "variants",
        )
        log = (step.directory or scratch) / f"variants-{model.backbone}.log"
        return {
            name: _keep(step, keys[name], model, name, built, _artifacts(step, model, built, spec.output / name))
            for name, built in build(spec, log).items()
        }


def _artifacts(step: StepRun, model: ModelRecord, built: Built, folder: Path) -> dict[str, ArtifactRef]:
    """Files and predictions of a built variant; a compiled model has the files of the eager one."""
    if built.code:
        return {}
    own = (folder / "model").is_dir()
    return {
        "model": step.store.put_artifact("model", folder / "model") if own else model.artifacts["model"],
        "predictions": step.store.put_artifact("predictions", folder / "predictions"),
    }


def _keep(
    step: StepRun, key: Key, model: ModelRecord, name: VariantName, built: Built, artifacts: dict[str, ArtifactRef]
) -> VariantRecord:
    record = VariantRecord(
        key=key.digest,
        parents={"refit": model.key},
        mlflow_run_id=step.mlflow_run_id or None,
        seconds=built.seconds,
        artifacts=artifacts,
        variant=Variant(
            backbone=model.backbone,
            variant=name,
            model_digest=model.artifacts["model"].digest,
            status="ok" if not built.code else "skipped" if built.code == NOT_HERE else "failed",
            code=built.code,
            reason=built.reason,
            check=built.check,
            size_mb=artifacts["model"].size_bytes / 1e6 if artifacts else None,
            build_seconds=built.seconds,
        ),
    )
    step.store.put(key, record)
    return record


def artifacts_of(records: Sequence[VariantRecord]) -> dict[str, ArtifactRef]:
    """Files and predictions of variants that are `ok`, under the names that a benchmark's record gives them."""
    return {
        f"{role}.{record.variant.backbone}.{record.variant.variant}": ref
        for record in records
        for role, ref in record.artifacts.items()
    }
