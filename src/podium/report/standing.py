"""What the templates show of the selection that its record does not hold as such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium.records import Comparison, FoldTest, Interval, LeaderboardEntry, SelectionRecord


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard: a ranked champion, or a baseline, which has no rank.

    Attributes:
        unbeaten: the comparisons with baselines that the champion is not shown to beat.
    """

    name: str
    test: Interval
    rank: int | None = None
    champion: LeaderboardEntry | None = None
    unbeaten: Sequence[Comparison] = ()


@dataclass(frozen=True)
class FoldFinding:
    """A test on fold scores; `told_apart` at the level that the selection is configured for."""

    pair: str
    test: FoldTest
    told_apart: bool


def standings(selection: SelectionRecord) -> list[Standing]:
    """Champions and baselines by test score; a champion comes before a baseline that is as good."""
    found = [
        Standing(entry.backbone, entry.test, rank, entry, unbeaten(selection, entry.backbone))
        for rank, entry in enumerate(selection.leaderboard, start=1)
    ]
    found += [Standing(one.name, one.test) for one in selection.baselines]
    return sorted(found, key=lambda row: -row.test.value)


def unbeaten(selection: SelectionRecord, backbone: str) -> list[Comparison]:
    """A champion against the baselines that it is not shown to beat, by interval, as the decision judges."""
    return [one for one in selection.baseline_comparisons if one.challenger == backbone and one.difference.low <= 0]


def fold_findings(selection: SelectionRecord) -> list[FoldFinding]:
    """Tests on fold scores: champions against the best one, and each champion's trial against its runner-up."""
    found = [(f"{one.challenger} − {one.reference}", one) for one in selection.fold_tests]
    found += [
        (f"{entry.backbone}: {test.challenger} − {test.reference}", test)
        for entry in selection.leaderboard
        if (test := entry.runner_up)
    ]
    return [FoldFinding(pair, test, test.p_value <= 1 - test.difference.confidence) for pair, test in found]


def finding(comparison: Comparison) -> str:
    """What a comparison of champions found, by its adjusted p-value where it has one."""
    if comparison.measurably_better:
        return "measurably better"
    return "measurably worse" if comparison.measurably_worse else "not measurably worse"


def against_baseline(comparison: Comparison) -> str:
    """What a comparison with a baseline found, by its interval."""
    if comparison.difference.low > 0:
        return "beats it"
    return "worse than it" if comparison.difference.high < 0 else "does not beat it"
