"""Variants and measurements of made-up models, for the tests of the report."""

from __future__ import annotations

from podium.records import (
    BatchRate,
    BenchmarkRecord,
    ColdStart,
    Interval,
    Measurement,
    ModelRecord,
    Quantile,
    ServerRate,
    Variant,
    VariantCheck,
)
from tests.unit.report.sample_keys import key

SPEED = {"eager": 1.0, "onnx": 0.6}


def interval(value: float, method: str = "t over 3 repetitions") -> Interval:
    return Interval(value=value, low=value * 0.95, high=value * 1.06, confidence=0.95, method=method)


def benchmark(models: tuple[ModelRecord, ...]) -> BenchmarkRecord:
    return BenchmarkRecord(
        key=key("benchmark"),
        parents={f"refit_{model.backbone}": model.key for model in models},
        mlflow_run_id=key("run-benchmark")[:32],
        seconds=33.0,
        hardware={"device": "cpu", "cpu": "AMD EPYC 7B13", "cores": "2", "threads": "1", "precision": "fp32"},
        measurements=tuple(_measurement(model, name) for model in models for name in SPEED),
        variants=tuple(variant for model in models for variant in _variants(model)),
    )


def _variants(model: ModelRecord) -> list[Variant]:
    common = {"backbone": model.backbone, "model_digest": model.artifacts["model"].digest}
    size = model.artifacts["model"].size_bytes / 1e6
    lossy = "in macro_f1 it is -0.0412 from the eager model, wholly beyond the 0.01 that may be lost"
    return [
        Variant(**common, variant="eager", status="ok", size_mb=size),
        Variant(**common, variant="bf16", status="skipped", code="no-bf16", reason="this CPU has no bf16 instructions"),
        Variant(**common, variant="onnx", status="ok", check=_check(model, -0.001), size_mb=size, build_seconds=4.1),
        Variant(
            **common,
            variant="onnx-int8",
            status="failed",
            code="quality-lost",
            reason=lossy,
            check=_check(model, -0.0412),
            size_mb=size / 4,
        ),
    ]


def _check(model: ModelRecord, loss: float) -> VariantCheck:
    score = model.metrics[model.metric]
    return VariantCheck(
        rows=64,
        logit_difference=2e-6,
        logit_scale=7.1,
        tolerance=1e-3,
        agreement=1 + loss / 2,
        metric=model.metric,
        score=score.model_copy(update={"value": score.value + loss}),
        difference=Interval(
            value=loss, low=loss - 0.004, high=loss + 0.004, confidence=0.95, method="paired bootstrap"
        ),
        margin=0.01,
    )


def _measurement(model: ModelRecord, variant: str) -> Measurement:
    p50 = model.parameters / 2.4e6 * SPEED[variant]
    quantiles = ((0.5, 1.0), (0.9, 1.3), (0.95, 1.45))
    return Measurement(
        backbone=model.backbone,
        variant=variant,
        model_digest=model.artifacts["model"].digest,
        latency=tuple(
            Quantile(q=q, value_ms=p50 * factor, low_ms=p50 * factor * 0.97, high_ms=p50 * factor * 1.05)
            for q, factor in quantiles
        ),
        latency_samples=300,
        latency_cv=0.021,
        throughput_per_second=interval(9e2 / p50),
        batch_size=32,
        peak_rss_mb=480.0 + p50,
        size_mb=model.artifacts["model"].size_bytes / 1e6,
        load_seconds=0.41,
        energy_note="this machine shows no RAPL counter in /sys/class/powercap",
        mfu_note="no dense peak is known of a CPU",
        grid=tuple(
            BatchRate(batch_size=size, length=length, tokens=length * 0.9, rows_per_second=interval(6e3 / length / p50))
            for length in (32, 128)
            for size in (1, 8)
        ),
        server=ServerRate(
            bound_ms=130.0, q=0.99, arrivals=1200, per_second=interval(620 / p50), utilisation=0.83, note=""
        ),
        cold_start=ColdStart(
            imports=interval(2.1), load=interval(0.3), first_answer=interval(0.05), total=interval(2.45)
        ),
        environment={"numpy": "2.4.6", "mhz": "2596.146" if variant == "eager" else "2450.012"},
        unstable=False,
        notes=("p99 needs at least 500 samples",),
    )
