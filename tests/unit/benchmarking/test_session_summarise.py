"""Repetitions of a classifier summed up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.benchmarking.calls import Repetition
from podium.benchmarking.scenarios.classifiers import LatencySamples, ThroughputSamples
from podium.benchmarking.session import ModelFiles, summarise
from podium.config.benchmark import BenchmarkConfig
from podium.errors import BenchmarkError
from podium.records import Measurement

MS = 1_000_000
OF_THROUGHPUT = {"batch_ns", "energy_j", "energy_note", "weights", "batch_tokens"}


def repetition(latency_ms: float = 10.0, count: int = 100, **fields: Any) -> Repetition:
    batches = {"batch_ns": [100 * MS] * 4} | {name: fields.pop(name) for name in OF_THROUGHPUT & fields.keys()}
    latencies = LatencySamples(latency_ns=[int(latency_ms * MS) + index for index in range(count)], tokens=[5] * count)
    values = {"pid": 1, "load_seconds": 0.5, "warm_up_ns": [MS], "settled": True, "peak_rss_mb": 300.0}
    samples = {"latency": latencies, "throughput": ThroughputSamples(**batches)}
    return Repetition.model_validate({**values, **fields, "samples": samples})


def summed(*found: Repetition, config: BenchmarkConfig | None = None) -> Measurement:
    model = ModelFiles(Path(), "tiny", "eager", "digest")
    taken = {"latency": found, "throughput": found}
    return summarise(model, config or BenchmarkConfig(), taken, {}, size_mb=17.0)


def test_the_defaults_support_p90() -> None:
    found = summed(repetition(10.0), repetition(10.1), repetition(9.9, peak_rss_mb=320.0, load_seconds=0.9))
    assert [item.q for item in found.latency] == [0.5, 0.9, 0.95]
    assert found.quantile_ms(0.5) == pytest.approx(10.0, rel=0.01)
    assert found.latency_samples == 300
    assert found.latency_cv == pytest.approx(0.01, rel=0.01)
    assert found.throughput_per_second.value == pytest.approx(320.0)
    assert found.peak_rss_mb == 320.0
    assert found.load_seconds == 0.5
    assert found.size_mb == 17.0
    assert not found.unstable
    assert found.notes == ()


def test_repetitions_that_disagree_are_flagged() -> None:
    found = summed(repetition(10.0), repetition(13.0), repetition(10.0))
    assert found.unstable
    assert "median latency varies" in found.notes[0]


def test_one_repetition_is_flagged_and_has_an_interval_from_its_batches() -> None:
    found = summed(repetition(batch_ns=[90 * MS, 100 * MS, 110 * MS]), config=BenchmarkConfig(repetitions=1))
    assert found.unstable
    assert found.throughput_per_second.low < 320 < found.throughput_per_second.high
    assert found.throughput_per_second.method == "bootstrap over 3 batches of one repetition"


def test_repetitions_cut_short_are_noted_and_unsupported_quantiles_left_out() -> None:
    found = summed(repetition(count=15), repetition(count=15), repetition(count=100))
    assert [item.q for item in found.latency] == [0.5, 0.9]
    assert found.notes == ("2 of 3 repetitions stopped at benchmark.max_seconds=20 with as few as 15 of 100 samples",)
    assert not found.unstable


def test_too_few_samples_for_a_median_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match=r"a median needs 20 samples, but 3 repetitions took 18 within .*raise it"):
        summed(*[repetition(count=6)] * 3)


def test_two_repetitions_are_noted_but_not_called_unstable() -> None:
    found = summed(repetition(), repetition(), config=BenchmarkConfig(repetitions=2))
    assert found.notes == ("2 repetitions give wide intervals: set benchmark.repetitions to 3 or more",)
    assert not found.unstable


def test_energy_is_per_row_of_the_timed_batches() -> None:
    found = summed(*[repetition(energy_j=64.0, energy_note="RAPL")] * 3)
    assert found.energy_j == pytest.approx(64 / (4 * 32))
    assert found.energy_note == "RAPL"


def test_energy_that_one_repetition_could_not_read_is_null_with_the_reason() -> None:
    found = summed(repetition(energy_note="for root"), repetition(energy_j=1.0), repetition(energy_j=1.0))
    assert found.energy_j is None
    assert found.energy_note == "for root"


def test_utilisation_is_counted_on_a_known_gpu_and_explained_elsewhere() -> None:
    seen: dict[str, Any] = {"weights": 10**9, "batch_tokens": 4000, "environment": {"gpu": "NVIDIA A100-SXM4-40GB"}}
    found = summed(*[repetition(**seen)] * 3)
    assert found.mfu == pytest.approx(2 * 1e9 * 10_000 / 19.5e12), "4,000 tokens in 4 batches of 0.1 s"
    bare = summed(*[repetition()] * 3)
    assert bare.mfu is None
    assert "CPU" in bare.mfu_note
