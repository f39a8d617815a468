"""The winner: not measurably worse than the best, within the declared constraints, and then the cheapest.

There is no weighted or min-max composite score: those let an irrelevant entrant change the order of the others.

Candidates within the constraints are tested against the best of them one by one, the cheapest first, each at the full
level, up to the first that is not shown to be worse: it wins. A better one that breaks a constraint is no reference: it
cannot be shipped, so it must not stand in the way of one that can. That is a fixed-sequence procedure (Maurer, Hothorn
and Lehmacher, 1995; Westfall and Krishen, 2001), which needs no adjustment: the chance of passing over any candidate
that is in truth as good stays below one minus the confidence, however many there are, as long as cost does not depend
on the test rows.
Holm's adjusted p-values, which judge the leaderboard as a whole, must not decide here: a costlier entrant would raise
them, and so let a cheap candidate win that would have been passed over without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from podium.config.selection import ConstraintsConfig, SelectionConfig
from podium.errors import InputError
from podium.records import Comparison, LeaderboardEntry, Measurement, Reason
from podium.selection.champions import rank

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
"""Quantities that can be bounded, and be a cost, by their names in the config."""

_QUANTILES = {"latency_p50_ms": 0.5, "latency_p90_ms": 0.9, "latency_p95_ms": 0.95}


@dataclass(frozen=True)
class Candidate:
    """One deployable variant of a champion, and what speaks against it.

    Attributes:
        measurement: None when the champion was not benchmarked.
        cost: in the unit of the declared cost; None when it was not measured.
        failures: empty for a candidate that may win.
    """

    entry: LeaderboardEntry
    measurement: Measurement | None
    cost: float | None
    failures: tuple[Reason, ...]

    @property
    def name(self) -> str:
        """Backbone and variant, for people."""
        return f"{self.entry.backbone} ({self.measurement.variant})" if self.measurement else self.entry.backbone

    def quantity(self, name: str) -> float | None:
        """A cost or a constrained quantity by its config name; None when it was not measured."""
        measured = self.measurement
        if name == "size_mb":
            return measured.size_mb if measured else self.entry.size_mb
        if measured is None:
            return None
        if name in _QUANTILES:
            return measured.quantile_ms(_QUANTILES[name])
        return measured.peak_rss_mb if name == "memory_mb" else measured.energy_j


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
) -> Choice:
    """Choose the winner.

    A constraint whose quantity was not measured is not met. A candidate without a measured cost comes after all with
    one; equal costs go to the higher test score, then to the smaller model, then by name.

    Args:
        entries: the leaderboard, in any order.
        comparisons: of every entry against every better one.
        measurements: of any variants of the entries; those of other models are ignored.
        config: constraints and cost.

    Raises:
        InputError: an entry was not compared with the best one within the constraints.
    """
    ranked = rank(entries)
    if not ranked:
        return Choice(None, (Reason(code=NO_CANDIDATE, text="There is no champion to choose from."),), ())
    place = {entry.backbone: number for number, entry in enumerate(ranked)}
    variants = [_bounded(entry, item, config) for entry in ranked for item in _own(entry, measurements)]
    reference = next((one.entry for one in variants if not one.failures), ranked[0])
    against = {item.challenger: item for item in comparisons if item.reference == reference.backbone}
    missing = [entry.backbone for entry in ranked[place[reference.backbone] + 1 :] if entry.backbone not in against]
    if missing:
        raise InputError(f"{missing[0]} must be compared with {reference.backbone}, but no comparison was given")
    candidates = [_compared(one, against.get(one.entry.backbone)) for one in variants]
    candidates.sort(key=lambda one: (bool(one.failures), *_preference(one), place[one.entry.backbone], one.name))
    if candidates[0].failures:
        reasons = [Reason(code=NO_CANDIDATE, text="No champion is within the constraints.")]
        return Choice(None, (*reasons, *(reason for one in candidates for reason in one.failures)), tuple(candidates))
    return Choice(candidates[0], _reasons(candidates, reference, config), tuple(candidates))


def _own(entry: LeaderboardEntry, measurements: Sequence[Measurement]) -> Sequence[Measurement | None]:
    identity = (entry.backbone, entry.model_digest)
    return [item for item in measurements if (item.backbone, item.model_digest) == identity] or [None]


def _preference(candidate: Candidate) -> tuple[bool, float]:
    return candidate.cost is None, candidate.cost or 0.0


def _bounded(entry: LeaderboardEntry, measurement: Measurement | None, config: SelectionConfig) -> Candidate:
    """A candidate held against the constraints."""
    bare = Candidate(entry, measurement, None, ())
    return Candidate(entry, measurement, bare.quantity(config.cost), tuple(_broken(bare, config.constraints)))


def _compared(candidate: Candidate, comparison: Comparison | None) -> Candidate:
    """A candidate held against the reference, too; the comparison is None for the reference and for better ones."""
    if comparison is None or (gain := comparison.difference).high >= 0:
        return candidate
    text = (
        f"{comparison.challenger} is worse than {comparison.reference}: the difference in {comparison.metric} "
        f"is {gain.value:+.4f}, between {gain.low:+.4f} and {gain.high:+.4f} at {gain.confidence:.0%} confidence."
    )
    return replace(candidate, failures=(Reason(code=WORSE_THAN_BEST, text=text), *candidate.failures))


def _broken(candidate: Candidate, constraints: ConstraintsConfig) -> list[Reason]:
    reasons = []
    for name, bound in constraints:
        if bound is None:
            continue
        unit, value = UNITS[name], candidate.quantity(name)
        if value is None:
            text = f"{candidate.name} has no measured {name}, so the bound of {bound:g} {unit} is not shown to be met."
            reasons.append(Reason(code=MEASUREMENT_MISSING, text=text))
        elif value > bound:
            text = f"{candidate.name} breaks {name} <= {bound:g} {unit}: it has {value:.4g} {unit}."
            reasons.append(Reason(code=CONSTRAINT_BROKEN, text=text))
    return reasons


def _reasons(candidates: Sequence[Candidate], best: LeaderboardEntry, config: SelectionConfig) -> tuple[Reason, ...]:
    winner = candidates[0]
    able = [one for one in candidates if not one.failures]
    within = " within the constraints" if any(bound is not None for _, bound in config.constraints) else ""
    if winner.entry.backbone == best.backbone:
        text = f"{best.backbone} has the best test score{within}, {best.test.value:.4f}."
        reasons = [Reason(code=WINNER_BEST, text=text)]
    else:
        text = f"{winner.entry.backbone} is not shown to be worse than {best.backbone}, the best by score{within}."
        reasons = [Reason(code=WINNER_AS_GOOD, text=text)]
    if len(able) > 1 and winner.cost is not None:
        cost = f"{config.cost}: {winner.cost:.4g} {UNITS[config.cost]}"
        text = f"{winner.name} is the cheapest of {len(able)} candidates by {cost}."
        reasons.append(Reason(code=WINNER_CHEAPEST, text=text))
    if winner.measurement is not None and winner.measurement.unstable:
        text = f"The benchmark of {winner.name} was unstable; its cost is not to be trusted to the last digit."
        reasons.append(Reason(code=UNSTABLE, text=text))
    return (*reasons, *(reason for one in candidates for reason in one.failures))
