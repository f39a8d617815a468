"""Charts as data: axes, marks and labels, which `podium.report` draws as inline SVG.

Values are given in their own units, and only an axis knows where they go: horizontal places are percentages of the
chart's width and vertical ones pixels, so that a chart narrows on a phone while its text keeps its size. A style is a
CSS class of the report. Every chart carries the text that replaces it for readers who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from podium.records import Interval

HEIGHT, LOW_HEIGHT = 200, 130
"""Height in pixels of a plot alone, and of one of several side by side."""
_TOP = 8
_SIDE = 3.0


class Tick(NamedTuple):
    """A labelled value of an axis."""

    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """The values from `low` to `high`, on a linear or a logarithmic scale, with their ticks."""

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], most: int = 5) -> Axis:
        """A linear axis that covers `values` to a billionth of a tick, with about `most` ticks at round values."""
        given = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(given), max(given)
        size = max(abs(low), abs(high), 1.0)
        if high - low < 1e-9 * size:
            low, high = low - 0.05 * size, high + 0.05 * size
        rough = (high - low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        round_values = [round(number * step, 12) for number in range(first, last + 1)]
        ticks = tuple(Tick(value, f"{value:,.{decimals}f}".replace("-", "−")) for value in round_values)
        return cls(round_values[0], round_values[-1], ticks)

    def share(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1."""
        low, high, place = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        return 0.5 if low == high else min(1.0, max(0.0, (place - low) / (high - low)))

    def x(self, value: float) -> float:
        """Horizontal place in percent of the width."""
        return round(_SIDE + (100 - 2 * _SIDE) * self.share(value), 2)

    def y(self, value: float, height: int = HEIGHT, margin: int = _TOP) -> float:
        """Vertical place in pixels from the top."""
        return round(margin + (height - 2 * margin) * (1 - self.share(value)), 1)


class Range(NamedTuple):
    """A value with its interval, or a value alone."""

    style: str
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, style: str, interval: Interval) -> Range:
        return cls(style, interval.value, interval.low, interval.high)


class IntervalRow(NamedTuple):
    """One line of an interval chart, with its figures in words."""

    label: str
    figures: str
    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, label: str, figures: str, interval: Interval, style: str = "first") -> IntervalRow:
        return cls(label, figures, (Range.of(style, interval),))


@dataclass(frozen=True)
class IntervalChart:
    """Intervals under each other on one axis.

    Attributes:
        legend: a style and its meaning, for each style that needs one.
        from_zero: whether zero is on the axis.
        zero_line: whether zero is marked as the value of no difference.
    """

    alt: str
    unit: str
    rows: tuple[IntervalRow, ...]
    legend: tuple[tuple[str, str], ...] = ()
    from_zero: bool = False
    zero_line: bool = False

    @property
    def axis(self) -> Axis:
        zero = [0.0] if self.from_zero or self.zero_line else []
        return Axis.over([*zero, *(end for row in self.rows for one in row.ranges for end in one[1:])])


class Mark(NamedTuple):
    """One point, with the ends of its interval where it has one; without a value it is a cross at the bottom."""

    x: float
    y: float | None
    style: str
    title: str
    low: float | None = None
    high: float | None = None


class Line(NamedTuple):
    """Straight pieces through some points."""

    style: str
    points: tuple[tuple[float, float], ...]

    @property
    def pieces(self) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        return list(pairwise(self.points))


class Plot(NamedTuple):
    """Lines and marks over one pair of axes."""

    name: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()
    height: int = HEIGHT


@dataclass(frozen=True)
class PlotChart:
    """One plot, or several side by side."""

    alt: str
    plots: tuple[Plot, ...]
    legend: tuple[tuple[str, str], ...] = ()


class Coordinate(NamedTuple):
    """One vertical axis of parallel coordinates. The labels of its ends stand outside, those of `axis.ticks` on it."""

    name: str
    axis: Axis
    bottom: str
    top: str


class Path(NamedTuple):
    """A line across parallel coordinates: a value for each, or None where there is none; `strength` is its opacity."""

    values: tuple[float | None, ...]
    style: str
    strength: float
    title: str


@dataclass(frozen=True)
class ParallelChart:
    """Parallel coordinates."""

    alt: str
    coordinates: tuple[Coordinate, ...]
    paths: tuple[Path, ...]
    legend: tuple[tuple[str, str], ...] = ()

    def x(self, number: int) -> float:
        """Horizontal place of a coordinate in percent."""
        return round(100 * (number + 0.5) / len(self.coordinates), 2)

    def pieces(self, path: Path) -> list[tuple[float, float, float, float]]:
        """The ends (x1, y1, x2, y2) of the pieces between coordinates next to each other that both have a value."""
        places = [
            None if value is None else (self.x(number), one.axis.y(value, margin=0))
            for number, (one, value) in enumerate(zip(self.coordinates, path.values, strict=True))
        ]
        return [(*a, *b) for a, b in pairwise(places) if a is not None and b is not None]
