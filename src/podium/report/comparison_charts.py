"""Geometry of the charts of a comparison of runs; `comparison.html.j2` draws it. See `charts` for places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from podium.display import numbers as text
from podium.records import BatchRate
from podium.report.charts import Axis, Range, RangeChart, RangeRow, Tick, x_of
from podium.report.search_charts import Line, Mark
from podium.selection.estimates import LATENCIES, Entrant
from podium.selection.runs import EXACT, Row, RunsComparison

PLOT_HEIGHT = 200.0
STYLES = 6
"""Runs that can be told apart by their colour; more share colours."""

_TICKS = 4
_STEPS = 80
"""Straight pieces of a distribution."""
_COSTS = ("p50", "memory", "size", "energy")
_NS_PER_MS = 1e6


@dataclass(frozen=True)
class Curve:
    """Straight pieces and marks of one run."""

    style: str
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Plot:
    """One pair of axes with a curve per run."""

    name: str
    curves: tuple[Curve, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]


@dataclass(frozen=True)
class PlotChart:
    """Plots side by side; the text stands for them where they cannot be seen."""

    alt: str
    plots: tuple[Plot, ...]


def style_of(number: int) -> str:
    """Class of the run with this number."""
    return f"run-{number % STYLES}"


def change_chart(compared: RunsComparison) -> RangeChart | None:
    """Relative changes of what is measured, with intervals; None where none is known."""
    found = [
        (row, number, one.change)
        for row in compared.rows
        if row.unit
        for number, one in enumerate(row.differences, start=1)
        if one.change is not None and one.change.method != EXACT
    ]
    if not found:
        return None
    axis = Axis.over([0.0, *(100 * v for _, _, one in found for v in (one.low, one.high))])
    several = len(compared.runs) > 2
    rows = tuple(
        RangeRow(
            f"{row.title} · {compared.runs[number].name.rpartition('/')[2]}" if several else row.title,
            percent(one.value),
            (Range(style_of(number), *(axis.x(100 * v) for v in (one.value, one.low, one.high))),),
        )
        for row, number, one in found
    )
    said = "; ".join(
        f"{row.title} of {compared.runs[number].name} {percent(one.value)} ({percent(one.low)} to {percent(one.high)})"
        for row, number, one in found
    )
    return RangeChart(f"Change against {compared.runs[0].name}: {said}", "%", (), rows, axis.columns, axis.x(0.0))


def latency_plot(entrants: Sequence[Entrant]) -> PlotChart | None:
    """Share of the samples that took no longer, by latency: one curve per run up to its 99th percentile."""
    samples = {
        number: np.array([sample for one in entrant.repetitions for sample in one.latency_ns]) / _NS_PER_MS
        for number, entrant in enumerate(entrants)
        if entrant.repetitions
    }
    if not samples:
        return None
    shares = np.linspace(0, 0.99, _STEPS + 1)
    found = {number: np.quantile(values, shares) for number, values in samples.items()}
    across, up = Axis.over([0.0, *(float(v[-1]) for v in found.values())], _TICKS), Axis.over((0.0, 1.0), _TICKS)
    curves = tuple(
        Curve(style_of(number), _lines([(across.x(v), up.y(s)) for v, s in zip(values, shares, strict=True)]))
        for number, values in found.items()
    )
    said = "; ".join(
        f"{entrants[number].name} "
        + ", ".join(f"{name} {text.figure(float(np.quantile(values, q)))} ms" for name, q in LATENCIES.items())
        for number, values in samples.items()
    )
    alt = f"Distribution of latency, as measured: {said}"
    return PlotChart(alt, (Plot("share of requests, by latency in ms", curves, up.rows(), across.columns),))


def throughput_plot(entrants: Sequence[Entrant]) -> PlotChart | None:
    """Rows per second by batch size, on the data's own lengths, with intervals; None where no grid was measured."""
    grids = {
        number: sorted((one for one in entrant.measurement.grid if one.length is None), key=lambda one: one.batch_size)
        for number, entrant in enumerate(entrants)
        if entrant.measurement and entrant.measurement.grid
    }
    grids = {number: cells for number, cells in grids.items() if cells}
    if not grids:
        return None
    up = Axis.over([0.0, *(one.rows_per_second.high for cells in grids.values() for one in cells)], _TICKS)
    sizes = sorted({one.batch_size for cells in grids.values() for one in cells})
    places = {size: _log_place(size, sizes) for size in sizes}
    curves, said = [], []
    for number, cells in grids.items():
        marks = tuple(_rate_mark(one, places[one.batch_size], up, number, entrants[number].name) for one in cells)
        curves.append(Curve(style_of(number), _lines([(mark.x, mark.y) for mark in marks]), marks))
        said.append("; ".join(mark.title for mark in marks))
    columns = tuple(Tick(places[size], str(size)) for size in sizes)
    plot = Plot("rows per second, by batch size", tuple(curves), up.rows(), columns)
    return PlotChart(f"Throughput by batch size: {'; '.join(said)}", (plot,))


def _rate_mark(one: BatchRate, x: float, up: Axis, number: int, name: str) -> Mark:
    rate = one.rows_per_second
    title = f"{name}: {text.figure(rate.value)} rows/s in batches of {one.batch_size}"
    return Mark(x, up.y(rate.value), up.y(rate.high), up.y(rate.low), style_of(number), title)


def quality_plot(compared: RunsComparison) -> PlotChart | None:
    """Quality against each cost; runs that no other one beats on both are filled and joined: the Pareto front."""
    rows = {row.name: row for row in compared.rows}
    quality = next((row for row in compared.rows if not row.unit and _count(row) > 1), None)
    costs = [rows[name] for name in _COSTS if name in rows]
    if quality is None:
        return None
    plots, said = [], []
    for cost in costs:
        points = [
            (number, cost.figures[number].value, figure.value)
            for number, figure in enumerate(quality.figures)
            if figure.value is not None and cost.figures[number].value is not None
        ]
        if len(points) > 1:
            plot, front = _quality_against(cost, quality, [(n, c or 0.0, q or 0.0) for n, c, q in points], compared)
            plots.append(plot)
            said.append(f"on the front of {cost.title}: {', '.join(front)}")
    name = text.metric_name(quality.name)
    return PlotChart(f"{name} against cost; {'; '.join(said)}", tuple(plots)) if plots else None


def _quality_against(
    cost: Row, quality: Row, points: Sequence[tuple[int, float, float]], compared: RunsComparison
) -> tuple[Plot, list[str]]:
    sign = 1 if quality.better == "higher" else -1
    across = Axis.over([0.0, *(value for _, value, _ in points)], _TICKS)
    up = Axis.over([score for _, _, score in points], _TICKS)
    front = sorted(
        (value, score, number)
        for number, value, score in points
        if not any(
            other <= value and sign * better >= sign * score and (other, better) != (value, score)
            for _, other, better in points
        )
    )
    best = {number for _, _, number in front}
    curves = [Curve("front", _lines([(across.x(value), up.y(score)) for value, score, _ in front]))]
    for number, value, score in points:
        title = f"{compared.runs[number].name}: {text.score(score)} at {text.figure(value)} {cost.unit}"
        y = up.y(score)
        style = style_of(number) + ("" if number in best else " beaten")
        curves.append(Curve(style, (), (Mark(across.x(value), y, y, y, style, title),)))
    name = f"{text.metric_name(quality.name)}, by {cost.title} in {cost.unit}"
    return Plot(name, tuple(curves), up.rows(), across.columns), [compared.runs[n].name for _, _, n in front]


def percent(share: float) -> str:
    """A relative change in percent, with its sign; a small one with two digits, as it is no zero."""
    small = 0 < abs(share) < 0.0005
    return f"{100 * share:+{'.2g' if small else '.1f'}} %".replace("-", "−")


def _count(row: Row) -> int:
    return sum(figure.value is not None for figure in row.figures)


def _log_place(size: int, sizes: Sequence[int]) -> float:
    low, high = math.log(sizes[0]), math.log(sizes[-1])
    return x_of((math.log(size) - low) / (high - low) if high > low else 0.5)


def _lines(points: Sequence[tuple[float, float]]) -> tuple[Line, ...]:
    return tuple(Line(*first, *second) for first, second in pairwise(points))
