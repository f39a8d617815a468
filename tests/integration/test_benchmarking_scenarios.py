"""Grid, server and cold start on BERT-tiny, in real processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from podium.benchmarking.run import benchmark
from podium.config.benchmark import BenchmarkConfig
from podium.errors import BenchmarkError
from podium.records import Measurement
from tests.integration.test_benchmarking_run import LABELS, save_model, subject

pytestmark = pytest.mark.integration

ROWS = ["a short text", "a text that is quite a bit longer than the other one is", "text"] * 10
CONFIG = BenchmarkConfig(
    device="cpu",
    threads=1,
    repetitions=2,
    samples=20,
    max_seconds=2,
    throughput_batch_size=4,
    scenarios=("grid", "server", "cold-start"),
    grid_batch_sizes=(1, 4),
    grid_lengths=(64,),
    server_latency_ms=2000,
    server_seconds=2,
)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "classifier", "text-classification", LABELS)


@pytest.fixture(scope="module")
def measured(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, dict[str, Any]]:
    work = tmp_path_factory.mktemp("work")
    (found,) = benchmark([subject(model_dir)], ROWS, "text-classification", CONFIG, work)
    return found


def test_the_grid_holds_every_batch_size_and_length(measured: tuple[Measurement, Any]) -> None:
    found, _ = measured
    assert [(cell.length, cell.batch_size) for cell in found.grid] == [(None, 1), (None, 4), (64, 1), (64, 4)]
    own, fixed = found.grid[1], found.grid[3]
    assert own.tokens < 20
    assert 60 < fixed.tokens <= 64
    assert own.rows_per_second.value > fixed.rows_per_second.value, "longer rows take longer"


def test_a_loose_bound_allows_most_of_the_capacity(measured: tuple[Measurement, dict[str, Any]]) -> None:
    found, samples = measured
    assert found.server is not None
    assert found.server.per_second is not None
    assert found.server.utilisation is not None
    assert 0.2 < found.server.utilisation <= 1
    raw = samples["server"]
    assert found.server.per_second.value < raw["capacity"]
    for one in raw["repetitions"]:
        assert len(one["probes"]) == 6
        assert all(len(probe["latency_ns"]) == raw["arrivals"] for probe in one["probes"] if probe["held"])


def test_cold_starts_are_processes_that_measure_their_own_start(measured: tuple[Measurement, dict[str, Any]]) -> None:
    found, samples = measured
    assert found.cold_start is not None
    assert found.cold_start.imports.value > 0.5, "torch alone takes longer"
    assert 0 < found.cold_start.first_answer.value < found.cold_start.total.value
    assert len(samples["cold_start"]) == 3
    pids = {one["pid"] for part in ("repetitions", "grid", "cold_start") for one in samples[part]}
    assert len(pids - {os.getpid()}) == 7


def test_the_process_is_bound_and_described(measured: tuple[Measurement, dict[str, Any]]) -> None:
    found, samples = measured
    where = found.environment
    assert where["torch_threads"].startswith("1 within")
    assert where["load"]
    if samples["cores"]:
        assert where["affinity"] == str(samples["cores"][0])


def test_energy_and_utilisation_are_figures_or_reasons(measured: tuple[Measurement, Any]) -> None:
    found, _ = measured
    assert (found.energy_j is None) == ("RAPL, " not in found.energy_note)
    assert found.energy_note
    assert found.mfu is None
    assert "CPU" in found.mfu_note


def test_a_length_beyond_the_model_is_refused(model_dir: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(
        update={"scenarios": ("grid",), "grid_lengths": (4096,), "max_seconds": 1.0, "repetitions": 1}
    )
    with pytest.raises(BenchmarkError, match="it cuts rows at 128 tokens and 4096 were asked for"):
        benchmark([subject(model_dir)], ROWS, "text-classification", config, tmp_path)
