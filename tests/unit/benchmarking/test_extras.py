from __future__ import annotations

import pytest

from podium.benchmarking.extras import summarise_cold_start, summarise_grid, summarise_server
from podium.benchmarking.spec import Cell, ColdStartResult, GridResult, ServerResult
from podium.config.benchmark import BenchmarkConfig

S = 1_000_000_000


def test_each_cell_of_the_grid_is_summed_over_repetitions() -> None:
    def result(seconds: float) -> GridResult:
        times = [int(seconds * S)] * 2
        own = Cell(batch_size=8, length=None, tokens=11.5, batch_ns=times)
        return GridResult(pid=1, cells=[own, Cell(batch_size=8, length=64, tokens=63.0, batch_ns=times * 2)])

    own, fixed = summarise_grid([result(1.0), result(2.0)])
    assert (own.batch_size, own.length, own.tokens) == (8, None, 11.5)
    assert own.rows_per_second.value == pytest.approx(6.0)
    assert own.rows_per_second.low < 4 and own.rows_per_second.high > 8
    assert (fixed.length, fixed.tokens) == (64, 63.0)


def test_the_rate_of_a_server_has_an_interval_over_repetitions() -> None:
    results = [ServerResult(pid=1, rate=rate, probes=[]) for rate in (40.0, 50.0, 60.0)]
    found = summarise_server(results, 100.0, 0.99, 2000, BenchmarkConfig())
    assert found.per_second is not None
    assert found.per_second.low < 50.0 == found.per_second.value < found.per_second.high
    assert found.utilisation == pytest.approx(0.5)
    assert (found.q, found.bound_ms, found.note) == (0.99, 130.0, "")


def test_a_server_that_misses_the_bound_when_idle_has_no_rate_but_a_reason() -> None:
    results = [ServerResult(pid=1, rate=rate, probes=[]) for rate in (40.0, None, 60.0)]
    found = summarise_server(results, 100.0, 0.95, 300, BenchmarkConfig(server_latency_ms=10))
    assert found.per_second is None
    assert found.utilisation is None
    assert "300 arrivals per probe support p95" in found.note
    assert "1 of 3 repetitions missed 10 ms at p95 even when nearly idle" in found.note


def test_a_cold_start_is_the_sum_of_its_parts() -> None:
    starts = [
        ColdStartResult(pid=1, imports_ns=2 * S, load_ns=S // 2, first_answer_ns=S // 10),
        ColdStartResult(pid=2, imports_ns=3 * S, load_ns=S // 2, first_answer_ns=S // 10),
    ]
    found = summarise_cold_start(starts)
    assert found.imports.value == pytest.approx(2.5)
    assert found.load.value == pytest.approx(0.5)
    assert found.total.value == pytest.approx(3.1)
    assert found.total.method == "Student t over 2 repetitions"


def test_a_server_needs_repetitions() -> None:
    with pytest.raises(ValueError, match=r"needs repetitions >= 2 .* got repetitions=1"):
        BenchmarkConfig(scenarios=("server",), repetitions=1)
