"""The winner: not measurably worse than the best, within the declared constraints, and then the cheapest.

There is no weighted or min-max composite score: with one, an irrelevant entrant could change the order of the others.

Candidates within the constraints are tested against the best of them one by one, the cheapest first, each at the full
level. The first that is not shown to be worse wins. A better one that breaks a constraint is not the reference, since
it cannot be shipped. That is a fixed-sequence procedure (Maurer, Hothorn and Lehmacher, 1995; Westfall and Krishen,
2001), which needs no adjustment: the chance of passing over any candidate that is in truth as good stays below one
minus the confidence, however many there are, provided that cost does not depend on the test rows.

A candidate is a variant: it is scored and compared by its own predictions, not by those of the model it was made from.

Holm's adjusted p-values, which judge the leaderboard as a whole, must not decide here: a costlier entrant would raise
them, and a cheap candidate could win that would have been passed over without that entrant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from podium.config.selection import ConstraintsConfig, SelectionConfig
from podium.errors import InputError
from podium.records import (
    Comparison,
    Interval,
    LeaderboardEntry,
    Measurement,
    ParetoPoint,
    Reason,
    VariantScore,
    identity,
)
from podium.selection.comparison import described, shown_worse

WINNER_BEST = "winner-is-best"
WINNER_AS_GOOD = "winner-not-worse-than-best"
WINNER_CHEAPEST = "winner-is-cheapest"
UNSTABLE = "measurement-unstable"
WORSE_THAN_BEST = "worse-than-best"
MEASUREMENT_MISSING = "measurement-missing"
CONSTRAINT_BROKEN = "constraint-broken"
NO_CANDIDATE = "no-candidate"

UNITS = {
    "latency_p50_ms": "ms",
    "latency_p90_ms": "ms",
    "latency_p95_ms": "ms",
    "memory_mb": "MB",
    "size_mb": "MB",
    "energy_j": "J",
}
"""The unit of each quantity that can be bounded or be the cost, by its name in the config."""


@dataclass(frozen=True)
class Candidate:
    """One deployable variant of a champion, and the reasons why it may not win.

    Attributes:
        measurement: None when the champion was not benchmarked.
        test: the score of its own held-out predictions.
        cost: in the unit of the declared cost; None when it was not measured.
        failures: empty for a candidate that may win.
    """

    entry: LeaderboardEntry
    measurement: Measurement | None
    test: Interval
    cost: float | None
    failures: tuple[Reason, ...]

    @property
    def name(self) -> str:
        return f"{self.entry.backbone} ({self.variant})"

    @property
    def variant(self) -> str:
        """What would be deployed; without a benchmark that is the refitted model itself."""
        return self.measurement.variant if self.measurement else "eager"

    @property
    def identity(self) -> str:
        return identity(self.entry.model_digest, self.variant)

    def quantity(self, name: str) -> float | None:
        """A cost or a constrained quantity by its config name; None when it was not measured."""
        if self.measurement is None:
            return self.entry.size_mb if name == "size_mb" else None
        return quantity(self.measurement, name)


def quantity(measured: Measurement, name: str) -> float | None:
    """A cost or a constrained quantity by its config name; None when it was not measured."""
    bounds = quantity_bounds(measured, name)
    return None if bounds is None else bounds[1]


def quantity_bounds(measured: Measurement, name: str) -> tuple[float, float, float] | None:
    """Lower bound, value and upper bound of a quantity; all are its value where it has no interval."""
    found = {"memory_mb": measured.peak_rss_mb, "size_mb": measured.size_mb, "energy_j": measured.energy_j}
    for item in measured.latency:
        if name == f"latency_p{100 * item.q:g}_ms":
            return item.low_ms, item.value_ms, item.high_ms
    value = found.get(name)
    return None if value is None else (value, value, value)


@dataclass(frozen=True)
class Choice:
    """The winner, or None, with the reasons, and every candidate in order of preference."""

    winner: Candidate | None
    reasons: tuple[Reason, ...]
    candidates: tuple[Candidate, ...]


def choose(
    entries: Sequence[LeaderboardEntry],
    comparisons: Sequence[Comparison],
    measurements: Sequence[Measurement],
    config: SelectionConfig,
    scores: Sequence[VariantScore] = (),
) -> Choice:
    """Choose the winner.

    A constraint whose quantity was not measured is not met. A candidate without a measured cost comes after all with
    one; equal costs go to the higher test score, then to the smaller model, then to the eager one, then by name.

    Args:
        entries: the leaderboard, in any order.
        comparisons: of every candidate within the constraints against the best of them, by their names.
        measurements: of any variants of the entries; those of other models are ignored.
        config: constraints and cost.
        scores: of every measured variant but the eager ones, whose scores are those of the entries.

    Raises:
        InputError: a measured variant has no score, or a candidate was not compared with the best one within the
            constraints.
    """
    found = contenders(entries, measurements, config, scores)
    if not found:
        return Choice(None, (Reason(code=NO_CANDIDATE, text="There is no champion to choose from."),), ())
    able = [one for one in found if not one.failures]
    if not able:
        reasons = (Reason(code=NO_CANDIDATE, text="No champion is within the constraints."),)
        return Choice(None, (*reasons, *(reason for one in found for reason in one.failures)), found)
    best = able[0]
    against = {item.challenger: item for item in comparisons if item.reference == best.name}
    missing = [one.name for one in able[1:] if one.name not in against]
    if missing:
        raise InputError(f"{missing[0]} must be compared with {best.name}, but no comparison was given")
    judged = [_compared(one, against.get(one.name)) for one in found]
    judged.sort(key=lambda one: (bool(one.failures), one.cost is None, one.cost or 0.0))
    return Choice(judged[0], _reasons(judged, best, config), tuple(judged))


def contenders(
    entries: Sequence[LeaderboardEntry],
    measurements: Sequence[Measurement],
    config: SelectionConfig,
    scores: Sequence[VariantScore] = (),
) -> tuple[Candidate, ...]:
    """Every variant of every champion, best first, checked against the constraints; see `choose`.

    The first one without failures is what the others are compared with.

    Raises:
        InputError: a measured variant has no score.
    """
    own = {(score.backbone, score.variant): score.test for score in scores}
    found = []
    for entry in entries:
        ours = (entry.backbone, entry.model_digest)
        measured = [item for item in measurements if (item.backbone, item.model_digest) == ours]
        for item in measured or (None,):
            test = entry.test if item is None or item.variant == "eager" else own.get((item.backbone, item.variant))
            bare = Candidate(entry, item, test or entry.test, None, ())
            if test is None:
                raise InputError(f"{bare.name} must have a score of its own predictions, but none was given")
            unmet = broken(bare.name, bare.quantity, config.constraints)
            found.append(replace(bare, cost=bare.quantity(config.cost), failures=unmet))
    return tuple(sorted(found, key=_best_first))


def _best_first(one: Candidate) -> tuple[float, int, str, bool, str]:
    return -one.test.value, one.entry.parameters, one.entry.backbone, one.variant != "eager", one.variant


def _compared(candidate: Candidate, comparison: Comparison | None) -> Candidate:
    """A candidate with the reason why it may not win if it is shown to be worse than the best one.

    Args:
        comparison: with the best one; None for the best one itself and for candidates that may not win anyway.
    """
    if candidate.failures or comparison is None or not shown_worse(comparison):
        return candidate
    text = (
        f"{comparison.challenger} is worse than {comparison.reference}: the difference in {comparison.metric} is "
        f"{described(comparison.difference)}."
    )
    return replace(candidate, failures=(Reason(code=WORSE_THAN_BEST, text=text),))


def broken(name: str, measured: Callable[[str], float | None], constraints: ConstraintsConfig) -> tuple[Reason, ...]:
    """The constraints that a model does not meet, or is not shown to meet.

    Args:
        name: of the model.
        measured: the value of a quantity, or None.
    """
    reasons = []
    for bounded, bound in constraints:
        if bound is None:
            continue
        unit, value = UNITS[bounded], measured(bounded)
        if value is None:
            text = f"{name} has no measured {bounded}, so the bound of {bound:g} {unit} is not shown to be met."
            reasons.append(Reason(code=MEASUREMENT_MISSING, text=text))
        elif value > bound:
            text = f"{name} breaks {bounded} <= {bound:g} {unit}: it has {value:.4g} {unit}."
            reasons.append(Reason(code=CONSTRAINT_BROKEN, text=text))
    return tuple(reasons)


def _reasons(candidates: Sequence[Candidate], best: Candidate, config: SelectionConfig) -> tuple[Reason, ...]:
    winner = candidates[0]
    able = [one for one in candidates if not one.failures]
    within = " within the constraints" if any(bound is not None for _, bound in config.constraints) else ""
    if winner.test.value == best.test.value:
        text = f"{winner.name} has the best test score{within}, {best.test.value:.4f}."
        reasons = [Reason(code=WINNER_BEST, text=text)]
    else:
        text = f"{winner.name} is not shown to be worse than {best.name}, the best by score{within}."
        reasons = [Reason(code=WINNER_AS_GOOD, text=text)]
    if len(able) > 1 and winner.cost is not None:
        cost = f"{config.cost}: {winner.cost:.4g} {UNITS[config.cost]}"
        text = f"{winner.name} is the cheapest of {len(able)} candidates by {cost}."
        reasons.append(Reason(code=WINNER_CHEAPEST, text=text))
    if winner.measurement is not None and winner.measurement.unstable:
        text = f"The benchmark of {winner.name} was unstable; its cost is not to be trusted to the last digit."
        reasons.append(Reason(code=UNSTABLE, text=text))
    return (*reasons, *(reason for one in candidates for reason in one.failures))


def pareto_fronts(candidates: Sequence[Candidate]) -> dict[str, tuple[ParetoPoint, ...]]:
    """The front of quality against each quantity that any candidate was measured for, by its name.

    It has the candidates such that none is as cheap and better, or as good and cheaper; cheapest first. Those with
    equal score and cost are all on it. Intervals play no part: a front shows what was measured, not what is proven.
    """
    fronts = {}
    for name in UNITS:
        points = [
            ParetoPoint(
                backbone=one.entry.backbone,
                variant=one.measurement.variant if one.measurement else None,
                score=one.test.value,
                cost=value,
            )
            for one in candidates
            if (value := one.quantity(name)) is not None
        ]
        kept = zip(points, on_front([(point.cost, point.score) for point in points]), strict=True)
        front = [point for point, unbeaten in kept if unbeaten]
        fronts[name] = tuple(sorted(front, key=lambda point: (point.cost, point.backbone, point.variant or "")))
    return {name: front for name, front in fronts.items() if front}


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other one of the points (cost, score) costs no more, scores no less, and differs."""
    return [
        not any(one[0] <= cost and one[1] >= score and one != (cost, score) for one in points) for cost, score in points
    ]
