"""Results of the scenarios that every classifier has, made of chosen figures."""

from __future__ import annotations

from collections.abc import Mapping

from podium.records import Figure, Interval, ScenarioResult


def classifier_scenarios(
    quantiles: Mapping[float, Interval],
    rate: Interval,
    *,
    samples: int = 100,
    cv: float = 0.1,
    batch_size: int = 32,
    energy_j: float | None = None,
    energy_note: str = "",
    mfu_note: str = "",
) -> dict[str, ScenarioResult]:
    """Latency and throughput."""
    latencies = [Figure.of(f"p{100 * q:g}_ms", f"p{100 * q:g}", "ms", interval) for q, interval in quantiles.items()]
    throughput = [Figure.of("per_second", "rows", "/s", rate)]
    if energy_j is not None:
        throughput.append(Figure(name="energy_j", title="energy per row", unit="J", value=energy_j))
    return {
        "latency": ScenarioResult(figures=tuple(latencies), facts={"samples": samples, "cv": cv}),
        "throughput": ScenarioResult(
            figures=tuple(throughput),
            facts={"batch_size": batch_size, "energy_note": energy_note, "mfu_note": mfu_note},
        ),
    }
