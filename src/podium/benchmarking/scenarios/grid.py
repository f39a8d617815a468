"""Scenario `grid`: throughput over batch sizes and lengths."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Annotated

from pydantic import AfterValidator, Field

from podium.benchmarking.bench import LEAST_BATCHES, Bench, full_batches, timed_batches
from podium.benchmarking.calls import Samples
from podium.benchmarking.scenarios import Measured, Scenario, figure_cell
from podium.benchmarking.statistics import throughput
from podium.config.section import Positive, Section, unique
from podium.display.blocks import Cell, Table
from podium.display.numbers import figure
from podium.errors import ModelError
from podium.inference.predictor import Row
from podium.records import Figure, ScenarioResult

_SPARE = 2
_SECONDS = 1.0
OWN = "own"
"""Length label of the rows as they are in the data."""


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
        each = min(_SECONDS, bench.call.config.max_seconds / (len(rows) * len(settings.batch_sizes)))
        cells = []
        for length, own in rows.items():
            mean = statistics.mean(predictor.tokens(own))
            for size in sorted(settings.batch_sizes):
                batches = full_batches(own, size)
                predictor(next(batches))  # not timed: it allocates memory for the larger activations
                times = timed_batches(predictor, batches, each, LEAST_BATCHES)
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


GRID = Grid()


def rows_of_length(
    rows: Sequence[Row], tokens: int, count: int, count_tokens: Callable[[list[Row]], list[int]]
) -> list[Row]:
    """`count` rows of at most `tokens` model input tokens, and as near to it as whole words allow.

    Each begins at another row and goes on with the words of those after it. The tokens after truncation, which
    `count_tokens` gives, never fall when a word is added. Raises ModelError if the model cuts rows before.
    """
    ring = [words if isinstance(words, list) else words.split() for words in rows]
    return [_row(ring[at % len(ring) :] + ring[: at % len(ring)], rows[0], tokens, count_tokens) for at in range(count)]


def _row(ring: Sequence[list[str]], like: Row, tokens: int, count_tokens: Callable[[list[Row]], list[int]]) -> Row:
    endless = (word for words in cycle(ring) for word in words)
    words = list(islice(endless, _SPARE * tokens))

    def first_words(end: int) -> Row:
        return words[:end] if isinstance(like, list) else " ".join(words[:end])

    most = count_tokens([first_words(len(words))])[0]
    if most < tokens:
        raise ModelError(
            f"benchmark.settings.grid.lengths must not exceed what the model reads, but it cuts rows at {most} tokens "
            f"and {tokens} were asked for; take {tokens} out"
        )
    found = bisect_right(range(1, len(words) + 1), tokens, key=lambda end: count_tokens([first_words(end)])[0])
    return first_words(max(1, found))
