"""What a machine can do at most, and how near an operator comes: the roofline.

Williams, Waterman and Patterson, Roofline: An Insightful Visual Performance Model, 2009. Operations of a matrix product
count a multiplication and an addition; bytes are those of inputs and outputs, each touched once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from podium.records import Operator, Roofline, RooflinePoint

_SIDE, _COPIED = 1024, 1 << 25
"""Rows of the squares that are multiplied, and 4-byte numbers that are copied, to measure the peaks."""
_PEAK_SECONDS = 0.5
_NEAR = 0.5
_LATENCY = 0.1
_SHOWN = 8

Shape = Sequence[int]


class Cost(NamedTuple):
    """Floating-point operations, and bytes that are read and written at least."""

    flops: float
    bytes: float


def cost_of(name: str, shapes: Sequence[Shape], item_bytes: int = 4) -> Cost | None:
    """The cost of one call of an operator with inputs of these shapes; None where it is not known."""
    given = [tuple(shape) for shape in shapes if shape]
    kind = name.removeprefix("aten::").lower()
    if kind in ("addmm", "_addmm_activation", "baddbmm") and len(given) >= 3:
        given = given[1:3]
        kind = "mm"
    if kind in ("mm", "bmm", "linear", "matmul", "gemm", "fusedmatmul", "fusedgemm", "matmulintegertofloat") and (
        len(given) >= 2 and given[0] and given[1]
    ):
        return _product(given[0], given[1], kind == "linear", item_bytes)
    if "scaled_dot_product" in kind and len(given) >= 3 and len(given[0]) == 4:
        batch, heads, rows, width = given[0]
        keys = given[1][2]
        return Cost(4.0 * batch * heads * rows * keys * width, item_bytes * sum(map(math.prod, (*given[:3], given[0]))))
    if kind in _PASSES and given:
        largest = max(map(math.prod, given))
        return Cost(_PASSES[kind] * largest, item_bytes * (sum(map(math.prod, given)) + largest))
    return None


_PASSES: dict[str, float] = {
    **dict.fromkeys(("add", "add_", "mul", "mul_", "div", "div_", "sub", "relu", "relu_"), 1.0),
    **dict.fromkeys(("gelu", "gelu_", "tanh", "silu", "biasgelu", "fastgelu"), 8.0),
    **dict.fromkeys(("native_layer_norm", "layernormalization", "skiplayernormalization"), 8.0),
    **dict.fromkeys(("_softmax", "softmax"), 5.0),
}
"""Operations per element of operators that go over their inputs once, as usually counted."""


def _product(left: Shape, right: Shape, transposed: bool, item_bytes: int) -> Cost:
    inner, columns = left[-1], right[-2 if transposed and len(right) > 1 else -1]
    rows = math.prod(left) / inner
    size = math.prod(left) + math.prod(right) + rows * columns
    return Cost(2.0 * rows * inner * columns, item_bytes * size)


def measure_peaks(threads: int, dtype: str = "float32", seconds: float = _PEAK_SECONDS) -> Roofline:
    """The peaks of this CPU with so many threads: the best of some matrix products and of some copies."""
    import torch

    torch.set_num_threads(threads)
    kind = getattr(torch, dtype)
    with torch.inference_mode():
        left, right = torch.rand(2, _SIDE, _SIDE).to(kind).unbind()
        product = _best(lambda: torch.mm(left, right), seconds)
        source = torch.zeros(_COPIED)
        target = torch.empty_like(source)
        copy = _best(lambda: target.copy_(source), seconds)
    return Roofline(
        flops_per_second=2.0 * _SIDE**3 / product,
        bytes_per_second=2.0 * 4 * _COPIED / copy,
        source=f"measured now, {threads} threads: a product of {_SIDE}×{_SIDE} {dtype} matrices, a copy of 128 MiB",
    )


def _best(call: Any, seconds: float) -> float:
    """The shortest of the calls that fit into some seconds, after one that does not count."""
    call()
    end, best = time.perf_counter() + seconds, math.inf
    while time.perf_counter() < end:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def data_sheet_peaks(gpu: str, precision: Any) -> Roofline | None:
    """The peaks of a GPU as its data sheet has them; None where they are not known."""
    from podium.devices.peaks import gpu_peak

    peak = gpu_peak(gpu)
    flops = peak.flops(precision) if peak else None
    if peak is None or flops is None:
        return None
    return Roofline(flops_per_second=flops, bytes_per_second=peak.bytes_per_second, source=peak.source)


def bound_of(flops: float, moved: float, seconds: float, peaks: Roofline) -> str:
    """What keeps an operator from being faster: `compute` or `memory` near its roof, or `latency` far below it."""
    roof = max(flops / peaks.flops_per_second, moved / peaks.bytes_per_second)
    if roof < _LATENCY * seconds:
        return "latency"
    return "compute" if flops / moved >= peaks.flops_per_second / peaks.bytes_per_second else "memory"


def with_points(peaks: Roofline, operators: Sequence[Operator]) -> Roofline:
    """The peaks with the operators whose cost is known, those that take most time first."""
    points = [
        RooflinePoint(
            name=one.name,
            intensity=one.flops / one.bytes,
            flops_per_second=one.flops / one.self_seconds,
            bound=bound_of(one.flops, one.bytes, one.self_seconds, peaks),
        )
        for one in operators
        if one.flops and one.bytes and one.self_seconds > 0
    ]
    return peaks.model_copy(update={"points": tuple(points[:_SHOWN])})
