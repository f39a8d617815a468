"""The charts of a comparison of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from podium.benchmarking.scenarios.classifiers import pooled_ns
from podium.benchmarking.scenarios.grid import OWN
from podium.display import numbers
from podium.display.charts import Axis, IntervalChart, IntervalRow, Line, Mark, Plot, PlotChart, Range, Tick
from podium.records import Interval
from podium.selection.estimates import LATENCIES, ComparedModel
from podium.selection.run_comparison import EXACT, Row, RunsComparison

STYLES = 6
"""Number of colours; further runs repeat them."""

_TICKS = 4
_STEPS = 80
"""Straight pieces of a distribution."""
_COSTS = ("p50", "memory", "size", "energy")
_NS_PER_MS = 1e6


def _style(number: int) -> str:
    return f"run-{number % STYLES}"


def _legend(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"curve {_style(number)}", name) for number, name in enumerate(names))


def change_chart(compared: RunsComparison) -> IntervalChart | None:
    """Relative changes of what is measured, with intervals; None where none is known."""
    several = len(compared.runs) > 2
    rows, said = [], []
    for row in compared.rows:
        for number, one in enumerate(row.differences, start=1):
            if not row.unit or one.change is None or one.change.method == EXACT:
                continue
            value, low, high = one.change.value, one.change.low, one.change.high
            name = compared.runs[number].name
            label = f"{row.title} · {name.rpartition('/')[2]}" if several else row.title
            rows.append(
                IntervalRow(label, percent(value), (Range(_style(number), 100 * value, 100 * low, 100 * high),))
            )
            said.append(f"{row.title} of {name} {percent(value)} ({percent(low)} to {percent(high)})")
    if not rows:
        return None
    alt = f"Change against {compared.runs[0].name}: {'; '.join(said)}"
    legend = _legend(run.name for run in compared.runs)[1:] if several else ()
    return IntervalChart(alt, "%", tuple(rows), legend, zero_line=True)


def latency_plot(models: Sequence[ComparedModel]) -> PlotChart | None:
    """Share of the samples that took no longer, by latency: one curve per run up to its 99th percentile."""
    samples = {
        number: np.array(pooled_ns(model.repetitions)) / _NS_PER_MS
        for number, model in enumerate(models)
        if model.repetitions
    }
    if not samples:
        return None
    shares = np.linspace(0, 0.99, _STEPS + 1)
    found = {number: np.quantile(values, shares) for number, values in samples.items()}
    across = Axis.over([0.0, *(float(values[-1]) for values in found.values())], _TICKS)
    lines = tuple(
        Line(f"curve {_style(number)}", tuple(zip(values.tolist(), shares.tolist(), strict=True)))
        for number, values in found.items()
    )
    said = "; ".join(
        f"{models[number].name} "
        + ", ".join(f"{name} {numbers.figure(float(np.quantile(values, q)))} ms" for name, q in LATENCIES.items())
        for number, values in samples.items()
    )
    plot = Plot("share of requests, by latency in ms", across, Axis.over((0.0, 1.0), _TICKS), lines)
    legend = _legend(model.name for model in models)
    return PlotChart(f"Distribution of latency, as measured: {said}", (plot,), legend)


def throughput_plot(models: Sequence[ComparedModel]) -> PlotChart | None:
    """Rows per second by batch size, on the data's own lengths, with intervals; None where no grid was measured."""
    figures = {
        number: [one for one in model.measurement.scenario("grid").figures if one.labels["length"] == OWN]
        for number, model in enumerate(models)
        if model.measurement
    }
    grids = {
        number: sorted((int(one.labels["batch_size"]), one.interval) for one in cells if one.interval)
        for number, cells in figures.items()
    }
    cells = [cell for grid in grids.values() for cell in grid]
    if not cells:
        return None
    sizes = sorted({size for size, _ in cells})
    across = Axis(sizes[0], sizes[-1], tuple(Tick(size, str(size)) for size in sizes), log=True)
    up = Axis.over([0.0, *(rate.high for _, rate in cells)], _TICKS)
    marks = tuple(
        _rate(size, rate, number, models[number].name) for number, grid in grids.items() for size, rate in grid
    )
    lines = tuple(
        Line(f"curve {_style(number)}", tuple((size, rate.value) for size, rate in grid))
        for number, grid in grids.items()
    )
    alt = f"Throughput by batch size: {'; '.join(mark.title for mark in marks)}"
    plot = Plot("rows per second, by batch size", across, up, lines, marks)
    return PlotChart(alt, (plot,), _legend(model.name for model in models))


def _rate(size: int, rate: Interval, number: int, name: str) -> Mark:
    title = f"{name}: {numbers.figure(rate.value)} rows/s in batches of {size}"
    return Mark(size, rate.value, _style(number), title, rate.low, rate.high)


def quality_plot(compared: RunsComparison) -> PlotChart | None:
    """Quality against each cost; runs that no other one beats on both are filled and joined: the Pareto front."""
    quality = next((row for row in compared.rows if not row.unit and len(_known(row)) > 1), None)
    if quality is None:
        return None
    plots, said = [], []
    for cost in (row for row in compared.rows if row.name in _COSTS):
        scores, values = _known(quality), _known(cost)
        points = [(number, values[number], scores[number]) for number in scores if number in values]
        if len(points) > 1:
            plot, front = _quality_against(cost, quality, points, compared)
            plots.append(plot)
            said.append(f"on the front of {cost.title}: {', '.join(front)}")
    alt = f"{numbers.metric_name(quality.name)} against cost; {'; '.join(said)}"
    return PlotChart(alt, tuple(plots), _legend(run.name for run in compared.runs)) if plots else None


def _known(row: Row) -> dict[int, float]:
    """The values of a quantity, by the number of the run."""
    return {number: one.value for number, one in enumerate(row.figures) if one.value is not None}


def _quality_against(
    cost: Row, quality: Row, points: Sequence[tuple[int, float, float]], compared: RunsComparison
) -> tuple[Plot, list[str]]:
    sign = 1 if quality.better == "higher" else -1
    front = sorted(
        (value, score, number)
        for number, value, score in points
        if not any(
            other <= value and sign * better >= sign * score and (other, better) != (value, score)
            for _, other, better in points
        )
    )
    best = {number for _, _, number in front}
    marks = tuple(
        Mark(
            *(value, score, _style(number) + ("" if number in best else " beaten")),
            f"{compared.runs[number].name}: {numbers.score(score)} at {numbers.figure(value)} {cost.unit}",
        )
        for number, value, score in points
    )
    plot = Plot(
        f"{numbers.metric_name(quality.name)}, by {cost.title} in {cost.unit}",
        Axis.over([0.0, *(value for _, value, _ in points)], _TICKS),
        Axis.over([score for _, _, score in points], _TICKS),
        (Line("front", tuple((value, score) for value, score, _ in front)),),
        marks,
    )
    return plot, [compared.runs[number].name for _, _, number in front]


def percent(share: float) -> str:
    """A relative change in percent, with its sign; a small one with two digits, so that it is not taken for zero."""
    small = 0 < abs(share) < 0.0005
    return f"{100 * share:+{'.2g' if small else '.1f'}} %".replace("-", "−")
