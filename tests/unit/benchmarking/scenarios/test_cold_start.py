from __future__ import annotations

import pytest

from podium.benchmarking.scenarios import Measured
from podium.benchmarking.scenarios.cold_start import COLD_START, ColdStartSamples
from podium.config.benchmark import BenchmarkConfig

S = 1_000_000_000


def test_a_cold_start_is_the_sum_of_its_parts() -> None:
    starts = [
        ColdStartSamples(imports_ns=2 * S, load_ns=S // 2, first_answer_ns=S // 10),
        ColdStartSamples(imports_ns=3 * S, load_ns=S // 2, first_answer_ns=S // 10),
    ]
    found = COLD_START.summarise(starts, Measured(BenchmarkConfig()))
    assert found.value("imports_seconds") == pytest.approx(2.5)
    assert found.value("load_seconds") == pytest.approx(0.5)
    total = found.figure("seconds")
    assert total is not None
    assert (total.value, total.method) == (pytest.approx(3.1), "Student t over 2 repetitions")


def test_there_are_three_starts_at_least() -> None:
    assert COLD_START.processes(BenchmarkConfig(repetitions=1)) == 3
    assert COLD_START.processes(BenchmarkConfig(repetitions=5)) == 5
