"""The server scenario: how many requests per second does one worker take while it holds a latency bound?

The scenario is that of MLPerf Inference (Reddi et al., 2020, "MLPerf Inference Benchmark", section III-C): requests
arrive as a Poisson process whether or not earlier ones are answered, and latency runs from arrival to completion.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np

from podium.benchmarking.scenarios import Call, quiet
from podium.benchmarking.spec import Probe
from podium.benchmarking.statistics import samples_needed, supported
from podium.inference.rows import Row

STEPS = 6
"""Halvings of the range of rates: the rate found is exact to 1/64 of what the worker can do without waiting."""

QUANTILES = (0.5, 0.9, 0.95, 0.99)

_IDLE = 0.05
_SPIN_NS = 1_000_000
_NS = 1_000_000_000
_NS_PER_MS = 1e6


def plan(capacity: float, seconds: float) -> tuple[float, int]:
    """The quantile that can be held to the bound, and the arrivals of a probe, when all probes take about `seconds`.

    Args:
        capacity: rows per second that the worker answers without ever waiting.

    Returns:
        The highest of `QUANTILES` that so many arrivals support; at least those that a median needs.
    """
    affordable = max(int(capacity * seconds / STEPS / 2), samples_needed(QUANTILES[0]))
    return max(supported(QUANTILES, affordable)), affordable


def search(
    call: Call, rows: Sequence[Row], capacity: float, arrivals: int, q: float, bound_ms: float, seed: int
) -> tuple[float | None, list[Probe]]:
    """Find by bisection the highest rate at which the quantile `q` of latency is within `bound_ms`.

    The range is that of a stable queue, from nothing to `capacity`. Every probe scales the same sequence of arrivals,
    so that a higher rate only ever makes each request wait longer, and one rate divides those that hold the bound from
    those that do not.

    Args:
        rows: answered in turn, from the start in every probe.
        capacity: rows per second without waiting: one over the mean latency of a row.
        arrivals: of one probe.
        seed: of the arrivals.

    Returns:
        The rate per second, None where even 5 % of the capacity is too much; and all probes.
    """
    gaps = np.random.default_rng(seed).exponential(size=arrivals)
    low, high, probes = 0.0, capacity, list[Probe]()
    for _ in range(STEPS):
        rate = (low + high) / 2
        probe = _probe(call, rows, gaps, rate, q, bound_ms)
        probes.append(probe)
        low, high = (rate, high) if probe.held else (low, rate)
        if high < _IDLE * capacity:
            break
    return low or None, probes


def _probe(call: Call, rows: Sequence[Row], gaps: np.ndarray, rate: float, q: float, bound_ms: float) -> Probe:
    may_miss = len(gaps) - math.ceil(round(q * len(gaps), 6))
    times = arrive(call, rows, gaps / rate, bound_ms, may_miss)
    missed = sum(taken > bound_ms * _NS_PER_MS for taken in times)
    return Probe(rate=rate, held=missed <= may_miss, latency_ns=times)


def arrive(call: Call, rows: Sequence[Row], gaps_seconds: np.ndarray, bound_ms: float, may_miss: int) -> list[int]:
    """Answer rows in order of arrival; latency of each in nanoseconds, from arrival to completion.

    Arrivals are fixed beforehand, so one that finds the worker busy waits and its wait counts: a loop that sends the
    next request after the last answer would leave out just those (Tene, "coordinated omission").

    Args:
        gaps_seconds: time between arrivals.
        may_miss: how many may be later than the bound; with one more, nothing further is answered and the list ends.
    """
    due = (np.cumsum(gaps_seconds) * _NS).astype(np.int64)
    bound, missed, times = bound_ms * _NS_PER_MS, 0, list[int]()
    with quiet():
        start = time.perf_counter_ns()
        for at, row in zip(due.tolist(), islice(cycle(rows), len(due)), strict=True):
            _wait_until(start + at)
            call([row])
            times.append(time.perf_counter_ns() - start - at)
            missed += times[-1] > bound
            if missed > may_miss:
                break
    return times


def _wait_until(moment: int) -> None:
    """Sleep, and spin for the last millisecond, which a sleep would overshoot."""
    left = moment - time.perf_counter_ns()
    if left > _SPIN_NS:
        time.sleep((left - _SPIN_NS) / _NS)
    while time.perf_counter_ns() < moment:
        pass
