"""Scenarios of classifiers: `latency` and `throughput`, which are always measured, `grid` and `cold-start`."""

from __future__ import annotations

import math
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Annotated

from pydantic import AfterValidator, Field

from podium.benchmarking import bench as timing
from podium.benchmarking.bench import Bench
from podium.benchmarking.calls import Repetition, Samples
from podium.benchmarking.scenarios import Measured, NoSettings, Scenario, figure_cell
from podium.benchmarking.statistics import (
    batch_rate,
    coefficient_of_variation,
    mean_interval,
    quantile_figures,
    samples_needed,
    throughput,
)
from podium.config.benchmark import BenchmarkConfig
from podium.config.section import Positive, Section, unique
from podium.devices.energy import energy_meter, utilisation
from podium.display.blocks import Cell, Table
from podium.display.numbers import figure
from podium.errors import BenchmarkError, ModelError
from podium.inference.predictor import Row
from podium.records import Figure, Scalar, ScenarioResult

QUANTILES = (0.5, 0.9, 0.95, 0.99)
"""Latency quantiles that are reported where the samples support them."""

_SHARE = 0.75
"""Share of `max_seconds` that is left for loading a row at a time; the rest is for full batches."""

_BATCHES_SECONDS = 1.0
"""Time of the batches of one repetition or one cell of the grid, where `max_seconds` leaves so much."""

OWN = "own"
"""Length label in `grid` of the rows as they are in the data."""

_LEAST_STARTS = 3
_SPARE = 2
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


class GridSettings(Section):
    """Which batches are timed."""

    batch_sizes: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(unique)] = Field(
        default=(1, 8, 32), description="Rows per batch in scenario `grid`."
    )
    lengths: Annotated[tuple[Annotated[int, Field(ge=8)], ...], AfterValidator(unique)] = Field(
        default=(), description="Tokens per row in scenario `grid`, beside the data's own lengths."
    )


class GridCell(Samples):
    """Times of full batches at one batch size and length; `tokens` is the mean of a row's model input tokens."""

    batch_size: int
    length: int | None
    tokens: float
    batch_ns: list[int]


class GridSamples(Samples):
    """All cells that one process measured."""

    cells: list[GridCell]


class Grid(Scenario[GridSamples, GridSettings]):
    """Rows per second at every batch size and length."""

    name = "grid"
    title = "Throughput by batch size and length"
    explanation = "Rows per second in full batches, of rows as they are in the data and of rows made of its words."
    Settings = GridSettings
    Samples = GridSamples
    folded = True

    def measure(self, bench: Bench) -> GridSamples:
        """Time every cell, smallest batches first; ModelError if the model cuts rows before a length asked for."""
        settings, predictor = self.settings(bench.call.config), bench.predictor
        rows: dict[int | None, list[Row]] = {None: bench.call.rows}
        for tokens in settings.lengths:
            rows[tokens] = rows_of_length(bench.call.rows, tokens, max(settings.batch_sizes), predictor.tokens)
        each = min(_BATCHES_SECONDS, bench.call.config.max_seconds / (len(rows) * len(settings.batch_sizes)))
        cells = []
        for length, own in rows.items():
            mean = statistics.mean(predictor.tokens(own))
            for size in sorted(settings.batch_sizes):
                batches = timing.full_batches(own, size)
                predictor(next(batches))  # not timed: it allocates memory for the larger activations
                times = timing.timed_batches(predictor, batches, each, timing.LEAST_BATCHES)
                cells.append(GridCell(batch_size=size, length=length, tokens=mean, batch_ns=times))
        return GridSamples(cells=cells)

    def summarise(self, samples: Sequence[GridSamples], about: Measured) -> ScenarioResult:
        """One figure per cell over repetitions, in the order in which the cells were measured."""
        figures = []
        for same in zip(*(one.cells for one in samples), strict=True):
            first, rate = same[0], throughput([cell.batch_ns for cell in same], same[0].batch_size)
            labels = {
                "length": OWN if first.length is None else first.length,
                "batch_size": first.batch_size,
                "tokens": statistics.mean(cell.tokens for cell in same),
            }
            figures.append(Figure.of("per_second", "rows", "/s", rate, **labels))
        return ScenarioResult(figures=tuple(figures))

    def table(self, results: Mapping[str, ScenarioResult]) -> Table:
        """A row per model and length, and a column per batch size."""
        sizes = sorted({int(one.labels["batch_size"]) for result in results.values() for one in result.figures})
        rows: list[Sequence[Cell | str]] = []
        for model, result in results.items():
            for length in dict.fromkeys(one.labels["length"] for one in result.figures):
                found = {int(one.labels["batch_size"]): one for one in result.figures if one.labels["length"] == length}
                tokens = statistics.mean(float(one.labels["tokens"]) for one in found.values())
                shown = Cell("as in the data" if length == OWN else str(length), f"{figure(tokens)} tokens on average")
                rows.append([model, shown, *(figure_cell(found.get(size)) for size in sizes)])
        columns = ["Variant", "Length", *(f"Batch {size} /s" for size in sizes)]
        return Table(self.title, columns, "ll" + "r" * len(sizes), rows)


class ColdStartSamples(Samples):
    """One start; times from the moment the launcher started the process."""

    imports_ns: int
    load_ns: int
    first_answer_ns: int


class ColdStart(Scenario[ColdStartSamples, NoSettings]):
    """Processes that are started one after another; the files of model and libraries lie in the page cache."""

    name = "cold-start"
    title = "Cold start"
    explanation = "From the start of a process to its first answer, in seconds; files lie in the page cache."
    Samples = ColdStartSamples
    from_start = True

    def processes(self, config: BenchmarkConfig) -> int:
        return max(config.repetitions, _LEAST_STARTS)

    def measure(self, bench: Bench) -> ColdStartSamples:
        bench.prepare()
        imported = time.monotonic_ns()
        bench.load()
        loaded = time.monotonic_ns()
        bench.predictor(bench.call.rows[:1])
        return ColdStartSamples(
            imports_ns=imported - bench.started_ns,
            load_ns=loaded - imported,
            first_answer_ns=time.monotonic_ns() - loaded,
        )

    def summarise(self, samples: Sequence[ColdStartSamples], about: Measured) -> ScenarioResult:
        parts = {
            "imports": [one.imports_ns for one in samples],
            "load": [one.load_ns for one in samples],
            "first answer": [one.first_answer_ns for one in samples],
            "total": [one.imports_ns + one.load_ns + one.first_answer_ns for one in samples],
        }
        figures = []
        for title, taken in parts.items():
            name = "seconds" if title == "total" else f"{title.replace(' ', '_')}_seconds"
            figures.append(Figure.of(name, title, "s", mean_interval([ns / _NS_PER_S for ns in taken])))
        return ScenarioResult(figures=tuple(figures))


def least_per_process(repetitions: int) -> int:
    """Samples that each repetition must take so that all together support a median."""
    return math.ceil(samples_needed(QUANTILES[0]) / repetitions)


def pooled_ns(repetitions: Sequence[Repetition]) -> list[int]:
    """Latencies of all repetitions together."""
    return [taken for one in repetitions for taken in one.of("latency", LatencySamples).latency_ns]


def rows_of_length(
    rows: Sequence[Row], tokens: int, count: int, count_tokens: Callable[[list[Row]], list[int]]
) -> list[Row]:
    """`count` rows of at most `tokens` model input tokens, and as near to it as whole words allow.

    Each begins at another row and goes on with the words of those after it. The tokens after truncation, which
    `count_tokens` gives, never fall when a word is added. Raises ModelError if the model cuts rows before.
    """
    ring = [words if isinstance(words, list) else words.split() for words in rows]
    found = []
    for at in range(count):
        endless = (word for words in islice(cycle(ring), at % len(ring), None) for word in words)
        words = list(islice(endless, _SPARE * tokens))
        beginnings: list[Row] = [
            words[:end] if isinstance(rows[0], list) else " ".join(words[:end]) for end in range(1, len(words) + 1)
        ]
        most = count_tokens(beginnings[-1:])[0]
        if most < tokens:
            raise ModelError(
                f"benchmark.settings.grid.lengths must not exceed what the model reads, but it cuts rows at {most} "
                f"tokens and {tokens} were asked for; take {tokens} out"
            )
        fit = bisect_right(beginnings, tokens, key=lambda row: count_tokens([row])[0])
        found.append(beginnings[max(1, fit) - 1])
    return found


LATENCY = Latency()
THROUGHPUT = Throughput()
COLD_START = ColdStart()
GRID = Grid()
