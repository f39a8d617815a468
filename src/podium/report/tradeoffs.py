"""Quality against each cost: every measured candidate, and the front that no other one beats on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium.display import numbers as text
from podium.records import ParetoPoint
from podium.report.charts import Axis
from podium.report.inputs import ReportInputs
from podium.report.search_charts import SLICE_HEIGHT, Mark, Slice, SliceChart
from podium.selection.winner import UNITS, Candidate, contenders

COSTS = {
    "latency_p50_ms": "latency p50",
    "latency_p90_ms": "latency p90",
    "latency_p95_ms": "latency p95",
    "memory_mb": "memory",
    "size_mb": "size",
    "energy_j": "energy per row",
}
_LEGEND = {"best": "winner", "first": "on the front", "hollow": "another one is as good for less, or better"}
_LIKE_MEDIAN = ("latency_p90_ms", "latency_p95_ms")
"""Costs that are said in words only, unless the decision goes by them: their charts look like the median's."""
_TICKS = 3
_LEAST_CHARTED = 2


@dataclass(frozen=True)
class Front:
    """The front of one cost; `points` are its candidates, cheapest first, in words."""

    cost: str
    points: Sequence[str]


@dataclass(frozen=True)
class Tradeoffs:
    """What quality costs; the chart is None where fewer than two candidates were measured."""

    fronts: Sequence[Front]
    chart: SliceChart | None


def tradeoffs(given: ReportInputs) -> Tradeoffs:
    """The fronts that the decision recorded, among all candidates that were measured."""
    evidence, fronts = given.decision.evidence, given.decision.pareto
    found = [Front(COSTS[name], [_said(point, name) for point in front]) for name, front in fronts.items()]
    if evidence is None or not fronts:
        return Tradeoffs(found, None)
    every = contenders(evidence.leaderboard, evidence.measurements, evidence.policy, evidence.variant_scores)
    candidates = [one for one in every if one.measurement]
    if len(candidates) < _LEAST_CHARTED:
        return Tradeoffs(found, None)
    scores = Axis.over((one.test.value for one in candidates), _TICKS)
    winner = (given.decision.winner, given.decision.winner_variant)
    cost = evidence.policy.cost
    charted = {name: front for name, front in fronts.items() if name not in _LIKE_MEDIAN or name == cost}
    slices = tuple(_slice(name, front, candidates, scores, winner) for name, front in charted.items())
    drawn = {mark.style for one in slices for mark in one.marks}
    legend = tuple((style, label) for style, label in _LEGEND.items() if style in drawn)
    said = "; ".join(f"{front.cost}: {', '.join(front.points)}" for front in found)
    alt = f"{text.metric_name(given.selection.metric)} against each cost; on the front, cheapest first: {said}"
    return Tradeoffs(found, SliceChart(alt, slices, scores.rows(SLICE_HEIGHT), legend))


def _slice(
    cost: str,
    front: Sequence[ParetoPoint],
    candidates: Sequence[Candidate],
    scores: Axis,
    winner: tuple[str | None, str | None],
) -> Slice:
    """Score against one cost; the front and the winner are drawn last, above the others."""
    best = {(point.backbone, point.variant) for point in front}
    costs = {_identity(one): value for one in candidates if (value := one.quantity(cost)) is not None}
    axis = Axis.over((0.0, *costs.values()), _TICKS)
    marks = []
    for one in candidates:
        identity = _identity(one)
        if identity not in costs:
            continue
        style = "best" if identity == winner else "first" if identity in best else "hollow"
        y = scores.y(one.test.value, SLICE_HEIGHT)
        title = f"{one.name}: {text.score(one.test.value)} at {text.figure(costs[identity])} {UNITS[cost]}"
        marks.append(Mark(axis.x(costs[identity]), y, y, y, style, title))
    marks.sort(key=lambda mark: list(_LEGEND).index(mark.style), reverse=True)
    return Slice(f"{COSTS[cost]}, {UNITS[cost]}", False, tuple(marks), axis.columns)


def _identity(candidate: Candidate) -> tuple[str, str | None]:
    return candidate.entry.backbone, candidate.measurement.variant if candidate.measurement else None


def _said(point: ParetoPoint, cost: str) -> str:
    name = f"{point.backbone} ({point.variant})" if point.variant else point.backbone
    return f"{name} {text.score(point.score)} at {text.figure(point.cost)} {UNITS[cost]}"
