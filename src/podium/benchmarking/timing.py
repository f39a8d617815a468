"""How calls are timed, independent of what is called.

All times are wall time in nanoseconds from `time.perf_counter_ns`. The garbage collector is switched off meanwhile, so
that no call is charged for a collection that earlier allocations caused.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from podium.inference.rows import Row

Call = Callable[[list[Row]], Any]
"""Predicts a batch; returns only when the result is on the host."""

_WINDOW = 8
_TOLERANCE = 0.05
LEAST_BATCHES = 2
"""Timed batches of a repetition, however long they take."""

_NS = 1_000_000_000
_REFILL_NS = 50_000_000


@dataclass(frozen=True)
class WarmUp:
    """Times of the calls made before measuring, and whether they settled."""

    times_ns: list[int]
    settled: bool


def warm_up(call: Call, row: Row, seconds: float) -> WarmUp:
    """Call with one row until steady: the medians of the last two windows of 8 calls differ by at most 5 %.

    It is the same row each time, so that differences in length are not mistaken for warming up. The warm-up ends after
    `seconds` at the latest, but not before one call.
    """
    end = time.perf_counter_ns() + int(seconds * _NS)
    times: list[int] = []
    with quiet():
        while True:
            times.append(_timed(call, [row]))
            if len(times) >= 2 * _WINDOW:
                before = statistics.median(times[-2 * _WINDOW : -_WINDOW])
                if abs(statistics.median(times[-_WINDOW:]) - before) <= _TOLERANCE * before:
                    return WarmUp(times, settled=True)
            if time.perf_counter_ns() >= end:
                return WarmUp(times, settled=False)


def single_stream(
    call: Call, rows: Sequence[Row], seconds: float, least: int = 1, before: Row | None = None
) -> list[int]:
    """Latency of one row after another, batch size 1. Stops after `seconds`, but not before `least` rows.

    Args:
        before: a row that is predicted for 50 ms first, untimed, since caches and threads are cold after a pause.
    """
    end = time.perf_counter_ns() + int(seconds * _NS)
    times: list[int] = []
    with quiet():
        if before is not None:
            _call_for(call, before, _REFILL_NS)
        for row in rows:
            times.append(_timed(call, [row]))
            if len(times) >= least and time.perf_counter_ns() >= end:
                break
    return times


def _call_for(call: Call, row: Row, nanoseconds: int) -> None:
    end = time.perf_counter_ns() + nanoseconds
    call([row])
    while time.perf_counter_ns() < end:
        call([row])


def full_batches(rows: Sequence[Row], batch_size: int) -> Iterator[list[Row]]:
    """Full batches of rows in the order given, over and over, without end."""
    endless = cycle(rows)
    while True:
        yield list(islice(endless, batch_size))


def timed_batches(
    call: Call,
    batches: Iterator[list[Row]],
    seconds: float,
    least: int = 1,
    around: AbstractContextManager[Any] | None = None,
) -> list[int]:
    """Times of the next batches for `seconds`, but of at least `least` of them.

    Args:
        batches: an endless iterator.
        around: a context that is entered while the batches are timed.
    """
    end = time.perf_counter_ns() + int(seconds * _NS)
    times: list[int] = []
    with quiet(), around or nullcontext():
        while len(times) < least or time.perf_counter_ns() < end:
            times.append(_timed(call, next(batches)))
    return times


def _timed(call: Call, batch: list[Row]) -> int:
    start = time.perf_counter_ns()
    call(batch)
    return time.perf_counter_ns() - start


@contextmanager
def quiet() -> Iterator[None]:
    """Collect garbage now, and none until the end of the block. Later collections skip what is alive now."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
