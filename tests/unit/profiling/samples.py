"""A profile as a run of a small transformer leaves it."""

from __future__ import annotations

from typing import Any

from podium.records import (
    Attempt,
    Interval,
    Kernel,
    Module,
    Observer,
    Operator,
    Permission,
    Phase,
    ProfileRecord,
    Roofline,
    RooflinePoint,
)


def operator(name: str, group: str, seconds: float, share: float, **fields: Any) -> Operator:
    return Operator(name=name, group=group, calls=6, self_seconds=seconds, total_seconds=seconds, share=share, **fields)


def phase(name: str, seconds: float, share: float | None, spread: float = 1.1) -> Phase:
    samples = (seconds, seconds * 1.02, seconds * 0.98)
    return Phase(
        name=name, count=60, median=seconds, low=seconds * 0.9, high=seconds * spread, share=share, samples=samples
    )


def observer(tool: str = "torch", slowdown: float = 1.4) -> Observer:
    interval = Interval(value=slowdown, low=slowdown - 0.05, high=slowdown + 0.05, confidence=0.95, method="t")
    return Observer(tool=tool, unprofiled_seconds=0.02, profiled_seconds=0.02 * slowdown, slowdown=interval)


def profile_record(scale: float = 1.0, **changes: Any) -> ProfileRecord:
    """A profile; `scale` makes its model slower."""
    forward, tokenise, post = 0.016 * scale, 0.003, 0.001
    whole = forward + tokenise + post
    fields: dict[str, Any] = {
        "key": "f" * 64,
        "model": "minilm (eager)",
        "model_digest": "d" * 64,
        "variant": "eager",
        "workload": {"batch_size": 1, "iterations": 20, "threads": 2, "device": "cpu", "variant": "eager", "rows": 64},
        "hardware": {"cpu": "x"},
        "figures": {"iteration_seconds": whole, "busy_cores": 0.8, "outside_operators_share": 0.25, "mfu": 0.3,
                    "flops": 7e8},
        "facts": {"matrix library": "MKL"},
        "samples": (whole, whole * 1.01, whole * 0.99),
        "phases": (
            phase("load", 0.4, None),
            phase("tokenise", tokenise, tokenise / whole),
            phase("forward", forward, forward / whole, spread=2.0),
            phase("postprocess", post, post / whole),
        ),
        "operators": (
            operator("aten::addmm", "matrix product", 0.008 * scale, 0.6, shapes="16×384", flops=5e8, bytes=4e7),
            operator("aten::copy_", "copy", 0.003 * scale, 0.3),
            operator("aten::gelu", "activation", 0.001 * scale, 0.1, flops=1e6, bytes=1e6),
        ),
        "groups": (phase("matrix product", 0.008 * scale, 0.6), phase("copy", 0.003 * scale, 0.3)),
        "memory": ((0.0, 1e6), (0.001, 3e6), (0.002, 2e6)),
        "modules": (Module(name="(whole)", kind="Bert", parameters=22_000_000, parameter_bytes=88_000_000, flops=7e8),),
        "roofline": Roofline(
            flops_per_second=1e12,
            bytes_per_second=2e10,
            source="measured now",
            points=(RooflinePoint(name="aten::addmm", intensity=12.5, flops_per_second=6e10, bound="memory"),),
        ),
        "observers": (observer(),),
        "attempts": (
            Attempt(
                tool="torch",
                outcome="ok",
                argv=("python", "-m", "x"),
                cwd="/profiles/mine",
                exit_code=0,
                seconds=4.0,
                files={"operators/trace.json": "a" * 64},
            ),
        ),
        "tools": (
            Permission(name="operators", status="ok"),
            Permission(name="nsys", status="skipped", reason="nsys is not installed", remedy="apt-get install nsys"),
        ),
    }  # fmt: skip
    return ProfileRecord(**{**fields, **changes})


def kernel(name: str, bound: str = "") -> Kernel:
    return Kernel(name=name, group="matrix product", calls=6, seconds=0.004, share=0.5, bound=bound)
