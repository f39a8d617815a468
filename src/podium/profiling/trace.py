"""Reads traces in the Chrome format, which torch's profiler and ONNX Runtime both write and Perfetto opens."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podium.profiling.groups import group_of
from podium.profiling.roofline import Cost, cost_of
from podium.records import Operator

_MICRO = 1e-6
_SHOWN_POINTS = 100
_BYTES = {"float": 4, "float32": 4, "double": 8, "c10::BFloat16": 2, "c10::Half": 2, "float16": 2, "bfloat16": 2,
          "long int": 8, "int64": 8, "int": 4, "int32": 4, "bool": 1, "unsigned char": 1, "uint8": 1, "int8": 1,
          "signed char": 1}  # fmt: skip


@dataclass
class Span:
    """One thing that took time, in seconds; `own` is its time without what it holds."""

    name: str
    start: float
    seconds: float
    shapes: tuple[tuple[int, ...], ...] = ()
    item_bytes: int = 4
    own: float = 0.0
    depth: int = 0


@dataclass
class Trace:
    """What a trace holds.

    Attributes:
        spans: operators of the CPU, or nodes of a graph.
        memory: moments in seconds with the bytes that are allocated then.
        size: of the file in bytes.
    """

    spans: list[Span] = field(default_factory=list)
    ranges: list[Span] = field(default_factory=list)
    kernels: list[Span] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    size: int = 0


def read_trace(path: Path) -> Trace:
    """Read a trace from its file."""
    data = path.read_bytes()
    content = json.loads(data)
    events = content["traceEvents"] if isinstance(content, dict) else content
    found = trace_of(events)
    found.size = len(data)
    return found


def trace_of(events: Iterable[Mapping[str, Any]]) -> Trace:
    """The spans of the events of a trace; operators that others hold take their time from these."""
    found, lanes = Trace(), defaultdict(list)
    for event in events:
        name, category, about = str(event.get("name", "")), str(event.get("cat", "")), event.get("args") or {}
        start = float(event.get("ts", 0.0)) * _MICRO
        if name == "[memory]" and about.get("Device Type", 0) == 0:
            found.memory.append((start, float(about.get("Total Allocated", 0))))
        if event.get("ph") != "X":
            continue
        span = Span(name, start, float(event.get("dur", 0.0)) * _MICRO)
        if category == "cpu_op":
            span.shapes = tuple(_shapes(about.get("Input Dims", ())))
            span.item_bytes = _item_bytes(about.get("Input type", ()))
            lanes[event.get("tid")].append(span)
            found.spans.append(span)
        elif category == "user_annotation":
            found.ranges.append(span)
        elif category in ("kernel", "gpu_memcpy", "gpu_memset"):
            found.kernels.append(span)
        elif category == "Node" and name.endswith("_kernel_time"):
            given = _typed_shapes(about.get("input_type_shape", ()))
            span.name, span.shapes = str(about.get("op_name", name)), tuple(shape for shape, _ in given)
            made = [shape for shape, _ in _typed_shapes(about.get("output_type_shape", ()))]
            if len(given) == 1 and "MatMul" in span.name and made and made[0] and given[0][0]:
                # Weights that the session has packed for itself are not among the inputs.
                span.shapes = (*span.shapes, (given[0][0][-1], made[0][-1]))
            span.item_bytes = given[0][1] if given else 4
            span.own = span.seconds
            found.spans.append(span)
        elif category == "Session" and name == "model_run":
            found.ranges.append(span)
    for lane in lanes.values():
        _nest(lane)
    return found


def _nest(spans: list[Span]) -> None:
    """Give each span of one thread its own time and its depth."""
    open_: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.seconds)):
        while open_ and span.start >= open_[-1].start + open_[-1].seconds - 1e-12:
            open_.pop()
        span.own, span.depth = span.seconds, len(open_)
        if open_:
            open_[-1].own -= span.seconds
        open_.append(span)


def _shapes(given: Sequence[Any]) -> Iterator[tuple[int, ...]]:
    """The shapes of inputs, also of those that come as a list of tensors."""
    for one in given:
        if isinstance(one, list) and any(isinstance(inner, list) for inner in one):
            yield from _shapes(one)
        elif isinstance(one, list):
            yield tuple(one)


def _item_bytes(types: Sequence[Any]) -> int:
    return next((_BYTES[one] for one in types if isinstance(one, str) and one in _BYTES), 4)


def _typed_shapes(given: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[int, ...], int]]:
    return [(tuple(shape), _BYTES.get(kind, 4)) for one in given for kind, shape in one.items()]


def operators_of(trace: Trace, iterations: int) -> tuple[Operator, ...]:
    """The operators by their own time, per iteration; shares are of the time of all operators."""
    held: dict[str, list[Span]] = defaultdict(list)
    for span in trace.spans:
        held[span.name].append(span)
    total = sum(span.own for span in trace.spans) or 1.0
    found = []
    for name, spans in held.items():
        own = sum(span.own for span in spans)
        # An operator that hands its work to another one has its cost there.
        doing = (span for span in spans if span.own > span.seconds / 2)
        costs = [one for one in (cost_of(name, span.shapes, span.item_bytes) for span in doing) if one]
        cost = Cost(sum(one.flops for one in costs), sum(one.bytes for one in costs)) if costs else None
        by_shape: dict[tuple[tuple[int, ...], ...], float] = defaultdict(float)
        for span in spans:
            by_shape[span.shapes] += span.own
        shapes = max(by_shape, key=lambda one: by_shape[one])
        found.append(
            Operator(
                name=name,
                group=group_of(name),
                calls=len(spans) / iterations,
                self_seconds=own / iterations,
                total_seconds=sum(span.seconds for span in spans) / iterations,
                share=own / total,
                shapes=" ".join("×".join(map(str, shape)) for shape in shapes if shape)[:120],
                flops=cost.flops / iterations if cost else None,
                bytes=cost.bytes / iterations if cost else None,
            )
        )
    return tuple(sorted(found, key=lambda one: -one.self_seconds))


def within(trace: Trace, name: str) -> tuple[float, float]:
    """Seconds of all ranges of a name, and of the operators in them that no other operator holds."""
    ranges = [span for span in trace.ranges if span.name == name]
    starts = [span.start for span in ranges]
    inside = 0.0
    for span in trace.spans:
        place = bisect_right(starts, span.start) - 1
        if span.depth == 0 and place >= 0 and span.start < ranges[place].start + ranges[place].seconds:
            inside += span.seconds
    return sum(span.seconds for span in ranges), inside


def memory_line(trace: Trace, most: int = _SHOWN_POINTS) -> tuple[tuple[float, float], ...]:
    """Allocated bytes by seconds from the first allocation on: the highest of each of at most `most` parts."""
    if not trace.memory:
        return ()
    points = sorted(trace.memory)
    first, size = points[0][0], -(-len(points) // most)
    parts = [points[at : at + size] for at in range(0, len(points), size)]
    highest = (max(part, key=lambda one: one[1]) for part in parts)
    return tuple((round(moment - first, 9), allocated) for moment, allocated in highest)
