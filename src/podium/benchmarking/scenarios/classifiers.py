"""The scenarios that are measured of every classifier: `latency` of single rows and `throughput` of full batches."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from itertools import cycle, islice

from podium.benchmarking import bench as timing
from podium.benchmarking.bench import Bench
from podium.benchmarking.calls import Repetition, Samples
from podium.benchmarking.scenarios import Measured, NoSettings, Scenario
from podium.benchmarking.statistics import (
    batch_rate,
    coefficient_of_variation,
    quantile_figures,
    samples_needed,
    throughput,
)
from podium.devices.energy import energy_meter, utilisation
from podium.errors import BenchmarkError
from podium.records import Figure, Scalar, ScenarioResult

QUANTILES = (0.5, 0.9, 0.95, 0.99)
"""Latency quantiles that are reported where the samples support them."""

_SHARE = 0.75
"""Share of `max_seconds` that is left for loading a row at a time; the rest is for full batches."""

_BATCHES_SECONDS = 1.0
"""Time of the batches of one repetition, where `max_seconds` leaves so much."""

_TURN_ROWS = 10
_TURN_SECONDS = 0.25
_NS_PER_MS = 1e6
_NS_PER_S = 1e9


class LatencySamples(Samples):
    """Raw samples of one process.

    Attributes:
        latency_ns: end-to-end latency of each row: tokenise, copy to the device, forward, arg-max, labels on the host.
        tokens: number of model input tokens of each of those rows, after truncation.
    """

    latency_ns: list[int] = []
    tokens: list[int] = []


class Latency(Scenario[LatencySamples, NoSettings]):
    """One row after another at batch size 1, from text to label."""

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
        left = _SHARE * bench.call.config.max_seconds - bench.spent_seconds
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
        return {"median latency": statistics.median(samples.latency_ns)}

    def median_ms(self, samples: LatencySamples) -> float:
        return statistics.median(samples.latency_ns) / _NS_PER_MS


class ThroughputSamples(Samples):
    """Raw samples of one process.

    Attributes:
        batch_ns: time of each full batch.
        batch_tokens: model input tokens of the timed batches, without padding.
        weights: weights that every input token is multiplied with; None where they cannot be counted.
        energy_j: energy of the device over the timed batches; None where it cannot be read, for `energy_note`.
    """

    batch_ns: list[int] = []
    batch_tokens: int = 0
    weights: int | None = None
    energy_j: float | None = None
    energy_note: str = ""


class Throughput(Scenario[ThroughputSamples, NoSettings]):
    """Rows per second in full batches, with the energy and the utilisation of the device meanwhile."""

    name = "throughput"
    title = "Throughput"
    explanation = "Full batches, from text to label."
    Samples = ThroughputSamples
    shares_process = True

    def measure(self, bench: Bench) -> ThroughputSamples:
        """Time batches for about a second, in each turn after one that is not timed."""
        size, predictor = bench.call.config.throughput_batch_size, bench.predictor
        seconds = min(_BATCHES_SECONDS, (1 - _SHARE) * bench.call.config.max_seconds)
        each, least = (_TURN_SECONDS, 1) if bench.call.alternates else (seconds, timing.LEAST_BATCHES)
        meter = energy_meter(bench.call.model.device)
        batches = timing.full_batches(bench.call.rows, size)
        untimed = next(batches)
        times: list[int] = []
        while seconds > 0 or len(times) < timing.LEAST_BATCHES:
            bench.next_turn(self.name)
            predictor(untimed)
            started = time.perf_counter()
            times += timing.timed_batches(predictor, batches, min(seconds, each), least, meter)
            seconds -= time.perf_counter() - started
        tokens = islice(cycle(predictor.tokens(bench.call.rows)), size, size * (len(times) + 1))
        return ThroughputSamples(
            batch_ns=times,
            batch_tokens=sum(tokens),
            weights=predictor.weights(),
            energy_j=meter.joules,
            energy_note=meter.note,
        )

    def summarise(self, samples: Sequence[ThroughputSamples], about: Measured) -> ScenarioResult:
        """Rows per second over repetitions, energy per row, and model FLOPs utilisation."""
        size = about.config.throughput_batch_size
        batches = sum(len(one.batch_ns) for one in samples)
        spent = [one.energy_j for one in samples if one.energy_j is not None]
        energy = sum(spent) / (size * batches) if len(spent) == len(samples) else None
        seconds = sum(sum(one.batch_ns) for one in samples) / _NS_PER_S
        mfu, mfu_note = utilisation(
            samples[0].weights,
            sum(one.batch_tokens for one in samples) / seconds,
            about.environment.get("gpu", ""),
            "bf16" if about.variant == "bf16" else "fp32",
        )
        figures = [
            Figure.of("per_second", f"batch {size}", "/s", throughput([one.batch_ns for one in samples], size)),
            *([Figure(name="energy_j", title="energy per row", unit="J", value=energy)] if energy is not None else []),
            *([Figure(name="mfu", title="MFU", value=mfu)] if mfu is not None else []),
        ]
        facts: dict[str, Scalar] = {"batch_size": size, "energy_note": samples[0].energy_note, "mfu_note": mfu_note}
        return ScenarioResult(figures=tuple(figures), facts=facts)

    def levels(self, samples: ThroughputSamples) -> dict[str, float]:
        return {"throughput": batch_rate(samples.batch_ns, 1)}


def least_per_process(repetitions: int) -> int:
    """Samples that each repetition must take so that all together support a median."""
    return math.ceil(samples_needed(QUANTILES[0]) / repetitions)


def pooled_ns(repetitions: Sequence[Repetition]) -> list[int]:
    """Latencies of all repetitions together."""
    return [taken for one in repetitions for taken in one.of("latency", LatencySamples).latency_ns]


LATENCY = Latency()
THROUGHPUT = Throughput()
