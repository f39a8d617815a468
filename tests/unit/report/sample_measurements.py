"""Variants and measurements of made-up models, for the tests of the report."""

from __future__ import annotations

from podium.records import (
    BenchmarkRecord,
    Figure,
    Interval,
    Measurement,
    ModelRecord,
    ScenarioResult,
    Variant,
    VariantCheck,
)
from tests.unit.measurements import classifier_scenarios
from tests.unit.report.sample_keys import key

SPEED = {"eager": 1.0, "onnx": 0.6}


def interval(value: float, method: str = "t over 3 repetitions") -> Interval:
    return Interval(value=value, low=value * 0.95, high=value * 1.06, confidence=0.95, method=method)


def benchmark(models: tuple[ModelRecord, ...]) -> BenchmarkRecord:
    return BenchmarkRecord(
        key=key("benchmark"),
        parents={f"refit_{model.entrant}": model.key for model in models},
        mlflow_run_id=key("run-benchmark")[:32],
        seconds=33.0,
        hardware={"device": "cpu", "cpu": "AMD EPYC 7B13", "cores": "2", "threads": "1", "precision": "fp32"},
        measurements=tuple(_measurement(model, name) for model in models for name in SPEED),
        variants=tuple(variant for model in models for variant in _variants(model)),
    )


def _variants(model: ModelRecord) -> list[Variant]:
    common = {"entrant": model.entrant, "model_digest": model.artifacts["model"].digest}
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
    return Measurement(
        entrant=model.entrant,
        variant=variant,
        model_digest=model.artifacts["model"].digest,
        scenarios=_scenarios(p50),
        peak_rss_mb=480.0 + p50,
        size_mb=model.artifacts["model"].size_bytes / 1e6,
        load_seconds=0.41,
        environment={"numpy": "2.4.6", "mhz": "2596.146" if variant == "eager" else "2450.012"},
        unstable=False,
        notes=("p99 needs at least 500 samples",),
    )


def _scenarios(p50: float) -> dict[str, ScenarioResult]:
    quantiles = {
        q: Interval(value=p50 * by, low=p50 * by * 0.97, high=p50 * by * 1.05, confidence=0.95, method="ranks")
        for q, by in ((0.5, 1.0), (0.9, 1.3), (0.95, 1.45))
    }
    grid = [
        Figure.of(
            "per_second",
            "rows",
            "/s",
            interval(6e3 / length / p50),
            length=length,
            batch_size=size,
            tokens=0.9 * length,
        )
        for length in (32, 128)
        for size in (1, 8)
    ]
    bound = {"bound": "p99 within 130 ms"}
    server = (
        Figure.of("per_second", "rate held", "/s", interval(620 / p50), **bound),
        Figure(name="utilisation", title="utilisation", unit="%", value=83.0, labels=bound),
        Figure(name="arrivals", title="arrivals a probe", value=1200, labels=bound),
    )
    parts = {"imports_seconds": 2.1, "load_seconds": 0.3, "first_answer_seconds": 0.05, "seconds": 2.45}
    titles = ("imports", "load", "first answer", "total")
    starts = [
        Figure.of(name, title, "s", interval(value)) for (name, value), title in zip(parts.items(), titles, strict=True)
    ]
    return {
        **classifier_scenarios(
            quantiles,
            interval(9e2 / p50),
            samples=300,
            cv=0.021,
            energy_note="this machine shows no RAPL counter in /sys/class/powercap",
            mfu_note="no dense peak is known of a CPU",
        ),
        "grid": ScenarioResult(figures=tuple(grid)),
        "server": ScenarioResult(figures=server),
        "cold-start": ScenarioResult(figures=tuple(starts)),
    }
