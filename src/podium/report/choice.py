"""What the templates show of the decision: the winner as it would be deployed, and the incumbent beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium.records import Comparison, Interval, VariantCheck
from podium.report.inputs import ReportInputs
from podium.report.standing import unbeaten
from podium.report.tradeoffs import COSTS
from podium.selection.decision import ALREADY_CHAMPION
from podium.selection.winner import UNITS, quantity


@dataclass(frozen=True)
class CostRow:
    """One quantity of winner and incumbent on the same hardware; None where it was not measured."""

    name: str
    winner: float | None
    incumbent: float | None


@dataclass(frozen=True)
class ChoiceView:
    """The decision.

    Attributes:
        test: the score of the winning variant's own predictions; None without a winner.
        check: of the winning variant against the eager model; None where the winner is the eager model.
        unbeaten: the winner against the baselines that it is not shown to beat.
        costs: of winner and incumbent; empty where one of them was not measured.
        policy: what the decision asked for, in words.
    """

    test: Interval | None
    check: VariantCheck | None
    unbeaten: Sequence[Comparison]
    already_champion: bool
    costs: Sequence[CostRow]
    policy: Sequence[tuple[str, str]]


def choice_view(given: ReportInputs) -> ChoiceView:
    """Arrange the decision of a run for the templates."""
    return ChoiceView(
        test=given.winner_test,
        check=_check(given),
        unbeaten=_unbeaten(given),
        already_champion=any(reason.code == ALREADY_CHAMPION for reason in given.decision.reasons),
        costs=_costs(given),
        policy=_policy(given),
    )


def as_good(comparison: Comparison) -> str:
    """What a comparison with the best candidate means for the choice: it goes by the interval alone."""
    return "worse" if comparison.difference.high < 0 else "not shown to be worse"


def _check(given: ReportInputs) -> VariantCheck | None:
    winner = (given.decision.winner, given.decision.winner_variant)
    return next((one.check for one in given.benchmark.variants if (one.backbone, one.variant) == winner), None)


def _unbeaten(given: ReportInputs) -> list[Comparison]:
    if given.winner is None:
        return []
    if given.decision.evidence is None:
        return unbeaten(given.selection, given.winner.backbone)
    return [one for one in given.decision.evidence.baseline_comparisons if one.difference.low <= 0]


def _costs(given: ReportInputs) -> list[CostRow]:
    own = given.winner_measurement
    theirs = given.decision.evidence.incumbent_measurement if given.decision.evidence else None
    if own is None or theirs is None:
        return []
    rows = [
        CostRow(f"{COSTS[name]}, {unit}", quantity(own, name), quantity(theirs, name)) for name, unit in UNITS.items()
    ]
    return [row for row in rows if row.winner is not None or row.incumbent is not None]


def _policy(given: ReportInputs) -> list[tuple[str, str]]:
    if given.decision.evidence is None:
        return []
    policy = given.decision.evidence.policy
    bounds = [f"{COSTS[name]} <= {bound:g} {UNITS[name]}" for name, bound in policy.constraints if bound is not None]
    asked = policy.promotion
    saving = "does not count" if asked.min_saving is None else f"{asked.min_saving:.0%} promotes what is as good"
    found = [
        ("Cost", f"{COSTS[policy.cost]}: of candidates that are as good, the cheapest wins"),
        ("Constraints", ", ".join(bounds) or "none"),
        ("Gain over the incumbent", f"interval wholly above {asked.min_gain:g}"),
        ("Saving over the incumbent", saving),
        ("Least evidence", f"{asked.min_test_rows:,} held-out rows, {asked.min_trials:,} trials"),
        ("Baselines", "must all be beaten" if asked.must_beat_baselines else "need not be beaten"),
    ]
    return [*found, ("Forced", asked.reason or "")] if asked.force else found
