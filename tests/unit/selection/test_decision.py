from __future__ import annotations

import pytest

from podium.config.benchmark import ConstraintsConfig, PromotionConfig, SelectionConfig
from podium.errors import InputError
from podium.records import (
    RULE,
    CopiedRows,
    DecisionRecord,
    Evidence,
    Incumbent,
    Interval,
)
from podium.selection.decision import decide, judge, replay
from podium.selection.winner import Candidate
from tests.unit.selection.evidence import evidence_of

FREE = PromotionConfig(must_beat_baselines=False)


def incumbent(digest: str = "old", **more) -> Incumbent:
    return Incumbent(name="news", version="3", model_digest=digest, model_key="k", metric="macro_f1", score=0.9, **more)


def candidate(entry, measurement=None) -> Candidate:
    return Candidate(entry, measurement, entry.test, None, ())


@pytest.fixture
def a(entry) -> Candidate:
    """A winner that nobody measured."""
    return candidate(entry("a"))


def decided(
    winner,
    champion,
    policy=FREE,
    comparison=None,
    *,
    baselines=(),
    rows=100,
    withdrawn="",
    holder=None,
    problem="",
    copies=None,
):
    whole = policy if isinstance(policy, SelectionConfig) else SelectionConfig(promotion=policy)
    against = {
        "incumbent": champion,
        "against_incumbent": comparison,
        "not_comparable": problem,
        "incumbent_measurement": holder,
        "withdrawn": {winner.identity: withdrawn} if withdrawn else {},
        "copied_rows": copies,
        "baseline_comparisons": tuple(one.model_copy(update={"challenger": winner.name}) for one in baselines),
    }
    return decide(winner, evidence_of((), policy=whole, rows=rows).model_copy(update=against))


def verdict(*given, **evidence):
    found, reasons = decided(*given, **evidence)
    assert all(reason.text for reason in reasons)
    return found, [reason.code for reason in reasons]


def test_no_winner_is_rejected_even_when_forced(entry):
    assert verdict(None, None) == ("REJECT", ["no-winner"])
    assert verdict(None, incumbent(), PromotionConfig(force=True, reason="now")) == ("REJECT", ["no-winner"])


def test_the_first_winner_is_promoted(a):
    assert verdict(a, None) == ("PROMOTE", ["no-incumbent"])


def test_the_champion_itself_is_held_even_when_forced(a):
    same = incumbent(digest="digest-a")
    assert verdict(a, same) == ("HOLD", ["already-champion"])
    assert verdict(a, same, PromotionConfig(force=True, reason="now")) == ("HOLD", ["already-champion"])


def test_a_forced_promotion_records_why(a):
    policy = PromotionConfig(force=True, reason="the old one leaks")
    found, reasons = decided(a, incumbent(), policy)
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
def test_by_interval_on_the_same_rows(a, comparison, bounds, min_gain, expected):
    paired = comparison("a", "news", sum(bounds) / 2, *bounds)
    assert verdict(a, incumbent(), PromotionConfig(min_gain=min_gain), paired) == expected


@pytest.mark.parametrize(("cv_score", "cv_std", "far"), [(0.95, 0.01, True), (0.95, 0.05, False), (0.91, 0.0, False)])
def test_a_test_score_far_below_cross_validation_is_said(entry, cv_score, cv_std, far):
    winner = candidate(entry("a").model_copy(update={"cv_score": cv_score, "cv_std": cv_std}))
    found, reasons = decided(winner, None)
    assert (found, [reason.code for reason in reasons]) == ("PROMOTE", ["no-incumbent"] + ["test-rows-differ"] * far)
    if far:
        assert "scores 0.9000 on the test rows, but 0.9500 in cross-validation" in reasons[-1].text


def test_few_test_rows_are_said_with_the_score_in_cross_validation(a):
    assert verdict(a, None, rows=30) == ("PROMOTE", ["no-incumbent"])
    found, reasons = decided(a, None, rows=12)
    assert (found, reasons[-1].code) == ("PROMOTE", "few-test-rows")
    assert reasons[-1].text == (
        "12 test rows tell little: in cross-validation on the rows that it learned from, a (eager) scores 0.9000."
    )


def test_what_is_held_is_not_said_to_be_promotable(a):
    _, reasons = decided(a, None, PromotionConfig(min_test_rows=101))
    assert reasons[-1].text == "There is no incumbent to beat."


def test_an_incumbent_that_cannot_be_compared_is_held_with_the_reason(a):
    found, (reason,) = decided(a, incumbent(), problem="it has the labels x, y")
    assert (found, reason.code) == ("HOLD", "not-comparable")
    assert reason.text == "a (eager) cannot be compared with news version 3: it has the labels x, y"


def test_a_model_that_was_rolled_back_is_promoted_by_force_alone(a):
    told = "version 2 was rolled back by me@host"
    assert verdict(a, None, withdrawn=told) == ("HOLD", ["rolled-back"])
    forced = PromotionConfig(force=True, reason="mended")
    assert verdict(a, None, forced, withdrawn=told) == ("PROMOTE", ["forced"])


@pytest.mark.parametrize(
    ("policy", "code"), [({"min_test_rows": 101}, "too-few-rows"), ({"min_trials": 5}, "too-few-trials")]
)
def test_too_little_evidence_holds_a_promotion_and_is_told_under_force(a, policy, code):
    assert verdict(a, None, PromotionConfig(**policy)) == ("HOLD", [code, "no-incumbent"])
    forced = PromotionConfig(**policy, force=True, reason="now")
    assert verdict(a, None, forced) == ("PROMOTE", ["forced", code])


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
def test_the_baseline_rule(a, comparison, bounds, strict, free):
    against = [comparison("a", "majority", sum(bounds) / 2, *bounds)]
    assert verdict(a, None, PromotionConfig(), baselines=against) == strict, "the default"
    assert verdict(a, None, FREE, baselines=against) == free


def test_what_is_worse_than_a_baseline_is_rejected_also_where_its_gain_is_too_small(a, comparison):
    """Found by the property test below: a larger `min_gain` turned the rejection into a hold."""
    against = [comparison("a", "majority", -0.1, -0.2, -0.05)]
    policy = PromotionConfig(must_beat_baselines=True, min_gain=0.5)
    found, codes = verdict(a, incumbent(), policy, comparison("a", "news", 0.1, 0.05, 0.2), baselines=against)
    assert (found, codes) == ("REJECT", ["worse-than-baseline", "gain-too-small"])


def test_what_is_not_better_than_the_incumbent_is_held_for_that_before_a_baseline_that_it_does_not_beat(a, comparison):
    against, paired = [comparison("a", "majority", 0.05, -0.1, 0.2)], comparison("a", "news", 0.0, -0.1, 0.1)
    found, codes = verdict(a, incumbent(), PromotionConfig(), paired, baselines=against)
    assert (found, codes) == ("HOLD", ["not-measurably-better", "baseline-not-beaten"])


@pytest.mark.parametrize(("searched", "count"), [(1.0, "7 of 100"), (0.5, "At least 7 of 100")])
def test_copies_are_counted_as_far_as_they_were_looked_for(a, searched, count):
    score = Interval(value=0.9, low=0.8, high=0.95, confidence=0.95, method="m")
    found, reasons = decided(a, None, copies=CopiedRows(rows=7, searched=searched, score=score))
    assert (found, [reason.code for reason in reasons]) == ("PROMOTE", ["no-incumbent", "copied-rows"])
    assert reasons[1].text.startswith(f"{count} held-out rows nearly repeat rows")
    found, reasons = decided(a, None, PromotionConfig(), copies=CopiedRows(rows=100, searched=searched))
    assert (found, reasons[0].code) == ("HOLD", "nothing-shown-without-copies")


def evidence(entry, comparison, measurement, **changes) -> Evidence:
    fields = {
        "metric": "macro_f1",
        "rows": 100,
        "policy": SelectionConfig(promotion=FREE),
        "rule": RULE,
        "leaderboard": (entry("best", 0.92), entry("fast", 0.918)),
        "comparisons": (comparison("fast (eager)", "best (eager)", -0.002, -0.006, 0.002),),
        "baseline_comparisons": (
            comparison("fast (eager)", "majority", 0.01, -0.03, 0.04),
            comparison("best (eager)", "majority", -0.2, -0.3, -0.1),
        ),
        "measurements": (measurement("best", 30), measurement("fast", 5)),
        "incumbent": incumbent(),
        "against_incumbent": comparison("fast", "news", 0.03, 0.02, 0.05),
    }
    return Evidence(**{**fields, **changes})


def test_judging_chooses_and_decides_on_what_concerns_the_winner(entry, comparison, measurement):
    found = judge(evidence(entry, comparison, measurement))
    assert (found.verdict, found.choice.winner.entry.entrant) == ("PROMOTE", "fast")
    assert [reason.code for reason in found.reasons] == [
        "winner-as-good-as-best",
        "winner-is-cheaper",
        "better-than-incumbent",
        "baseline-not-beaten",
    ]
    assert found.decisive.code == "better-than-incumbent"
    withdrawn = judge(evidence(entry, comparison, measurement, withdrawn={"digest-fast": "it was rolled back"}))
    assert (withdrawn.verdict, withdrawn.decisive.code) == ("HOLD", "rolled-back")


def measured(measurement, variant="eager", **figures):
    p50, low, high = figures.pop("p50", (10.0, 10.0, 10.0))
    found = measurement("x", variant=variant)
    median = found.scenarios["latency"].figures[0].model_copy(update={"value": p50, "low": low, "high": high})
    latency = found.scenarios["latency"].model_copy(update={"figures": (median,)})
    return found.model_copy(update={"scenarios": {**found.scenarios, "latency": latency}, **figures})


@pytest.mark.parametrize(
    ("bounds", "min_saving", "holder", "expected"),
    [
        ((-0.01, 0.01), 0.3, (10, 9.6, 10.4), ("PROMOTE", ["cheaper-than-incumbent", "not-measurably-better"])),
        ((-0.01, 0.01), 0.5, (10, 9.6, 10.4), ("HOLD", ["not-measurably-better", "only-cheaper"])),
        ((-0.01, 0.01), None, (10, 9.6, 10.4), ("HOLD", ["not-measurably-better", "only-cheaper"])),
        ((-0.02, 0.01), 0.3, (10, 9.6, 10.4), ("HOLD", ["not-measurably-better", "only-cheaper"])),
        ((-0.01, 0.01), 0.0, (10, 4.6, 12), ("HOLD", ["not-measurably-better"])),
        ((-0.01, 0.01), 0.0, None, ("HOLD", ["not-measurably-better"])),
        ((-0.03, -0.01), 0.3, (10, 9.6, 10.4), ("REJECT", ["worse-than-incumbent"])),
        ((0.01, 0.03), None, (10, 9.6, 10.4), ("PROMOTE", ["better-than-incumbent"])),
    ],
    ids=[
        "enough",
        "too little",
        "not asked for",
        "not shown to be as good",
        "not proven",
        "not measured",
        "worse",
        "better",
    ],
)
def test_a_saving_promotes_what_is_as_good_if_asked_for(
    entry, measurement, comparison, bounds, min_saving, holder, expected
):
    winner = candidate(entry("a"), measured(measurement, p50=(5.0, 4.5, 5.5)))
    kept = holder and measured(measurement, p50=holder)
    paired = comparison("a (eager)", "news", sum(bounds) / 2, *bounds)
    policy = PromotionConfig(min_saving=min_saving)
    assert verdict(winner, incumbent(), policy, paired, holder=kept) == expected


def test_what_a_saving_is_goes_by_the_declared_cost(entry, measurement, comparison):
    winner = candidate(entry("a"), measured(measurement, size_mb=5.0))
    policy = SelectionConfig(cost="size_mb", promotion=PromotionConfig(min_saving=0.5))
    paired = comparison("a (eager)", "news", 0.0, -0.01, 0.01)
    found, reasons = decided(winner, incumbent(), policy, paired, holder=measured(measurement, size_mb=20.0))
    assert found == "PROMOTE"
    assert "saves at least 75% of the size_mb of news version 3: at most 5 against at least 20 MB" in reasons[0].text


def test_an_unstable_benchmark_of_the_incumbent_is_said_with_what_is_saved(entry, measurement, comparison):
    winner, kept = candidate(entry("a"), measured(measurement)), measured(measurement, p50=(30.0, 20.0, 40.0))
    shaky = kept.model_copy(update={"unstable": True})
    paired = comparison("a (eager)", "news", 0.0, -0.01, 0.01)
    for min_saving, code in ((0.2, "cheaper-than-incumbent"), (None, "only-cheaper")):
        policy = SelectionConfig(promotion=PromotionConfig(min_saving=min_saving))
        _, codes = verdict(winner, incumbent(), policy, paired, holder=shaky)
        assert code in codes and codes[-1] == "measurement-unstable"
        assert "measurement-unstable" not in verdict(winner, incumbent(), policy, paired, holder=kept)[1]


def test_an_incumbent_that_breaks_a_constraint_goes_to_what_is_not_worse(entry, measurement, comparison):
    winner = candidate(entry("a"), measured(measurement))
    policy = SelectionConfig(constraints=ConstraintsConfig(memory_mb=600))
    kept = measured(measurement, peak_rss_mb=700.0)
    as_good, worse = (comparison("a (eager)", "news", 0.0, -0.02, high) for high in (0.01, -0.01))
    found, reasons = decided(winner, incumbent(), policy, as_good, holder=kept)
    assert (found, reasons[0].code) == ("PROMOTE", "incumbent-breaks-constraint")
    assert reasons[0].text == "news version 3 breaks memory_mb <= 600 MB: it has 700 MB."
    assert verdict(winner, incumbent(), policy, worse, holder=kept) == ("REJECT", ["worse-than-incumbent"])


def test_another_variant_of_the_champion_s_refit_is_another_model(entry, measurement, comparison):
    int8 = candidate(entry("a"), measured(measurement, "onnx-int8"))
    kept = incumbent("digest-a")
    paired = comparison("a (onnx-int8)", "news", 0.0, -0.01, 0.01)
    assert verdict(int8, kept, FREE, paired) == ("HOLD", ["not-measurably-better"])
    assert verdict(int8, incumbent("digest-a", variant="onnx-int8")) == ("HOLD", ["already-champion"])


@pytest.mark.parametrize(
    ("withdrawn", "champion", "decisive"),
    [
        ("digest-fast+onnx", "old", "rolled-back"),
        ("digest-fast", "digest-fast+onnx", "rolled-back"),
        ("digest-fast+onnx", "digest-fast+bf16", "better-than-incumbent"),
        ("digest-other", "old", "better-than-incumbent"),
    ],
)
def test_a_rollback_speaks_against_the_refit_unless_it_is_in_use(
    entry, comparison, measurement, withdrawn, champion, decisive
):
    digest, _, variant = champion.partition("+")
    found = judge(
        evidence(
            entry,
            comparison,
            measurement,
            incumbent=incumbent(digest, variant=variant or "eager"),
            withdrawn={withdrawn: "it was rolled back"},
        )
    )
    assert (found.choice.winner.identity, found.decisive.code) == ("digest-fast", decisive)


def test_a_record_replays_to_its_own_verdict_and_a_changed_one_differs(entry, comparison, measurement):
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
    old = read.model_copy(update={"evidence": given_.model_copy(update={"rule": "not-shown-worse"})})
    with pytest.raises(InputError, match="made by 'not-shown-worse' and this version of Podium decides by"):
        replay(old)
    tampered = read.model_copy(update={"verdict": "HOLD", "winner": "best"})
    assert replay(tampered)[1] == [
        "verdict: recorded HOLD, replayed PROMOTE",
        "winner: recorded best, replayed fast",
    ]
