"""Scenario `server`: how many requests per second does one worker take while it holds a latency bound?

The scenario is that of MLPerf Inference (Reddi et al., 2020, "MLPerf Inference Benchmark", section III-C): requests
arrive as a Poisson process whether or not earlier ones are answered, and latency runs from arrival to completion.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from pydantic import Field

from podium.benchmarking.bench import Bench, Call, quiet
from podium.benchmarking.calls import Samples
from podium.benchmarking.scenarios import Measured, Scenario
from podium.benchmarking.scenarios.classifiers import QUANTILES
from podium.benchmarking.statistics import mean_interval, samples_needed, supported
from podium.config.benchmark import BenchmarkConfig
from podium.config.section import Section
from podium.inference.predictor import Row
from podium.records import Figure, Scalar, ScenarioResult

STEPS = 6
"""Halvings of the range of rates: the found rate is exact to 1/64 of the rate without waiting."""

_IDLE = 0.05
_SPIN_NS = 1_000_000
_NS = 1_000_000_000
_NS_PER_MS = 1e6


class ServerSettings(Section):
    """The latency bound, which is that of MLPerf Inference for BERT by default: 130 ms for 99 % of the queries."""

    latency_ms: float = Field(
        default=130.0, gt=0, description="Latency that scenario `server` holds, queueing included."
    )
    seconds: float = Field(default=60.0, gt=0, description="About how long scenario `server` takes per process.")


class Probe(Samples):
    """One stream of arrivals.

    Attributes:
        held: whether the quantile was within the bound.
        latency_ns: from arrival to completion, in order of arrival; cut off once the bound was sure to be missed.
    """

    rate: float
    held: bool
    latency_ns: list[int]


class ServerSamples(Samples):
    """The probes of one process; `rate` is the highest one per second that held the bound, None where none did."""

    rate: float | None
    probes: list[Probe] = []


class Server(Scenario[ServerSamples, ServerSettings]):
    """The highest rate of Poisson arrivals at which one worker holds a latency bound."""

    name = "server"
    title = "Behind a queue"
    explanation = "The highest rate of Poisson arrivals at which one worker holds the latency bound, waiting included."
    Settings = ServerSettings
    Samples = ServerSamples
    least_repetitions = 2

    def seconds(self, config: BenchmarkConfig) -> float:
        return self.settings(config).seconds

    def parameters(self, config: BenchmarkConfig, earlier: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """The capacity, which is one over the mean latency of a row, and the quantile and arrivals of a probe."""
        mean_ns = statistics.mean(taken for one in earlier["latency"] for taken in one.latency_ns)
        q, arrivals = plan(_NS / mean_ns, self.seconds(config))
        return {"capacity": _NS / mean_ns, "q": q, "arrivals": arrivals}

    def measure(self, bench: Bench) -> ServerSamples:
        bound = self.settings(bench.call.config).latency_ms
        rate, probes = search(
            bench.predictor, bench.call.rows, **bench.call.parameters[self.name], bound_ms=bound, seed=bench.call.number
        )
        return ServerSamples(rate=rate, probes=probes)

    def summarise(self, samples: Sequence[ServerSamples], about: Measured) -> ScenarioResult:
        """Mean and interval of the rates of all repetitions; no rate where one of them found none."""
        bound, q = self.settings(about.config).latency_ms, float(about.parameters["q"])
        arrivals, capacity = int(about.parameters["arrivals"]), float(about.parameters["capacity"])
        rates = [one.rate for one in samples if one.rate is not None]
        notes = []
        if q < QUANTILES[-1]:
            notes.append(
                f"{arrivals} arrivals per probe support p{100 * q:g} and no higher quantile; raise "
                "benchmark.settings.server.seconds"
            )
        if len(rates) < len(samples):
            notes.append(
                f"{len(samples) - len(rates)} of {len(samples)} repetitions missed {bound:g} ms at p{100 * q:g} even "
                "when nearly idle; raise benchmark.settings.server.latency_ms"
            )
        label = {"bound": f"p{100 * q:g} within {bound:g} ms"}
        rate = Figure(name="per_second", title="rate held", unit="/s", value=None, labels=label)
        share = Figure(name="utilisation", title="utilisation", value=None, labels=label)
        if len(rates) == len(samples):
            found = mean_interval(rates)
            rate = Figure.of("per_second", "rate held", "/s", found, **label)
            share = share.model_copy(update={"unit": "%", "value": 100 * found.value / capacity})
        facts: dict[str, Scalar] = {"bound_ms": bound, "q": q, "arrivals": arrivals}
        probe = Figure(name="arrivals", title="arrivals a probe", value=arrivals, labels=label)
        return ScenarioResult(figures=(rate, share, probe), facts=facts, notes=tuple(notes))


SERVER = Server()


def plan(capacity: float, seconds: float) -> tuple[float, int]:
    """The quantile that is held to the bound, and the arrivals of a probe, so that all probes take about `seconds`.

    It is the highest of `QUANTILES` that so many arrivals support; there are at least as many as a median needs. The
    worker answers `capacity` rows per second without ever waiting.
    """
    affordable = max(int(capacity * seconds / STEPS / 2), samples_needed(QUANTILES[0]))
    return max(supported(QUANTILES, affordable)), affordable


def search(
    call: Call, rows: Sequence[Row], capacity: float, arrivals: int, q: float, bound_ms: float, seed: int
) -> tuple[float | None, list[Probe]]:
    """Find by bisection the highest rate at which the quantile `q` of latency is within `bound_ms`.

    A stable queue has rates from zero to `capacity`, rows per second without waiting. Every probe answers `rows` in
    turn from the start and scales the same sequence of `arrivals`, so a higher rate makes no request wait less. So all
    rates below a certain one hold the bound, and no rate above it does.

    Returns the rate per second, None where even 5 % of the capacity is too much; and all probes.
    """
    gaps = np.random.default_rng(seed).exponential(size=arrivals)
    may_miss = arrivals - math.ceil(round(q * arrivals, 6))
    low, high, probes = 0.0, capacity, list[Probe]()
    for _ in range(STEPS):
        rate = (low + high) / 2
        times = arrive(call, rows, gaps / rate, bound_ms, may_miss)
        held = sum(taken > bound_ms * _NS_PER_MS for taken in times) <= may_miss
        probes.append(Probe(rate=rate, held=held, latency_ns=times))
        low, high = (rate, high) if held else (low, rate)
        if high < _IDLE * capacity:
            break
    return low or None, probes


def arrive(call: Call, rows: Sequence[Row], gaps_seconds: np.ndarray, bound_ms: float, may_miss: int) -> list[int]:
    """Answer rows in order of arrival; latency of each in nanoseconds, from arrival to completion.

    Arrivals are fixed beforehand, so a request that finds the worker busy waits, and its wait counts. A loop that sends
    the next request only after the last answer would leave out these waits (Tene, "coordinated omission"). It ends once
    more than `may_miss` answers are later than the bound.
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
