"""The server scenario against a clock that only a model and waiting move."""

from __future__ import annotations

import numpy as np
import pytest

from podium.benchmarking.scenarios import Measured, server
from podium.benchmarking.scenarios.server import SERVER, ServerSamples, arrive, plan, search
from podium.config.benchmark import BenchmarkConfig

MS = 1_000_000


class Clock:
    """Stands for `time`: reading it takes a tenth of a millisecond, so that spinning ends."""

    def __init__(self) -> None:
        self.now = 0
        self.slept = 0.0

    def perf_counter_ns(self) -> int:
        self.now += MS // 10
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(server, "time", fake)
    return fake


def worker(clock: Clock, milliseconds: float):
    def call(batch: list) -> None:
        assert len(batch) == 1, "requests are answered one at a time"
        clock.now += int(milliseconds * MS)

    return call


def test_latency_of_a_request_that_finds_the_worker_idle_is_its_service(clock: Clock) -> None:
    times = arrive(worker(clock, 5), ["a"], np.full(4, 1.0), 100, 0)
    assert [taken / MS for taken in times] == pytest.approx([5] * 4, abs=0.5)
    assert clock.slept > 3.9, "the worker sleeps between requests"


def test_latency_counts_the_wait_in_the_queue(clock: Clock) -> None:
    """Arrivals every 2 ms at a worker that needs 5: each waits 3 ms longer than the one before."""
    times = arrive(worker(clock, 5), ["a"], np.full(4, 0.002), 100, 0)
    assert [taken / MS for taken in times] == pytest.approx([5, 8, 11, 14], abs=1.0)


def test_a_stall_is_charged_to_every_request_that_arrived_meanwhile(clock: Clock) -> None:
    costs = iter([100, 1, 1, 1])

    def call(batch: list) -> None:
        clock.now += next(costs) * MS

    times = arrive(call, ["a"], np.full(4, 0.010), 1000, 4)
    assert [round(taken / MS, -1) for taken in times] == [100, 90, 80, 70]


def test_a_probe_ends_once_the_bound_is_sure_to_be_missed(clock: Clock) -> None:
    assert len(arrive(worker(clock, 50), ["a"], np.full(100, 0.001), 10, 3)) == 4


def test_rows_are_answered_in_turn(clock: Clock) -> None:
    seen: list[str] = []
    arrive(seen.extend, ["a", "b", "c"], np.full(5, 0.01), 10, 5)
    assert seen == ["a", "b", "c", "a", "b"]


def found_rate(clock: Clock, bound_ms: float, seed: int = 0, service_ms: float = 5.0) -> float | None:
    # One reading of the clock costs 0.1 ms, which is part of the service here.
    rate, _ = search(worker(clock, service_ms), ["a"], 1000 / (service_ms + 0.2), 2000, 0.99, bound_ms, seed)
    return rate


def test_the_rate_is_that_of_queueing_theory(clock: Clock) -> None:
    """M/D/1 with a service of 1: P(wait <= 5) is 0.99 at a utilisation near 0.65 (Erlang's formula, checked below)."""
    rates = [found_rate(clock, bound_ms=6 * 5.2, seed=seed) for seed in range(5)]
    assert all(rate is not None for rate in rates)
    utilisation = np.mean([rate or 0 for rate in rates]) * 5.2 / 1000
    below, above = (wait_within(5.0, utilisation + step) for step in (-0.08, 0.08))
    assert below > 0.99 > above


def wait_within(limit: float, load: float) -> float:
    """Share of requests of an M/D/1 queue with service 1 that wait at most `limit` (Erlang, 1909)."""
    from math import exp, factorial, floor

    terms = ((-load * (limit - k)) ** k / factorial(k) * exp(load * (limit - k)) for k in range(floor(limit) + 1))
    return (1 - load) * sum(terms)


def test_a_looser_bound_allows_a_higher_rate(clock: Clock) -> None:
    rates = [found_rate(clock, bound_ms) for bound_ms in (11, 15, 40, 400)]
    assert None not in rates
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_a_bound_below_the_service_time_allows_no_rate_and_ends_soon(clock: Clock) -> None:
    rate, probes = search(worker(clock, 5), ["a"], 200, 2000, 0.99, 4.0, 0)
    assert rate is None
    assert not any(probe.held for probe in probes)
    assert sum(len(probe.latency_ns) for probe in probes) < 200


def test_arrivals_are_those_of_the_seed(clock: Clock) -> None:
    def probes(seed: int) -> list:
        clock.now = 0
        return search(worker(clock, 5), ["a"], 190, 200, 0.9, 20, seed)[1]

    assert probes(1) == probes(1)
    assert probes(1) != probes(2)


@pytest.mark.parametrize(
    ("capacity", "seconds", "q"), [(500, 60, 0.99), (100, 60, 0.95), (20, 60, 0.9), (1, 60, 0.5), (0.01, 1, 0.5)]
)
def test_the_quantile_is_one_that_a_probe_supports(capacity: float, seconds: float, q: float) -> None:
    found, arrivals = plan(capacity, seconds)
    assert found == q
    assert arrivals * (1 - q) >= 9.99


def about(config: BenchmarkConfig | None = None, q: float = 0.99, arrivals: int = 2000) -> Measured:
    return Measured(config or BenchmarkConfig(), parameters={"capacity": 100.0, "q": q, "arrivals": arrivals})


def test_the_rate_has_an_interval_over_repetitions() -> None:
    found = SERVER.summarise([ServerSamples(rate=rate) for rate in (40.0, 50.0, 60.0)], about())
    rate = found.figure("per_second")
    assert rate is not None and rate.low is not None and rate.high is not None
    assert rate.low < 50.0 == rate.value < rate.high
    assert found.value("utilisation") == pytest.approx(50)
    assert rate.labels == {"bound": "p99 within 130 ms"}
    assert found.notes == ()


def test_a_worker_that_misses_the_bound_when_idle_has_no_rate_but_a_reason() -> None:
    config = BenchmarkConfig(scenarios=("server",), settings={"server": {"latency_ms": 10}})
    found = SERVER.summarise([ServerSamples(rate=rate) for rate in (40.0, None, 60.0)], about(config, 0.95, 300))
    assert found.value("per_second") is None
    assert found.value("utilisation") is None
    assert "300 arrivals per probe support p95" in found.notes[0]
    assert "1 of 3 repetitions missed 10 ms at p95 even when nearly idle" in found.notes[1]


def test_a_server_needs_repetitions() -> None:
    with pytest.raises(ValueError, match=r"needs repetitions >= 2 .* got repetitions=1"):
        BenchmarkConfig(scenarios=("server",), repetitions=1)
