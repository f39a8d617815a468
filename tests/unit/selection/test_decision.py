from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.schema import PromotionConfig
from podium.records import Comparison, Incumbent, Interval, LeaderboardEntry
from podium.selection.decision import decide

FREE = PromotionConfig()


def incumbent(score: float = 0.9, metric: str = "macro_f1", digest: str = "old") -> Incumbent:
    return Incumbent(name="news", version="3", model_digest=digest, model_key="k", metric=metric, score=score)


def verdict(winner, holder, policy=FREE, comparison=None):
    found, reasons = decide(winner, holder, policy, comparison, metric="macro_f1")
    assert all(reason.text for reason in reasons)
    return found, [reason.code for reason in reasons]


def test_no_winner_is_rejected_even_when_forced(entry):
    assert verdict(None, None) == ("REJECT", ["no-winner"])
    assert verdict(None, incumbent(), PromotionConfig(force=True, reason="now")) == ("REJECT", ["no-winner"])


def test_the_first_winner_is_promoted(entry):
    assert verdict(entry("a"), None) == ("PROMOTE", ["no-incumbent"])


def test_the_champion_itself_is_held_even_when_forced(entry):
    same = incumbent(digest="digest-a")
    assert verdict(entry("a"), same) == ("HOLD", ["already-champion"])
    assert verdict(entry("a"), same, PromotionConfig(force=True, reason="now")) == ("HOLD", ["already-champion"])


def test_a_forced_promotion_records_why(entry):
    policy = PromotionConfig(force=True, reason="the old one leaks")
    found, reasons = decide(entry("a", 0.1), incumbent(), policy, None, metric="macro_f1")
    assert (found, reasons[0].code) == ("PROMOTE", "forced")
    assert "the old one leaks" in reasons[0].text


@pytest.mark.parametrize(
    ("bounds", "min_gain", "expected"),
    [
        ((0.01, 0.05), 0.0, ("PROMOTE", ["better-than-incumbent"])),
        ((0.01, 0.05), 0.02, ("HOLD", ["gain-too-small"])),
        ((0.03, 0.05), 0.02, ("PROMOTE", ["better-than-incumbent"])),
        ((-0.01, 0.05), 0.0, ("HOLD", ["not-measurably-better"])),
        ((0.0, 0.0), 0.0, ("HOLD", ["not-measurably-better"])),
        ((-0.05, -0.01), 0.0, ("REJECT", ["worse-than-incumbent"])),
    ],
)
def test_by_interval_on_the_same_rows(entry, comparison, bounds, min_gain, expected):
    paired = comparison("a", "news", sum(bounds) / 2, *bounds)
    assert verdict(entry("a"), incumbent(), PromotionConfig(min_gain=min_gain), paired) == expected


@pytest.mark.parametrize(
    ("score", "min_gain", "expected"),
    [
        (0.91, 0.0, ("PROMOTE", ["better-by-score"])),
        (0.91, 0.05, ("HOLD", ["gain-too-small-by-score"])),
        (0.90, 0.0, ("HOLD", ["gain-too-small-by-score"])),
        (0.89, 0.0, ("REJECT", ["worse-by-score"])),
    ],
)
def test_by_score_when_rows_differ(entry, score, min_gain, expected):
    assert verdict(entry("a", score), incumbent(), PromotionConfig(min_gain=min_gain)) == expected


def test_scores_of_different_metrics_are_not_compared(entry):
    assert verdict(entry("a"), incumbent(metric="accuracy")) == ("HOLD", ["not-comparable"])


def test_the_interval_counts_before_the_scores(entry, comparison):
    paired = comparison("a", "news", 0.03, 0.02, 0.05)
    assert verdict(entry("a", 0.1), incumbent(0.9), FREE, paired)[0] == "PROMOTE"


BOUNDS = st.floats(-0.2, 0.2)


@given(values=st.tuples(BOUNDS, BOUNDS, BOUNDS).map(sorted), gain=st.floats(0, 0.1), more=st.floats(0, 0.1))
def test_asking_for_more_gain_never_promotes_more(values, gain, more):
    low, value, high = values
    paired = Comparison(
        reference="news",
        challenger="a",
        metric="macro_f1",
        difference=Interval(value=value, low=low, high=high, confidence=0.95, method="m"),
        p_value=0.5,
        measurably_worse=high < 0,
    )
    winner = LeaderboardEntry(
        backbone="a",
        model_key="k",
        model_digest="new",
        trial=0,
        cv_score=0.9,
        cv_std=0,
        trials=1,
        test=paired.difference,
        size_mb=1,
        parameters=1,
    )
    eased = verdict(winner, incumbent(), PromotionConfig(min_gain=gain), paired)[0]
    strict = verdict(winner, incumbent(), PromotionConfig(min_gain=gain + more), paired)[0]
    assert not (strict == "PROMOTE" and eased != "PROMOTE")
    assert (eased == "REJECT") == (strict == "REJECT")
