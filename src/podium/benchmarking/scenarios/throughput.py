"""Scenario `throughput`: full batches one after another, from text to label."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import cycle, islice

from podium.benchmarking import timing
from podium.benchmarking.bench import Bench
from podium.benchmarking.calls import Samples
from podium.benchmarking.scenarios.base import Measured, NoSettings, Scenario
from podium.benchmarking.scenarios.latency import SHARE
from podium.benchmarking.statistics import batch_rate, throughput
from podium.devices.energy import energy_meter
from podium.devices.utilisation import utilisation
from podium.records import Figure, Scalar, ScenarioResult

_SECONDS = 1.0
"""Time of the batches of one repetition, where `max_seconds` leaves so much."""

_TURN_SECONDS = 0.25
_NS_PER_S = 1e9


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
        seconds = min(_SECONDS, (1 - SHARE) * bench.call.config.max_seconds)
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
            energy_j=meter.joules(),
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
        """The rate must agree; it is given in batches."""
        return {"throughput": batch_rate(samples.batch_ns, 1)}


THROUGHPUT = Throughput()
