"""Geometry of the charts; `charts.j2` draws it as inline SVG.

Horizontal places are percentages of the chart's width and vertical ones pixels, so that a chart narrows on a phone
while its text keeps its size. Every chart carries the text that stands for it where it cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from podium.display import numbers as text
from podium.records import BaselineEntry, Comparison, Interval, LeaderboardEntry, Measurement

HEIGHT = 200.0
_TOP = 8.0
_SIDE = 3.0


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A linear axis over [low, high] with round ticks."""

    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float], most: int = 5) -> Axis:
        """An axis that covers `values` (finite) to a billionth of a tick, with about `most` ticks at round places."""
        given = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(given), max(given)
        size = max(abs(low), abs(high), 1.0)
        if high - low < 1e-9 * size:
            low, high = low - 0.05 * size, high + 0.05 * size
        rough = (high - low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(round(number * step, 12) for number in range(first, last + 1))
        return cls(ticks[0], ticks[-1], ticks)

    def share(self, value: float) -> float:
        """Place of a value between the ends, from 0 to 1."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def x(self, value: float) -> float:
        """Horizontal place in percent."""
        return x_of(self.share(value))

    def y(self, value: float, height: float = HEIGHT) -> float:
        """Vertical place in pixels from the top."""
        return round(_TOP + (height - 2 * _TOP) * (1 - self.share(value)), 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """Tick labels with as many decimals as the step needs."""
        step = self.values[1] - self.values[0]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return tuple(f"{value:,.{decimals}f}".replace("-", "−") for value in self.values)

    @property
    def columns(self) -> tuple[Tick, ...]:
        """Ticks of a horizontal axis."""
        return tuple(Tick(self.x(value), label) for value, label in zip(self.values, self.labels, strict=True))

    def rows(self, height: float = HEIGHT) -> tuple[Tick, ...]:
        """Ticks of a vertical axis."""
        return tuple(Tick(self.y(value, height), label) for value, label in zip(self.values, self.labels, strict=True))


def x_of(share: float) -> float:
    """Horizontal place in percent, from 0 to 1 between the sides of a chart."""
    return round(_SIDE + (100 - 2 * _SIDE) * share, 2)


@dataclass(frozen=True)
class Range:
    """An interval with its value, or a value alone; `style` names how it is drawn and explained."""

    style: str
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class RangeRow:
    """One candidate of a range chart and its figures in words."""

    label: str
    value: str
    ranges: tuple[Range, ...]


@dataclass(frozen=True)
class RangeChart:
    """Intervals under each other on one axis with its unit; `zero` is the place of no difference."""

    alt: str
    unit: str
    legend: tuple[tuple[str, str], ...]
    rows: tuple[RangeRow, ...]
    ticks: tuple[Tick, ...]
    zero: float | None = None


def leaderboard_chart(
    entries: Sequence[LeaderboardEntry], baselines: Sequence[BaselineEntry], metric: str
) -> RangeChart:
    """Test score with its interval per champion and baseline, and the mean of cross-validation per champion.

    A baseline that is so far below all champions that showing it would squeeze them is left to the text.
    """
    values = [v for one in entries for v in (one.test.low, one.test.high, one.cv_score)]
    least = min(values) - (max(values) - min(values))
    drawn = [one for one in baselines if one.test.low >= least]
    axis = Axis.over((*values, *(v for one in drawn for v in (one.test.low, one.test.high))))
    rows = [(one.test.value, _champion_row(one, axis)) for one in entries]
    rows += [(one.test.value, _scored_row(f"{one.name} baseline", one.test, axis, "second")) for one in drawn]
    rows.sort(key=lambda pair: -pair[0])
    said = "; ".join(
        f"{name} {text.score(test.value)} ({text.bounds(test)})"
        for name, test in (
            *((one.backbone, one.test) for one in entries),
            *((f"{one.name} baseline", one.test) for one in baselines),
        )
    )
    legend = [("first", "held-out test, with interval"), ("hollow", "mean of cross-validation")]
    if drawn:
        legend.insert(1, ("second", "baseline on the same rows"))
    name = text.metric_name(metric)
    alt = f"{name} on held-out rows: {said}"
    return RangeChart(alt, name, tuple(legend), tuple(row for _, row in rows), axis.columns)


def _champion_row(entry: LeaderboardEntry, axis: Axis) -> RangeRow:
    row = _scored_row(entry.backbone, entry.test, axis, "first")
    at = axis.x(entry.cv_score)
    return replace(row, ranges=(Range("hollow", at, at, at), *row.ranges))


def _scored_row(label: str, test: Interval, axis: Axis, style: str) -> RangeRow:
    bounds = (axis.x(test.value), axis.x(test.low), axis.x(test.high))
    return RangeRow(label, text.score(test.value), (Range(style, *bounds),))


def comparison_chart(comparisons: Sequence[Comparison]) -> RangeChart:
    """Difference to the best, with its interval, per challenger."""
    axis = Axis.over([0.0, *(v for one in comparisons for v in (one.difference.low, one.difference.high))])
    rows = tuple(
        RangeRow(
            f"{one.challenger} − {one.reference}",
            text.signed(one.difference.value),
            (Range("first", *(axis.x(v) for v in (one.difference.value, one.difference.low, one.difference.high))),),
        )
        for one in comparisons
    )
    said = "; ".join(
        f"{one.challenger} minus {one.reference} {text.signed(one.difference.value)} "
        f"({text.signed_bounds(one.difference)})"
        for one in comparisons
    )
    name = text.metric_name(comparisons[0].metric)
    return RangeChart(f"Differences in {name} on the same rows: {said}", name, (), rows, axis.columns, axis.x(0.0))


def latency_chart(measurements: Sequence[Measurement]) -> RangeChart:
    """Median and 90th percentile of latency with their intervals, per measured variant."""
    shown = ((0.5, "first"), (0.9, "second"))
    found = {(one.backbone, one.variant): {item.q: item for item in one.latency} for one in measurements}
    axis = Axis.over([0.0, *(item.high_ms for quantiles in found.values() for item in quantiles.values())])
    rows, said = [], []
    for (backbone, variant), quantiles in found.items():
        kept = [(style, quantiles[q]) for q, style in shown if q in quantiles]
        ranges = tuple(Range(style, *(axis.x(v) for v in (q.value_ms, q.low_ms, q.high_ms))) for style, q in kept)
        figures = " / ".join(text.figure(item.value_ms) for _, item in kept)
        rows.append(RangeRow(f"{backbone} ({variant})", f"{figures} ms", ranges))
        said.append(f"{backbone} ({variant}) {figures} ms")
    drawn = {item.style for row in rows for item in row.ranges}
    names = (("first", "median (p50)"), ("second", "90th percentile (p90)"))
    legend = tuple((style, name) for style, name in names if style in drawn)
    return RangeChart(f"Latency p50 / p90: {'; '.join(said)}", "ms", legend, tuple(rows), axis.columns)
