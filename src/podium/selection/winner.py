"""The winner: the cheapest candidate that is shown to be as good as the best, or else the best by score.

A candidate is shown to be as good where the lower bound of its paired difference to the best one lies at or above
`-selection.margin` (a non-inferiority test: Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority,
2010, chapter 2). "Not shown to be worse" would be no evidence: it passes worse models the fewer rows there are.

The error that is controlled is one of a single candidate: one that is truly worse than the best by the margin or more
passes with a probability of at most (1 - confidence) / 2, so with k such candidates one of them passes with at most k
times that. The exception are equal predictions, which are as good by definition: with fewer than about 4 / margin rows
two different models may give them by chance. There is no adjustment for the number of candidates, and no weighted or
min-max composite score, since either lets an entrant that neither is best nor wins change the order of the others.
`benchmarks/selection_rule.py` simulates the rule.

A candidate is cheaper than the best only where the intervals of the two costs do not overlap. Among several that are as
good and cheaper than the best, the measured cost decides: to let overlapping intervals decide in favour of the score
there would bring back the influence of irrelevant entrants, because overlap is not transitive.

A better model that breaks a constraint is not the reference, since it cannot be shipped. A candidate is a variant: it
is scored and compared by its own predictions, not by those of the model it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from podium.config.benchmark import ConstraintsConfig, SelectionConfig
from podium.errors import InputError
from podium.records import Comparison, Evidence, Interval, LeaderboardEntry, Measurement, ParetoPoint, Reason, identity
from podium.selection.comparison import as_good, described, lower_bound, rows_to_settle, shown_worse

WINNER_BEST = "winner-is-best"
WINNER_AS_GOOD = "winner-as-good-as-best"
WINNER_CHEAPER = "winner-is-cheaper"
UNSTABLE = "measurement-unstable"
WORSE_THAN_BEST = "worse-than-best"
NOT_SHOWN_AS_GOOD = "not-shown-as-good"
NOT_CHEAPER = "not-cheaper-than-best"
ROWS_NEEDED = "rows-needed"
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
        return f"{self.entry.entrant} ({self.variant})"

    @property
    def variant(self) -> str:
        """What would be deployed; without a benchmark that is the refitted model itself."""
        return self.measurement.variant if self.measurement else "eager"

    @property
    def identity(self) -> str:
        return identity(self.entry.model_digest, self.variant)

    def quantity(self, name: str) -> float | None:
        """A cost or a constrained quantity by its config name; None when it was not measured."""
        return None if (bounds := self.bounds(name)) is None else bounds[1]

    def bounds(self, name: str) -> tuple[float, float, float] | None:
        """See `bounds_of`; without a benchmark the size is known alone."""
        if self.measurement is None:
            return (self.entry.size_mb,) * 3 if name == "size_mb" else None
        return bounds_of(self.measurement, name)


def quantity(measured: Measurement, name: str) -> float | None:
    """A cost or a constrained quantity by its config name; None when it was not measured."""
    bounds = bounds_of(measured, name)
    return None if bounds is None else bounds[1]


def bounds_of(measured: Measurement, name: str) -> tuple[float, float, float] | None:
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


def choose(evidence: Evidence) -> Choice:
    """Choose the winner, whatever the incumbent.

    A constraint whose quantity was not measured is not met. Equal scores go to the smaller model, then to the eager
    one, then by name.

    Raises:
        InputError: a measured variant has no score, or a candidate was not compared with the best one within the
            constraints.
    """
    found = contenders(evidence)
    if not found:
        return Choice(None, (Reason(code=NO_CANDIDATE, text="There is no champion to choose from."),), ())
    able = [one for one in found if not one.failures]
    if not able:
        reasons = (Reason(code=NO_CANDIDATE, text="No champion is within the constraints."),)
        return Choice(None, (*reasons, *(reason for one in found for reason in one.failures)), found)
    best, config = able[0], evidence.policy
    against = {item.challenger: item for item in evidence.comparisons if item.reference == best.name}
    missing = [one.name for one in able[1:] if one.name not in against]
    if missing:
        raise InputError(f"{missing[0]} must be compared with {best.name}, but no comparison was given")
    judged = [
        one if one.failures or one is best else replace(one, failures=_why_not(one, best, against[one.name], config))
        for one in found
    ]
    judged.sort(key=lambda one: (bool(one.failures), one.cost is None, one.cost or 0.0))
    why = _reasons(judged, best, against, config)
    return Choice(judged[0], (*why, *_price(able, best, against, config, evidence.rows)), tuple(judged))


def contenders(evidence: Evidence) -> tuple[Candidate, ...]:
    """Every variant of every champion, best first, checked against the constraints; see `choose`.

    The first one without failures is what the others are compared with.

    Raises:
        InputError: a measured variant has no score.
    """
    own = {(score.entrant, score.variant): score.test for score in evidence.variant_scores}
    config, found = evidence.policy, []
    for entry in evidence.leaderboard:
        ours = (entry.entrant, entry.model_digest)
        measured = [item for item in evidence.measurements if (item.entrant, item.model_digest) == ours]
        for item in measured or (None,):
            test = entry.test if item is None or item.variant == "eager" else own.get((item.entrant, item.variant))
            bare = Candidate(entry, item, test or entry.test, None, ())
            if test is None:
                raise InputError(f"{bare.name} must have a score of its own predictions, but none was given")
            unmet = broken(bare.name, bare.quantity, config.constraints)
            found.append(replace(bare, cost=bare.quantity(config.cost), failures=unmet))
    return tuple(sorted(found, key=_best_first))


def _best_first(one: Candidate) -> tuple[float, int, str, bool, str]:
    return -one.test.value, one.entry.parameters, one.entry.entrant, one.variant != "eager", one.variant


def cheaper(one: Candidate, other: Candidate, cost: str) -> bool:
    """Whether the costs of both are measured, and the interval of `one` lies wholly below that of `other`."""
    mine, theirs = one.bounds(cost), other.bounds(cost)
    return mine is not None and theirs is not None and mine[2] < theirs[0]


def _why_not(one: Candidate, best: Candidate, comparison: Comparison, config: SelectionConfig) -> tuple[Reason, ...]:
    """Why a candidate within the constraints does not replace the best one; empty where it may."""
    seen = f"the difference in {comparison.metric} is {described(comparison.difference)}"
    if not as_good(comparison, config.margin):
        code, text = (
            (WORSE_THAN_BEST, "is worse than")
            if shown_worse(comparison)
            else (NOT_SHOWN_AS_GOOD, "is not shown to be as good as")
        )
        bound = f"the lower bound {lower_bound(comparison):+.4f} is below the margin of {-config.margin:g}"
        return (Reason(code=code, text=f"{one.name} {text} {best.name}: {seen}, and {bound}."),)
    if cheaper(one, best, config.cost):
        return ()
    text = f"{one.name} is as good as {best.name}, but not measurably cheaper: {_costs(one, best, config.cost)}."
    return (Reason(code=NOT_CHEAPER, text=text),)


def _costs(one: Candidate, other: Candidate, cost: str) -> str:
    """The costs of two candidates with their intervals, in words."""
    said = []
    for low, _, high in (candidate.bounds(cost) or (None, None, None) for candidate in (one, other)):
        known = "not measured" if low is None else f"{low:.4g} {UNITS[cost]}"
        said.append(known if low == high else f"{low:.4g} to {high:.4g} {UNITS[cost]}")
    return f"{cost} {said[0]} against {said[1]}"


def broken(name: str, measured: Callable[[str], float | None], constraints: ConstraintsConfig) -> tuple[Reason, ...]:
    """The constraints that a model does not meet, or is not shown to meet."""
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


def _reasons(
    candidates: Sequence[Candidate], best: Candidate, against: Mapping[str, Comparison], config: SelectionConfig
) -> tuple[Reason, ...]:
    winner = candidates[0]
    within = " within the constraints" if any(bound is not None for _, bound in config.constraints) else ""
    if winner.name == best.name:
        text = f"{winner.name} has the best test score{within}, {best.test.value:.4f}."
        reasons = [Reason(code=WINNER_BEST, text=text)]
    else:
        comparison = against[winner.name]
        text = (
            f"{winner.name} is shown to be as good as {best.name}, the best by score{within}: the difference in "
            f"{comparison.metric} is {described(comparison.difference)}, and the margin is {config.margin:g}."
        )
        reasons = [Reason(code=WINNER_AS_GOOD, text=text)]
        text = f"{winner.name} is cheaper than {best.name}: {_costs(winner, best, config.cost)}."
        rivals = [one for one in candidates[1:] if not one.failures]
        if close := [one.name for one in rivals if not cheaper(winner, one, config.cost)]:
            text += f" Its cost is the lowest measured, but not apart from that of {', '.join(close)}."
        reasons.append(Reason(code=WINNER_CHEAPER, text=text))
    for one in {winner.name: winner, best.name: best}.values():
        reasons += unstable(one.name, one.measurement)
    return (*reasons, *(reason for one in candidates for reason in one.failures))


def unstable(name: str, measurement: Measurement | None) -> list[Reason]:
    """That a model's cost is not known well, where its benchmark was unstable."""
    if measurement is None or not measurement.unstable:
        return []
    text = f"The benchmark of {name} was unstable, so its cost is known less well than its interval says."
    return [Reason(code=UNSTABLE, text=text)]


def _price(
    able: Sequence[Candidate], best: Candidate, against: Mapping[str, Comparison], config: SelectionConfig, rows: int
) -> tuple[Reason, ...]:
    """About how many held-out rows would settle the closest comparison with a cheaper candidate, where one is open."""
    needed = []
    for one in able:
        comparison = against.get(one.name)
        if comparison is None or not rows or not cheaper(one, best, config.cost):
            continue
        count = rows_to_settle(comparison, config.margin, rows)
        if count is not None:
            needed.append((count, one.name))
    if not needed:
        return ()
    count, name = min(needed)
    text = (
        f"Whether {name}, which is cheaper, is as good as {best.name} cannot be told from {rows:,} held-out rows; "
        f"about {count:,} would tell if the difference stays as measured."
    )
    return (Reason(code=ROWS_NEEDED, text=text),)


def pareto_fronts(candidates: Sequence[Candidate]) -> dict[str, tuple[ParetoPoint, ...]]:
    """The front of quality against each quantity that any candidate was measured for, by its name.

    It has the candidates such that none is as cheap and better, or as good and cheaper; cheapest first. Those with
    equal score and cost are all on it. Intervals play no part: a front shows what was measured, not what is proven.
    """
    fronts = {}
    for name in UNITS:
        points = [
            ParetoPoint(
                entrant=one.entry.entrant,
                variant=one.measurement.variant if one.measurement else None,
                score=one.test.value,
                cost=value,
            )
            for one in candidates
            if (value := one.quantity(name)) is not None
        ]
        kept = zip(points, on_front([(point.cost, point.score) for point in points]), strict=True)
        front = [point for point, unbeaten in kept if unbeaten]
        fronts[name] = tuple(sorted(front, key=lambda point: (point.cost, point.entrant, point.variant or "")))
    return {name: front for name, front in fronts.items() if front}


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other one of the points (cost, score) costs no more, scores no less, and differs."""
    return [
        not any(one[0] <= cost and one[1] >= score and one != (cost, score) for one in points) for cost, score in points
    ]
