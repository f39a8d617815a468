"""The first stage of a profile, as a program: what can be seen from inside the process that runs the model.

It loads the model, runs iterations in turns with a profiler and without, and reads the trace. It runs on every machine.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil

from podium.execution import program
from podium.profiling import operators
from podium.profiling.groups import group_of
from podium.profiling.observer import compare
from podium.profiling.roofline import data_sheet_peaks, measure_peaks, with_points
from podium.profiling.static import count_flops, graph_parts, modules_of
from podium.profiling.trace import Trace, memory_line, operators_of, read_trace, within
from podium.profiling.workload import Timings, Workload, batches, load, range_names, timed
from podium.records import Kernel, Module, Observer, Operator, Phase, Roofline
from podium.records.base import Frozen

_TURNS = 4
_PRECISIONS = {"eager": "float32", "compile": "float32", "bf16": "bfloat16"}


class InProcessSpec(Frozen):
    """What the program does; `directory` gets the trace."""

    workload: Workload
    directory: Path
    traced: int
    max_trace_mb: int


class InProcess(Frozen):
    """What the program found; fields are those of `ProfileRecord`."""

    tool: str
    operators: tuple[Operator, ...]
    kernels: tuple[Kernel, ...] = ()
    groups: tuple[Phase, ...] = ()
    modules: tuple[Module, ...] = ()
    roofline: Roofline | None = None
    observer: Observer | None = None
    memory: tuple[tuple[float, float], ...] = ()
    figures: dict[str, float] = {}
    facts: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    ranges: dict[str, int] = {}


def profile(spec: InProcessSpec) -> InProcess:
    """Profile the workload in this process."""
    workload = spec.workload
    subject, rows = load(workload), batches(workload)
    timed(subject, rows, workload.warmup)
    busy = _busy_cores(subject, rows, workload.iterations)
    predictor = getattr(subject, "predictor", getattr(subject, "generator", subject))
    model = getattr(predictor, "model", None)
    model = getattr(model, "model", model)  # a prompted package holds a model that holds the network
    trace = spec.directory / operators.TRACE
    if workload.variant.startswith("onnx"):
        return _of_graph(spec, subject, rows, trace, busy)
    if model is None or not hasattr(model, "named_modules"):
        found = operators.functions(subject, rows, spec.traced)
        note = "the model is Python and numpy alone: its functions are listed, by Python's own profiler"
        return InProcess(tool="cProfile", operators=found, figures=busy, notes=(note,))
    return _of_network(spec, subject, model, rows, trace, busy)


def _of_network(
    spec: InProcessSpec, subject: Any, model: Any, rows: Any, trace: Path, busy: dict[str, float]
) -> InProcess:
    import torch

    workload, cuda = spec.workload, spec.workload.device == "cuda"
    operators.profiled(subject, rows, 1, trace, cuda)
    expected = operators.check_size(
        trace.stat().st_size, spec.traced, spec.max_trace_mb, psutil.virtual_memory().available
    )
    plain, watched = _in_turns(
        lambda: timed(subject, rows, spec.traced),
        lambda: operators.profiled(subject, rows, spec.traced, trace, cuda),
    )
    read = read_trace(trace)
    counted = batches(workload)
    flops, notes = {}, [f"the trace was expected to take {expected / 1e6:.1f} MB and took {read.size / 1e6:.1f} MB"]
    try:
        flops = count_flops(model, lambda: timed(subject, counted, spec.traced), spec.traced)
    except Exception as error:  # a model whose own code the counter cannot follow is profiled all the same
        notes.append(f"operations could not be counted by torch: {error}")
    found = operators_of(read, spec.traced)
    peaks = _peaks(workload)
    figures = {**busy, **_python_share(read, range_names(workload)[1:-1])}
    if flops:
        figures["flops"] = flops[""]
        if peaks is not None:
            seconds = sum(fmean(plain.seconds[name]) for name in range_names(workload)[1:-1])
            figures["mfu"] = flops[""] / seconds / peaks.flops_per_second
    used = sum(one.calls for one in found if "mkldnn" in one.name)
    facts = {
        "oneDNN": f"{used:.0f} operators of an iteration" if used else "available, no operator of its own used"
        if torch.backends.mkldnn.is_available() else "not in this torch",
        "matrix library": "MKL" if torch.backends.mkl.is_available() else "other than MKL",
        "instruction set": str(torch.backends.cpu.get_cpu_capability()),
        "threads": f"{torch.get_num_threads()} within an operator, {torch.get_num_interop_threads()} between operators",
    }  # fmt: skip
    return InProcess(
        tool="torch",
        operators=found,
        kernels=_kernels(read, spec.traced),
        groups=_groups(read, "tokenise"),
        modules=modules_of(model, flops),
        roofline=with_points(peaks, found) if peaks else None,
        observer=_observed("torch", plain, watched),
        memory=memory_line(read),
        figures=figures,
        facts=facts,
        notes=tuple(notes),
        ranges={name: sum(one.name == name for one in read.ranges) for name in range_names(workload)},
    )


def _of_graph(spec: InProcessSpec, subject: Any, rows: Any, trace: Path, busy: dict[str, float]) -> InProcess:
    import onnxruntime

    workload = spec.workload
    operators.profiled_graph(workload, rows, 1, trace)
    # The first run loads the graph, and is far longer than any other: the estimate is an upper bound.
    operators.check_size(trace.stat().st_size, spec.traced, spec.max_trace_mb, psutil.virtual_memory().available)
    plain, watched = _in_turns(
        lambda: timed(subject, rows, spec.traced),
        lambda: operators.profiled_graph(workload, rows, spec.traced, trace),
    )
    read = read_trace(trace)
    found = operators_of(read, spec.traced)
    peaks = measure_peaks(workload.threads) if workload.device == "cpu" else None
    runs = [one.seconds for one in read.ranges if one.name == "model_run"]
    nodes = sum(one.self_seconds for one in found)
    figures = {
        **busy,
        "outside_operators_share": max(0.0, 1 - nodes * len(runs) / sum(watched.seconds["forward"][-len(runs) :])),
    }
    notes = () if workload.variant == "onnx" else ("operations of int8 products are not set against peaks of int8",)
    return InProcess(
        tool="onnxruntime",
        operators=found,
        groups=_groups(read, "model_run"),
        modules=graph_parts(Path(workload.model) / "model.onnx"),
        roofline=with_points(peaks, found) if peaks else None,
        observer=_observed("onnxruntime", plain, watched),
        figures=figures,
        facts={"onnxruntime": onnxruntime.__version__, "threads": f"{workload.threads} within an operator"},
        notes=notes,
        ranges={"model_run": len(runs)},
    )


def _busy_cores(subject: Any, rows: Any, count: int) -> dict[str, float]:
    """Cores that the process kept busy, in the mean over some iterations."""
    started, used = time.perf_counter(), time.process_time()
    timed(subject, rows, count)
    return {"busy_cores": (time.process_time() - used) / (time.perf_counter() - started)}


def _in_turns(plain: Any, watched: Any) -> tuple[Timings, Timings]:
    """Times of both, each several times and one after the other; that with a profiler leaves its last trace."""
    found: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    for _ in range(_TURNS):
        for own, run in zip(found, (plain, watched), strict=True):
            for name, seconds in run().seconds.items():
                own.setdefault(name, []).extend(seconds)
    return Timings(seconds=found[0]), Timings(seconds=found[1])


def _observed(tool: str, plain: Timings, watched: Timings) -> Observer:
    """What a profiler costs, from the median iteration of each turn."""
    sides = ([median(one) for one in _batched(side.iterations, _TURNS)] for side in (plain, watched))
    return compare(tool, *sides)


def _batched(values: list[float], count: int) -> list[list[float]]:
    """So many lists of equal length, in order."""
    size = len(values) // count
    return [values[at * size : (at + 1) * size] for at in range(count)]


def _python_share(read: Trace, names: tuple[str, ...]) -> dict[str, float]:
    """The share of the model's own ranges that passes outside of operators: in Python and between calls."""
    parts = [within(read, name) for name in names]
    whole = sum(all_ for all_, _ in parts)
    return {"outside_operators_share": max(0.0, 1 - sum(inside for _, inside in parts) / whole)} if whole else {}


def _groups(read: Trace, first: str) -> tuple[Phase, ...]:
    """Seconds of each group of operators in each iteration, which begins with a range of a name."""
    starts = sorted(one.start for one in read.ranges if one.name == first)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(starts))
    for span in read.spans:
        if (place := bisect_right(starts, span.start) - 1) >= 0:
            sums[group_of(span.name)][place] += span.own
    whole = sum(map(sum, sums.values())) or 1.0
    found = [phase_of(name, samples, sum(samples) / whole) for name, samples in sums.items()]
    return tuple(sorted(found, key=lambda one: -one.median))


def phase_of(name: str, samples: list[float], share: float | None = None) -> Phase:
    """A phase from its seconds: the median, and the 5th and 95th percentile."""
    import numpy as np

    low, middle, high = (float(one) for one in np.quantile(samples, [0.05, 0.5, 0.95]))
    return Phase(name=name, count=len(samples), median=middle, low=low, high=high, share=share, samples=tuple(samples))


def _kernels(read: Trace, iterations: int) -> tuple[Kernel, ...]:
    held: dict[str, list[float]] = defaultdict(list)
    for span in read.kernels:
        held[span.name].append(span.seconds)
    total = sum(map(sum, held.values())) or 1.0
    found = [
        Kernel(
            name=name,
            group=group_of(name),
            calls=len(seconds) / iterations,
            seconds=sum(seconds) / iterations,
            share=sum(seconds) / total,
        )
        for name, seconds in held.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.seconds))


def _peaks(workload: Workload) -> Roofline | None:
    if workload.device == "cpu":
        return measure_peaks(workload.threads, _PRECISIONS.get(workload.variant, "float32"))
    import torch

    return data_sheet_peaks(torch.cuda.get_device_name(0), "bf16" if workload.variant == "bf16" else "fp32")


def main(arguments: list[str] | None = None) -> int:
    """Profile what the spec names and write the result or the error; returns the exit code."""
    parser = program.argument_parser("podium.profiling.in_process", "Profile a workload from inside its process.")
    parser.add_argument("--directory", type=Path, help="gets the trace, in place of the directory of the spec")
    options = parser.parse_args(arguments)

    def work(spec: InProcessSpec) -> Any:
        directory = options.directory or spec.directory
        directory.mkdir(parents=True, exist_ok=True)
        return profile(spec.model_copy(update={"directory": directory})).model_dump(mode="json")

    return program.run(options, InProcessSpec.model_validate_json, work)


if __name__ == "__main__":
    program.end(main())
