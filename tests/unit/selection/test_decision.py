from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.selection import PromotionConfig, SelectionConfig
from podium.errors import InputError
from podium.records import Comparison, DecisionRecord, Evidence, Incumbent, Interval, LeaderboardEntry
from podium.selection.decision import decide, judge, replay

FREE = PromotionConfig()


def incumbent(digest: str = "old") -> Incumbent:
    return Incumbent(name="news", version="3", model_digest=digest, model_key="k", metric="macro_f1", score=0.9)


def verdict(winner, holder, policy=FREE, comparison=None, rows=100, **evidence):
    found, reasons = decide(winner, holder, policy, comparison, rows=rows, **evidence)
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
    found, reasons = decide(entry("a", 0.1), incumbent(), policy, None, rows=100)
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


def test_an_incumbent_that_cannot_be_compared_is_held_with_the_reason(entry):
    found, (reason,) = decide(entry("a"), incumbent(), FREE, None, rows=100, not_comparable="it has the labels x, y")
    assert (found, reason.code) == ("HOLD", "not-comparable")
    assert reason.text == "a cannot be compared with news version 3: it has the labels x, y"


def test_a_model_that_was_rolled_back_is_promoted_by_force_alone(entry):
    told = "version 2 was rolled back by me@host"
    assert verdict(entry("a"), None, withdrawn=told) == ("HOLD", ["rolled-back"])
    forced = PromotionConfig(force=True, reason="mended")
    assert verdict(entry("a"), None, forced, withdrawn=told) == ("PROMOTE", ["forced"])


@pytest.mark.parametrize(
    ("policy", "code"), [({"min_test_rows": 101}, "too-few-rows"), ({"min_trials": 5}, "too-few-trials")]
)
def test_too_little_evidence_holds_a_promotion_and_is_told_under_force(entry, policy, code):
    assert verdict(entry("a"), None, PromotionConfig(**policy)) == ("HOLD", [code, "no-incumbent"])
    forced = PromotionConfig(**policy, force=True, reason="now")
    assert verdict(entry("a"), None, forced) == ("PROMOTE", ["forced", code])


@pytest.mark.parametrize(
    ("bounds", "strict", "free"),
    [
        ((0.1, 0.2), ("PROMOTE", ["no-incumbent"]), ("PROMOTE", ["no-incumbent"])),
        (
            (-0.1, 0.2),
            ("HOLD", ["baseline-not-beaten", "no-incumbent"]),
            ("PROMOTE", ["no-incumbent", "baseline-not-beaten"]),
        ),
        (
            (-0.2, -0.1),
            ("REJECT", ["worse-than-baseline", "no-incumbent"]),
            ("PROMOTE", ["no-incumbent", "worse-than-baseline"]),
        ),
    ],
)
def test_the_baseline_rule(entry, comparison, bounds, strict, free):
    against = [comparison("a", "linear", sum(bounds) / 2, *bounds)]
    assert verdict(entry("a"), None, PromotionConfig(must_beat_baselines=True), baselines=against) == strict
    assert verdict(entry("a"), None, FREE, baselines=against) == free


def evidence(entry, comparison, measurement, **changes) -> Evidence:
    fields = {
        "metric": "macro_f1",
        "rows": 100,
        "policy": SelectionConfig(),
        "leaderboard": (entry("best", 0.92), entry("fast", 0.91)),
        "comparisons": (comparison("fast", "best", -0.01, -0.03, 0.01),),
        "baseline_comparisons": (
            comparison("fast", "linear", 0.01, -0.03, 0.04),
            comparison("best", "linear", -0.2, -0.3, -0.1),
        ),
        "measurements": (measurement("best", 30), measurement("fast", 5)),
        "incumbent": incumbent(),
        "against_incumbent": comparison("fast", "news", 0.03, 0.02, 0.05),
    }
    return Evidence(**{**fields, **changes})


def test_judging_chooses_and_decides_on_what_concerns_the_winner(entry, comparison, measurement):
    found = judge(evidence(entry, comparison, measurement))
    assert (found.verdict, found.choice.winner.entry.backbone) == ("PROMOTE", "fast")
    assert [reason.code for reason in found.reasons] == [
        "winner-not-worse-than-best",
        "winner-is-cheapest",
        "better-than-incumbent",
        "baseline-not-beaten",
    ]
    assert found.decisive.code == "better-than-incumbent"
    withdrawn = judge(evidence(entry, comparison, measurement, withdrawn={"digest-fast": "it was rolled back"}))
    assert (withdrawn.verdict, withdrawn.decisive.code) == ("HOLD", "rolled-back")


def test_a_record_replays_to_its_own_verdict_and_a_changed_one_is_told(entry, comparison, measurement):
    given_ = evidence(entry, comparison, measurement)
    found = judge(given_)
    record = DecisionRecord(
        key="d" * 64,
        verdict=found.verdict,
        winner="fast",
        winner_variant="eager",
        reasons=found.reasons,
        incumbent=given_.incumbent,
        evidence=given_,
    )
    read = DecisionRecord.from_json(record.to_json())
    assert replay(read) == (found, [])
    tampered = read.model_copy(update={"verdict": "HOLD", "winner": "best"})
    assert replay(tampered)[1] == [
        "verdict: recorded HOLD, replayed PROMOTE",
        "winner: recorded best, replayed fast",
    ]
    with pytest.raises(InputError, match="keeps no evidence"):
        replay(read.model_copy(update={"evidence": None}))


BOUNDS = st.floats(-0.2, 0.2)


SORTED = st.tuples(BOUNDS, BOUNDS, BOUNDS).map(sorted)


def paired_with(reference: str, values: list[float]) -> Comparison:
    low, value, high = values
    return Comparison(
        reference=reference,
        challenger="a",
        metric="macro_f1",
        difference=Interval(value=value, low=low, high=high, confidence=0.95, method="m"),
        p_value=0.5,
        measurably_worse=high < 0,
    )


POLICY = st.fixed_dictionaries(
    {
        "min_gain": st.floats(0, 0.1),
        "min_test_rows": st.integers(0, 200),
        "min_trials": st.integers(0, 3),
        "must_beat_baselines": st.booleans(),
    }
)


@given(values=SORTED, baseline=SORTED, eased=POLICY, strict=POLICY)
def test_asking_for_more_never_promotes_more(values, baseline, eased, strict):
    paired = paired_with("news", values)
    baselines = [paired_with("linear", baseline)]
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
    strict = {name: max(value, strict[name]) for name, value in eased.items()}

    def under(policy: dict) -> str:
        return verdict(winner, incumbent(), PromotionConfig(**policy), paired, baselines=baselines)[0]

    assert not (under(strict) == "PROMOTE" and under(eased) != "PROMOTE")
    assert under(eased) != "REJECT" or under(strict) == "REJECT"
