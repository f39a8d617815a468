"""Runs a profiler over some iterations of a workload: torch's, that of ONNX Runtime, or Python's own."""

from __future__ import annotations

import cProfile
import pstats
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podium.errors import InputError
from podium.inference.predictor import Row
from podium.profiling.groups import group_of
from podium.profiling.workload import PredictorSubject, Subject, Timings, Workload, timed
from podium.records import Operator

TRACE = "trace.json"
_MEMORY_PER_TRACE_BYTE = 12
"""Memory that recording and reading a trace takes, in bytes for each of its bytes: measured, rounded up."""
_MOST_FUNCTIONS = 25
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def check_size(traced_bytes: float, iterations: int, max_mb: int, available_bytes: float) -> float:
    """The expected size in bytes of a trace of so many iterations, when one takes `traced_bytes`.

    Raises InputError if it is over the bound, or if what it takes does not fit into the memory that is available.
    """
    expected = traced_bytes * iterations
    if expected > max_mb * 1e6:
        raise InputError(
            f"a trace must have at most profile.max_trace_mb={max_mb} MB, but {iterations} iterations would take about "
            f"{expected / 1e6:,.0f} MB; lower profile.traced, profile.batch_size or profile.output_tokens"
        )
    needed = _MEMORY_PER_TRACE_BYTE * expected
    if needed > available_bytes:
        raise InputError(
            f"recording {iterations} iterations would take about {needed / 1e6:,.0f} MB of memory, but "
            f"{available_bytes / 1e6:,.0f} MB are available; lower profile.traced"
        )
    return expected


def profiled(subject: Subject, rows: Iterator[list[Row]], count: int, trace: Path, cuda: bool) -> Timings:
    """Run some iterations under torch's profiler, which writes `trace`; without stacks."""
    from torch.profiler import ProfilerActivity, profile, record_function

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, record_shapes=True, profile_memory=True, with_stack=False) as recorder:
        found = timed(subject, rows, count, record_function)
    recorder.export_chrome_trace(str(trace))
    return found


def profiled_graph(workload: Workload, rows: Iterator[list[Row]], count: int, trace: Path) -> Timings:
    """Run some iterations of a package in a session that notes the time of every node, and leave them in `trace`."""
    from podium.models.onnx_package import OnnxPackage

    prefix = str(trace.with_suffix(""))
    package = OnnxPackage(Path(workload.model), workload.threads, _PROVIDERS[workload.device], profile=prefix)
    found = timed(PredictorSubject(package), rows, count)
    shutil.move(package.end_profile(), trace)
    return found


def functions(subject: Subject, rows: Iterator[list[Row]], count: int) -> tuple[Operator, ...]:
    """The Python functions that take most time, for a model that is Python and numpy alone."""
    recorder = cProfile.Profile()
    recorder.enable()
    timed(subject, rows, count)
    recorder.disable()
    table: dict[tuple[str, int, str], Any] = pstats.Stats(recorder).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in table.values()) or 1.0
    found = []
    for (file, line, name), (_, calls, own, whole, _) in table.items():
        place = f"{Path(file).name}:{line} " if line else ""
        found.append(
            Operator(
                name=f"{place}{name}",
                group="Python" if line else f"Python, {group_of(name)}".removesuffix(", other"),
                calls=calls / count,
                self_seconds=own / count,
                total_seconds=whole / count,
                share=own / total,
            )
        )
    return tuple(sorted(found, key=lambda one: -one.self_seconds)[:_MOST_FUNCTIONS])
