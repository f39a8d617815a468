"""Scenario `latency`: one row after another at batch size 1, from text to label."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence

from podium.benchmarking import timing
from podium.benchmarking.bench import Bench
from podium.benchmarking.calls import Repetition, Samples
from podium.benchmarking.scenarios.base import Measured, NoSettings, Scenario
from podium.benchmarking.statistics import (
    coefficient_of_variation,
    quantile_figures,
    samples_needed,
)
from podium.errors import BenchmarkError
from podium.records import ScenarioResult

QUANTILES = (0.5, 0.9, 0.95, 0.99)
"""Latency quantiles that are reported where the samples support them."""

SHARE = 0.75
"""Share of `max_seconds` that is left for loading a row at a time; the rest is for full batches."""

_TURN_ROWS = 10
_NS_PER_MS = 1e6


class LatencySamples(Samples):
    """Raw samples of one process.

    Attributes:
        latency_ns: end-to-end latency of each row: tokenise, copy to the device, forward, arg-max, labels on the host.
        tokens: number of model input tokens of each of those rows, after truncation.
    """

    latency_ns: list[int] = []
    tokens: list[int] = []


class Latency(Scenario[LatencySamples, NoSettings]):
    """Latency of single rows."""

    name = "latency"
    title = "Latency"
    explanation = "One row at a time, from text to label."
    Samples = LatencySamples
    shares_process = True

    def measure(self, bench: Bench) -> LatencySamples:
        """Time as many rows as `max_seconds` allows, but at least those that a median of all repetitions needs."""
        rows, least = bench.call.rows, least_per_process(bench.call.config.repetitions)
        each = _TURN_ROWS if bench.call.alternates else len(rows)
        # Other models have driven this one out of the caches and put its threads to sleep; a server of this model alone
        # would find both as the call before left them.
        before = bench.middle_row if bench.call.alternates else None
        left = SHARE * bench.call.config.max_seconds - bench.spent_seconds
        times: list[int] = []
        while len(times) < len(rows) and (left > 0 or len(times) < least):
            bench.next_turn(self.name)
            started = time.perf_counter()
            turn = rows[len(times) : len(times) + each]
            times += timing.single_stream(bench.predictor, turn, left, least - len(times), before)
            left -= time.perf_counter() - started
        return LatencySamples(latency_ns=times, tokens=bench.predictor.tokens(rows[: len(times)]))

    def summarise(self, samples: Sequence[LatencySamples], about: Measured) -> ScenarioResult:
        """Quantiles over the samples of all repetitions together."""
        pooled = [taken for one in samples for taken in one.latency_ns]
        needed, config = samples_needed(QUANTILES[0]), about.config
        if len(pooled) < needed:
            raise BenchmarkError(
                f"a median needs {needed} samples, but {len(samples)} repetitions took {len(pooled)} within "
                f"benchmark.max_seconds={config.max_seconds:g} each; raise it"
            )
        short = [len(one.latency_ns) for one in samples if len(one.latency_ns) < config.samples]
        note = (
            f"{len(short)} of {len(samples)} repetitions stopped at benchmark.max_seconds={config.max_seconds:g} with "
            f"as few as {min(short)} of {config.samples} samples"
            if short
            else ""
        )
        variation = coefficient_of_variation([statistics.median(one.latency_ns) for one in samples])
        return ScenarioResult(
            figures=quantile_figures(pooled, QUANTILES),
            facts={"samples": len(pooled), "cv": variation},
            notes=(note,) if note else (),
        )

    def levels(self, samples: LatencySamples) -> dict[str, float]:
        """The median latency must agree."""
        return {"median latency": statistics.median(samples.latency_ns)}

    def median_ms(self, samples: LatencySamples) -> float:
        """The median latency."""
        return statistics.median(samples.latency_ns) / _NS_PER_MS


def least_per_process(repetitions: int) -> int:
    """Samples that each repetition must take so that all together support a median."""
    return math.ceil(samples_needed(QUANTILES[0]) / repetitions)


def pooled_ns(repetitions: Sequence[Repetition]) -> list[int]:
    """Latencies of all repetitions together."""
    return [taken for one in repetitions for taken in one.of("latency", LatencySamples).latency_ns]


LATENCY = Latency()
