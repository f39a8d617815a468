"""Geometry of the charts; `charts.j2` draws it as inline SVG.

Horizontal places are percentages of the chart's width and vertical ones pixels, so that a chart narrows on a phone
while its text keeps its size. Every chart carries the text that stands for it where it cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from podium.records import Comparison, LeaderboardEntry, Measurement, StudyRecord, TrialRecord
from podium.report import format as text

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
        return round(_SIDE + (100 - 2 * _SIDE) * self.share(value), 2)

    def y(self, value: float) -> float:
        """Vertical place in pixels from the top."""
        return round(_TOP + (HEIGHT - 2 * _TOP) * (1 - self.share(value)), 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """Tick labels with as many decimals as the step needs."""
        step = self.values[1] - self.values[0]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return tuple(f"{value:,.{decimals}f}" for value in self.values)

    @property
    def columns(self) -> tuple[Tick, ...]:
        """Ticks of a horizontal axis."""
        return tuple(Tick(self.x(value), label) for value, label in zip(self.values, self.labels, strict=True))

    @property
    def rows(self) -> tuple[Tick, ...]:
        """Ticks of a vertical axis."""
        return tuple(Tick(self.y(value), label) for value, label in zip(self.values, self.labels, strict=True))


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


def leaderboard_chart(entries: Sequence[LeaderboardEntry], metric: str) -> RangeChart:
    """Test score with its interval, and the mean of cross-validation, per champion."""
    axis = Axis.over(v for one in entries for v in (one.test.value, one.test.low, one.test.high, one.cv_score))
    rows = tuple(
        RangeRow(
            one.backbone,
            text.score(one.test.value),
            (
                Range("hollow", axis.x(one.cv_score), axis.x(one.cv_score), axis.x(one.cv_score)),
                Range("first", axis.x(one.test.value), axis.x(one.test.low), axis.x(one.test.high)),
            ),
        )
        for one in entries
    )
    said = "; ".join(f"{one.backbone} {text.score(one.test.value)} ({text.bounds(one.test)})" for one in entries)
    legend = (("first", "held-out test, with interval"), ("hollow", "mean of cross-validation"))
    name = text.metric_name(metric)
    return RangeChart(f"{name} on held-out rows: {said}", name, legend, rows, axis.columns)


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
    legend = (("first", "median (p50)"), ("second", "90th percentile (p90)"))
    return RangeChart(f"Latency p50 / p90: {'; '.join(said)}", "ms", legend, tuple(rows), axis.columns)


@dataclass(frozen=True)
class TrialMark:
    """One trial: mean and spread of its folds, or a failure without a score."""

    x: float
    y: float
    top: float
    bottom: float
    style: str
    title: str


@dataclass(frozen=True)
class Line:
    """A straight line between two places."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class HistoryChart:
    """Score by trial, with the best so far as steps."""

    alt: str
    marks: tuple[TrialMark, ...]
    best: tuple[Line, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]


def history_chart(study: StudyRecord) -> HistoryChart:
    """Score by trial of one study, from its first trial to its last."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    axis = Axis.over(value for trial in trials for value in _values(trial))
    last = max(1, len(trials) - 1)
    places = [round(_SIDE + (100 - 2 * _SIDE) * number / last, 2) for number in range(len(trials))]
    marks = tuple(_mark(trial, x, axis, study.best) for trial, x in zip(trials, places, strict=True))
    every = max(1, math.ceil(len(trials) / 12))
    columns = tuple(Tick(x, str(trial.number)) for trial, x in list(zip(trials, places, strict=True))[::every])
    done = sum(trial.status == "succeeded" for trial in trials)
    alt = (
        f"{text.metric_name(study.metric)} of {done} finished trials of {study.backbone}; "
        f"the best is trial {study.best} with {text.score(study.best_trial.score)}"
    )
    return HistoryChart(alt, marks, _best_so_far(trials, places, axis, study.direction), axis.rows, columns)


def _values(trial: TrialRecord) -> list[float]:
    return [] if trial.score is None else [trial.score, *trial.fold_scores.values()]


def _mark(trial: TrialRecord, x: float, axis: Axis, best: int) -> TrialMark:
    if trial.score is None:
        return TrialMark(x, HEIGHT, HEIGHT, HEIGHT, "failed", f"trial {trial.number}: {trial.status}")
    places = [axis.y(value) for value in _values(trial)]
    style = "best" if trial.number == best else "first" if trial.status == "succeeded" else "hollow"
    title = f"trial {trial.number}: {text.score(trial.score)}"
    return TrialMark(x, axis.y(trial.score), min(places), max(places), style, title)


def _best_so_far(
    trials: Sequence[TrialRecord], places: Sequence[float], axis: Axis, direction: str
) -> tuple[Line, ...]:
    steps: list[tuple[float, float]] = []
    for trial, x in zip(trials, places, strict=True):
        if trial.score is None or trial.status != "succeeded":
            continue
        if not steps or (trial.score > steps[-1][1] if direction == "maximize" else trial.score < steps[-1][1]):
            steps.append((x, trial.score))
    ends = [*(x for x, _ in steps[1:]), places[-1]]
    flat = [Line(x, axis.y(best), end, axis.y(best)) for (x, best), end in zip(steps, ends, strict=False) if end > x]
    rises = [Line(x, axis.y(old), x, axis.y(new)) for (_, old), (x, new) in pairwise(steps)]
    return (*flat, *rises)
