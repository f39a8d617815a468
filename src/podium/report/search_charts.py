"""Geometry of the charts of a study; `search_charts.j2` draws it. See `charts` for how places are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from podium.display import numbers as text
from podium.hpo.space import CategoricalParameter, DiscreteParameter, IntParameter, Parameter, Space
from podium.records import Scalar, StudyRecord, TrialRecord
from podium.report.charts import HEIGHT, Axis, Tick, x_of

SLICE_HEIGHT = 130.0
_MOST_LINES = 100
"""Trials of a parallel coordinates chart; the best ones are kept."""
_TICKS, _CHOICES = 4, 6
"""Labelled values of a range, and labelled choices."""
_STYLES = {"succeeded": "first", "pruned": "pruned", "failed": "failed", "running": "failed"}
_LEGEND = {
    "first": "trial, with the spread of its folds",
    "best": "best trial",
    "steps": "best so far",
    "pruned": "stopped early",
    "failed": "failed",
}


@dataclass(frozen=True)
class Mark:
    """One trial: mean and spread of its folds, or a failure without a score; or one candidate without a spread."""

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
    marks: tuple[Mark, ...]
    best: tuple[Line, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    legend: tuple[tuple[str, str], ...]


def history_chart(study: StudyRecord) -> HistoryChart:
    """Score by trial of one study, from its first trial to its last."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    axis = Axis.over(value for trial in trials for value in _values(trial))
    last = max(1, len(trials) - 1)
    places = [x_of(number / last) for number in range(len(trials))]
    marks = tuple(_mark(trial, x, axis, study.best) for trial, x in zip(trials, places, strict=True))
    every = max(1, math.ceil(len(trials) / 12))
    columns = tuple(Tick(x, str(trial.number)) for trial, x in list(zip(trials, places, strict=True))[::every])
    done = sum(trial.status == "succeeded" for trial in trials)
    pruned = sum(trial.status == "pruned" for trial in trials)
    alt = (
        f"{text.metric_name(study.metric)} of {done} finished trials of {study.backbone}"
        f"{f' and {pruned} that were stopped early' if pruned else ''}; "
        f"the best is trial {study.best} with {text.score(study.best_trial.score)}"
    )
    drawn = {"steps", *(mark.style for mark in marks)}
    legend = tuple((style, label) for style, label in _LEGEND.items() if style in drawn)
    best = _best_so_far(trials, places, axis, study.direction)
    return HistoryChart(alt, marks, best, axis.rows(), columns, legend)


def _values(trial: TrialRecord) -> list[float]:
    return [] if trial.score is None else [trial.score, *trial.fold_scores.values()]


def _style(trial: TrialRecord, best: int) -> str:
    return "best" if trial.number == best else _STYLES[trial.status]


def _mark(trial: TrialRecord, x: float, axis: Axis, best: int, height: float = HEIGHT) -> Mark:
    if trial.score is None:
        return Mark(x, height, height, height, _style(trial, best), f"trial {trial.number}: {trial.status}")
    places = [axis.y(value, height) for value in _values(trial)]
    early = " when it was stopped early" if trial.status == "pruned" else ""
    title = f"trial {trial.number}: {text.score(trial.score)}{early}"
    return Mark(x, axis.y(trial.score, height), min(places), max(places), _style(trial, best), title)


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


@dataclass(frozen=True)
class Scale:
    """Where the values of a parameter lie between 0 and 1: its range, on its scale, or its choices side by side."""

    parameter: Parameter

    @property
    def choices(self) -> tuple[Scalar, ...]:
        """The choices, in order; empty for a range."""
        match self.parameter:
            case CategoricalParameter(choices=values) | DiscreteParameter(values=values):
                return values
        return ()

    @property
    def log(self) -> bool:
        """Whether the range is drawn on a log scale."""
        return bool(getattr(self.parameter, "log", False))

    def share(self, value: Scalar) -> float:
        """The place of a value, from 0 to 1; choices keep a distance from both ends."""
        if self.choices:
            return (self._index(value) + 0.5) / len(self.choices)
        low, high = self._range
        return 0.5 if low == high else min(1.0, max(0.0, (self._scaled(value) - low) / (high - low)))

    def height(self, value: Scalar) -> float:
        """The place of a value, from 0 to 1; the first and the last choice are the ends."""
        return self._index(value) / (len(self.choices) - 1) if len(self.choices) > 1 else self.share(value)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """A few labelled values by their shares."""
        values: Sequence[Any] = self.choices or self._round_values()
        every = math.ceil(len(values) / (_CHOICES if self.choices else _TICKS))
        return tuple(Tick(self.share(value), _label(value)) for value in values[::every])

    @property
    def ends(self) -> tuple[str, str]:
        """The first and the last value."""
        first, last = (self.choices[0], self.choices[-1]) if self.choices else self._bounds
        return _label(first), _label(last)

    def _index(self, value: Scalar) -> int:
        return self.choices.index(self.parameter.normalise(value))

    def _round_values(self) -> list[float]:
        low, high = self._bounds
        if low == high:
            return [low]
        if self.log:
            powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
            return [10.0**power for power in powers] if len(powers) > 1 else [low, high]
        for most in (_TICKS - 1, 2 * _TICKS):
            values = [value for value in Axis.over((low, high), most).values if low <= value <= high]
            if isinstance(self.parameter, IntParameter):
                values = [value for value in values if value.is_integer()]
            if len(values) > 1:
                return values
        return [low, high]

    @property
    def _bounds(self) -> tuple[float, float]:
        low, high = (float(getattr(self.parameter, name)) for name in ("low", "high"))
        return low, high

    @property
    def _range(self) -> tuple[float, float]:
        low, high = (self._scaled(bound) for bound in self._bounds)
        return low, high

    def _scaled(self, value: Scalar) -> float:
        return math.log(float(value)) if self.log else float(value)


def _label(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value) or "(empty)"


@dataclass(frozen=True)
class Slice:
    """Score against one parameter."""

    name: str
    log: bool
    marks: tuple[Mark, ...]
    columns: tuple[Tick, ...]


@dataclass(frozen=True)
class SliceChart:
    """Score against every parameter, on one vertical axis."""

    alt: str
    slices: tuple[Slice, ...]
    rows: tuple[Tick, ...]
    legend: tuple[tuple[str, str], ...]


def slice_chart(study: StudyRecord, space: Space) -> SliceChart:
    """Score against each parameter, of the trials that have both; at least one trial has a score."""
    trials = _scored(study)
    axis = Axis.over((trial.score for trial in trials if trial.score is not None), most=_TICKS)
    slices = tuple(_slice(name, Scale(parameter), trials, axis, study.best) for name, parameter in space.parameters)
    styles = {mark.style for one in slices for mark in one.marks}
    labels = {"first": "trial", "best": "best trial", "pruned": "stopped early"}
    alt = (
        f"{text.metric_name(study.metric)} of the trials of {study.backbone} against "
        f"{', '.join(text.field_name(one.name) for one in slices)}; the table of all trials has the figures"
    )
    rows = axis.rows(SLICE_HEIGHT)
    return SliceChart(alt, slices, rows, tuple((style, name) for style, name in labels.items() if style in styles))


def _slice(name: str, scale: Scale, trials: Sequence[TrialRecord], axis: Axis, best: int) -> Slice:
    found = [trial for trial in trials if name in trial.params]
    ordered = sorted(found, key=lambda trial: trial.number == best)
    marks = tuple(_mark(trial, x_of(scale.share(trial.params[name])), axis, best, SLICE_HEIGHT) for trial in ordered)
    return Slice(name, scale.log, marks, tuple(Tick(x_of(tick.at), tick.label) for tick in scale.ticks))


@dataclass(frozen=True)
class Coordinate:
    """One vertical axis of parallel coordinates: its name, the values at its ends, and choices between them."""

    at: float
    name: str
    top: str
    bottom: str
    between: tuple[Tick, ...] = ()


@dataclass(frozen=True)
class TrialLine:
    """One trial across the axes; `strength` is the opacity of its line: the better, the stronger."""

    segments: tuple[Line, ...]
    style: str
    strength: float
    title: str


@dataclass(frozen=True)
class ParallelChart:
    """Every trial as a line across the parameters, which ends at its score."""

    alt: str
    axes: tuple[Coordinate, ...]
    lines: tuple[TrialLine, ...]
    legend: tuple[tuple[str, str], ...]
    left_out: int


def parallel_chart(study: StudyRecord, space: Space) -> ParallelChart:
    """Parallel coordinates of the best trials that have a score, drawn from the worst to the best."""
    sign = 1.0 if study.direction == "maximize" else -1.0
    ranked = sorted(_scored(study), key=lambda trial: (trial.number == study.best, sign * (trial.score or 0.0)))
    kept = ranked[-_MOST_LINES:]
    scores = Axis.over(trial.score for trial in kept if trial.score is not None)
    scales = [(name, Scale(parameter)) for name, parameter in space.parameters]
    places = [round(100 * (number + 0.5) / (len(scales) + 1), 2) for number in range(len(scales) + 1)]
    axes = [_coordinate(at, name, scale) for at, (name, scale) in zip(places, scales, strict=False)]
    axes.append(Coordinate(places[-1], text.metric_name(study.metric), scores.labels[-1], scores.labels[0]))
    lines = []
    for rank, trial in enumerate(kept, start=1):
        shares = [scale.height(trial.params[name]) if name in trial.params else None for name, scale in scales]
        shares.append(scores.share(trial.score or 0.0))
        lines.append(
            TrialLine(
                segments=_segments(places, shares),
                style=_style(trial, study.best),
                strength=1.0 if trial.number == study.best else round(0.15 + 0.55 * rank / len(kept), 2),
                title=f"trial {trial.number}: {text.score(trial.score)}",
            )
        )
    best = ", ".join(f"{text.field_name(k)} {text.parameter(v)}" for k, v in study.best_trial.params.items())
    alt = f"Parallel coordinates of {len(kept)} trials of {study.backbone}; the best one has {best}"
    styles = {line.style for line in lines}
    labels = {"first": "trial, the better the stronger", "best": "best trial", "pruned": "stopped early"}
    legend = tuple((style, label) for style, label in labels.items() if style in styles)
    return ParallelChart(alt, tuple(axes), tuple(lines), legend, len(ranked) - len(kept))


def _coordinate(at: float, name: str, scale: Scale) -> Coordinate:
    between = scale.choices[1:-1] if len(scale.choices) <= _CHOICES else ()
    ticks = tuple(Tick(_down(scale.height(choice)), _label(choice)) for choice in between)
    bottom, top = scale.ends
    return Coordinate(at, text.field_name(name), top, bottom, ticks)


def _down(share: float) -> float:
    """Vertical place in pixels from the top, without a margin."""
    return round(HEIGHT * (1 - share), 1)


def _segments(places: Sequence[float], shares: Sequence[float | None]) -> tuple[Line, ...]:
    """Lines between axes next to each other, where the trial has both parameters."""
    points = [None if share is None else (x, _down(share)) for x, share in zip(places, shares, strict=True)]
    return tuple(Line(*a, *b) for a, b in pairwise(points) if a is not None and b is not None)


def _scored(study: StudyRecord) -> list[TrialRecord]:
    return [trial for trial in study.trials if trial.score is not None and trial.status in ("succeeded", "pruned")]
