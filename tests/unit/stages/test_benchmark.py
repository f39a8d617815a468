"""The figures of a measurement as they are sent to the tracking server."""

from __future__ import annotations

from podium.stages.benchmark import figures
from tests.unit.report.samples import sample


def test_figures_are_named_after_their_scenario_with_labels_where_there_are_several() -> None:
    found = figures("minilm.eager", sample().benchmark.measurements[0])
    names = {name.removeprefix("minilm.eager.") for name in found}
    assert {"latency_p50_ms", "latency_p95_ms", "throughput_per_second", "peak_rss_mb", "size_mb"} <= names
    assert {"server_per_second", "server_utilisation", "cold_start_seconds", "cold_start_imports_seconds"} <= names
    assert {name for name in names if name.startswith("grid")} == {
        f"grid_per_second.length_{length}.batch_size_{size}" for length in (32, 128) for size in (1, 8)
    }
