"""Repetitions summed up: pure, so that stored samples give the same measurement again."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from podium.benchmarking.spec import RepetitionResult
from podium.benchmarking.statistics import (
    CONFIDENCE,
    batch_rate,
    coefficient_of_variation,
    instabilities,
    latency_quantile,
    samples_needed,
    supported,
    throughput,
)
from podium.config.benchmark import BenchmarkConfig, VariantName
from podium.devices.utilisation import utilisation
from podium.errors import BenchmarkError
from podium.records import Measurement

QUANTILES = (0.5, 0.9, 0.95, 0.99)
"""Latency quantiles that are reported where the samples support them."""

ENOUGH_REPETITIONS = 3

_NS_PER_MS = 1e6
_NS_PER_S = 1e9


def summarise(
    results: Sequence[RepetitionResult],
    backbone: str,
    variant: VariantName,
    model_digest: str,
    config: BenchmarkConfig,
    size_mb: float,
) -> Measurement:
    """The measurement of all repetitions, without scenarios beside latency and throughput.

    Raises:
        BenchmarkError: too few samples for a median.
    """
    latencies = [sample for result in results for sample in result.latency_ns]
    if len(latencies) < samples_needed(0.5):
        raise BenchmarkError(
            f"a median needs {samples_needed(0.5)} samples, but {len(results)} repetitions took {len(latencies)} "
            f"within benchmark.max_seconds={config.max_seconds:g} each; raise it"
        )
    size = config.throughput_batch_size
    medians = [statistics.median(result.latency_ns) / _NS_PER_MS for result in results]
    rates = [batch_rate(result.batch_ns, size) for result in results]
    unstable = instabilities(medians, rates, [number for number, one in enumerate(results) if not one.settled])
    environment = results[0].environment
    mfu, mfu_note = utilisation(
        results[0].weights, _tokens_per_second(results), environment.get("gpu", ""), _precision(variant)
    )
    return Measurement(
        backbone=backbone,
        variant=variant,
        model_digest=model_digest,
        latency=tuple(latency_quantile(latencies, q, CONFIDENCE) for q in supported(QUANTILES, len(latencies))),
        latency_samples=len(latencies),
        latency_cv=coefficient_of_variation(medians),
        throughput_per_second=throughput([result.batch_ns for result in results], size),
        batch_size=size,
        peak_rss_mb=max(result.peak_rss_mb for result in results),
        peak_device_mb=max((one.peak_device_mb for one in results if one.peak_device_mb is not None), default=None),
        size_mb=size_mb,
        load_seconds=statistics.median(result.load_seconds for result in results),
        energy_j=_energy_per_row(results, size),
        energy_note=results[0].energy_note,
        mfu=mfu,
        mfu_note=mfu_note,
        environment=environment,
        unstable=bool(unstable),
        notes=unstable + _few(results) + _cut_short(results, config),
    )


def _precision(variant: VariantName) -> str:
    return "bf16" if variant == "bf16" else "fp32"


def _tokens_per_second(results: Sequence[RepetitionResult]) -> float:
    """Model input tokens, without padding, over all timed batches."""
    return sum(one.batch_tokens for one in results) / (sum(sum(one.batch_ns) for one in results) / _NS_PER_S)


def _energy_per_row(results: Sequence[RepetitionResult], batch_size: int) -> float | None:
    spent = [result.energy_j for result in results if result.energy_j is not None]
    if len(spent) < len(results):
        return None
    return sum(spent) / (batch_size * sum(len(result.batch_ns) for result in results))


def _few(results: Sequence[RepetitionResult]) -> tuple[str, ...]:
    if not 1 < len(results) < ENOUGH_REPETITIONS:
        return ()
    return (f"{len(results)} repetitions give wide intervals: set benchmark.repetitions to 3 or more",)


def _cut_short(results: Sequence[RepetitionResult], config: BenchmarkConfig) -> tuple[str, ...]:
    short = [result for result in results if len(result.latency_ns) < config.samples]
    if not short:
        return ()
    fewest = min(len(result.latency_ns) for result in short)
    return (
        f"{len(short)} of {len(results)} repetitions stopped at benchmark.max_seconds={config.max_seconds:g} with as "
        f"few as {fewest} of {config.samples} samples",
    )
