"""The front of quality against cost: candidates that no other one beats on both."""

from __future__ import annotations

from collections.abc import Sequence

from podium.records import ParetoPoint
from podium.selection.winner import UNITS, Candidate


def pareto_fronts(candidates: Sequence[Candidate]) -> dict[str, tuple[ParetoPoint, ...]]:
    """The front against each quantity that any candidate was measured for, by its name; see `pareto_front`."""
    fronts = {name: pareto_front(candidates, name) for name in UNITS}
    return {name: front for name, front in fronts.items() if front}


def pareto_front(candidates: Sequence[Candidate], cost: str) -> tuple[ParetoPoint, ...]:
    """Candidates such that none is as cheap and better, or as good and cheaper; cheapest first.

    Candidates with equal score and cost are all on it. One without a measured cost is not. Intervals play no part: a
    front shows what was measured, not what is proven.
    """
    points = [
        ParetoPoint(
            backbone=one.entry.backbone,
            variant=one.measurement.variant if one.measurement else None,
            score=one.test.value,
            cost=value,
        )
        for one in candidates
        if (value := one.quantity(cost)) is not None
    ]
    front = [point for point in points if not any(_dominates(other, point) for other in points)]
    return tuple(sorted(front, key=lambda point: (point.cost, point.backbone, point.variant or "")))


def _dominates(other: ParetoPoint, point: ParetoPoint) -> bool:
    no_worse = other.score >= point.score and other.cost <= point.cost
    return no_worse and (other.score, other.cost) != (point.score, point.cost)
