"""What the second stage adds to the record of a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from podium.config.profile import ProfileConfig
from podium.profiling.capture import DeepProfile
from podium.profiling.groups import group_of
from podium.profiling.ncu import profile_argv as ncu_argv
from podium.profiling.ncu_report import Metric
from podium.profiling.nsys import profile_argv as nsys_argv
from podium.profiling.nsys_report import NsysReport
from podium.profiling.workload import SPEC, Workload, argv
from podium.records import Kernel

_COMPUTE = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
_MEMORY = "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed"
_BUSY = 40.0
"""Percent of a peak below which neither arithmetic nor memory is what a kernel waits for."""
SecondStage = Callable[[Workload, Path, ProfileConfig], DeepProfile]

_NS = 1e-9
_HOST = ("Host-to-Device", "Device-to-Host")


def deep_commands(workload: Workload, config: ProfileConfig, directory: Path) -> dict[str, list[str]]:
    """The first command of each tool, as far as it is known before nsys has named the kernels."""
    spec, found = directory.absolute() / SPEC, {}
    if "nsys" in config.tools:
        folder = directory.absolute() / "nsys"
        run, report = argv(spec, {"output": folder}), folder / "report.nsys-rep"
        found["nsys"] = nsys_argv(config.nsys or "nsys", workload.device, report, "SESSION", run)
    if "ncu" in config.tools:
        folder = directory.absolute() / "ncu" / "RANK-KERNEL"
        run = argv(spec, {"output": folder})
        found["ncu"] = ncu_argv(config.ncu or "ncu", folder / "report.ncu-rep", run)
    return found


def fields_of(found: DeepProfile, workload: Workload) -> dict[str, Any]:
    """Fields of `ProfileRecord`; those of the report only where there is one."""
    iterations = workload.iterations + workload.warmup
    fields: dict[str, Any] = {
        "permissions": found.permissions,
        "observers": found.observers,
        "notes": found.notes,
        "tools": found.tools,
    }
    if found.report is not None:
        fields["figures"] = device_figures(found.report, iterations)
        if found.report.kernels:
            fields["kernels"] = kernels_of(found.report, found.counters, iterations)
    return fields


def kernels_of(report: NsysReport, counters: Mapping[str, dict[str, Metric]], iterations: int) -> tuple[Kernel, ...]:
    """The kernels of a report with what their counters say, those that take most time first."""
    total = sum(one.total_ns for one in report.kernels) or 1
    return tuple(
        Kernel(
            name=one.name,
            group=group_of(one.name),
            calls=one.count / iterations,
            seconds=one.total_ns * _NS / iterations,
            share=one.total_ns / total,
            metrics=_numbers(counters.get(one.name, {})),
            bound=bound_by(counters.get(one.name, {})),
        )
        for one in report.kernels
    )


def bound_by(metrics: dict[str, Metric]) -> str:
    """What a kernel waits for, by the throughputs that were measured: `compute`, `memory` or `latency`."""
    found = _numbers(metrics)
    if _COMPUTE not in found or _MEMORY not in found:
        return ""
    if max(found[_COMPUTE], found[_MEMORY]) < _BUSY:
        return "latency"
    return "compute" if found[_COMPUTE] >= found[_MEMORY] else "memory"


def device_figures(report: NsysReport, iterations: int) -> dict[str, float]:
    """Gaps between kernels and copies between host and device, in seconds of an iteration."""
    found = {}
    if report.device is not None:
        found["kernel_gap_seconds"] = report.device.idle_ns * _NS / iterations
        found["longest_kernel_gap_seconds"] = report.device.longest_gap_ns * _NS
    if copies := [one for one in report.copies if one.direction in _HOST]:
        found["host_device_copy_seconds"] = sum(one.total_ns for one in copies) * _NS / iterations
        found["host_device_copy_bytes"] = sum(one.bytes for one in copies) / iterations
    return found


def _numbers(metrics: dict[str, Metric]) -> dict[str, float]:
    return {name: float(one.value) for name, one in metrics.items() if isinstance(one.value, (int, float))}
