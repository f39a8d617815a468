"""Which differences are called real, and when a check refuses to judge."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from podium.errors import InputError
from podium.records import Interval
from podium.selection.estimates import QUANTITIES, ComparedModel
from podium.selection.run_comparison import CheckResult, Difference, Row, RunsComparison, compare_runs
from tests.unit.selection.simulated import HARDWARE, in_turns, made_up, measurement, predictions, repetitions


def row(compared: RunsComparison, name: str) -> Row:
    return next(one for one in compared.rows if one.name == name)


def difference(name: str, **changes: Any) -> Difference:
    return row(compare_runs([made_up("old", 1), made_up("new", 2, **changes)], ()), name).differences[0]


def checked(text: str, **changes: Any) -> CheckResult:
    return compare_runs([made_up("old", 1), made_up("new", 2, **changes)], [text]).checks[0]


def test_a_tenth_more_latency_is_real_and_worse() -> None:
    found = difference("p50", slower=1.1)
    assert found.change is not None
    assert found.change.low < 0.1 < found.change.high
    assert (found.real, found.better) == (True, False)
    assert difference("load", slower=0.8).better


def test_nothing_more_is_not_real() -> None:
    assert difference("p50").real is False
    same = compare_runs([made_up("a", 1), made_up("b", 1)], ["p50 > baseline"])
    assert all(one.differences[0].real is False for one in same.rows)
    assert same.verdict == "cannot judge"


def test_a_planted_slowdown_is_detected_and_a_planted_nothing_is_not() -> None:
    """Nine times in ten each, with three repetitions that differ by 1 %."""

    def measured(name: str, seed: int, slower: float) -> ComparedModel:
        return made_up(name, seed, slower, predictions=None)

    old = measured("old", 99, 1.0)
    slow = [measured(str(seed), seed, 1.1) for seed in range(100, 120)]
    same = [measured(str(seed), seed, 1.0) for seed in range(200, 220)]
    compared = compare_runs([old, *slow, *same], ["p50 > 1.03 * baseline"])
    verdicts = [one.verdict for one in compared.checks]
    real = [one.real for one in row(compared, "p50").differences]
    assert min(verdicts[:20].count("fail"), real[:20].count(True)) >= 18
    assert max(verdicts[20:].count("fail"), real[20:].count(True)) <= 2


def changes_in(name: str, pairs: Sequence[list[ComparedModel]]) -> list[Interval]:
    found = [row(compare_runs(pair, ()), name).differences[0].change for pair in pairs]
    return [change for change in found if change is not None]


@pytest.mark.parametrize("drift", [0.0, 0.15])
def test_intervals_of_pairs_cover_the_truth_with_and_without_common_drift(drift: float) -> None:
    """At 95 % confidence, with three repetitions a side that differ by 1 % beside the drift."""
    pairs = [in_turns(seed, 1.1, drift) for seed in range(30)]
    for name, truth in (("p50", 0.1), ("throughput", 1 / 1.1 - 1)):
        covered = sum(change.low <= truth <= change.high for change in changes_in(name, pairs))
        assert covered >= 26, name


def test_common_drift_does_not_widen_the_interval_of_pairs() -> None:
    def width(drift: float, session: str) -> float:
        pairs = [in_turns(seed, 1.1, drift, session) for seed in range(5)]
        return statistics.median(change.high - change.low for change in changes_in("p50", pairs))

    apart, paired, still = width(0.15, ""), width(0.15, "s"), width(0.0, "s")
    assert paired < apart / 3
    assert paired < 2.5 * still


def test_a_difference_within_drift_is_real_in_pairs_only() -> None:
    paired, apart = (in_turns(3, 1.15, drift=0.15, session=name, count=5) for name in ("s", ""))
    assert [row(compare_runs(one, ()), "p50").differences[0].real for one in (paired, apart)] == [True, False]
    check = "p50 > 1.03 * baseline"
    assert [compare_runs(one, [check]).verdict for one in (paired, apart)] == ["fail", "cannot judge"]


def test_a_comparison_in_pairs_says_so() -> None:
    compared = compare_runs(in_turns(1, 1.1, 0.0), ["p50 > baseline"])
    assert compared.runs[0].notes == ()
    assert (
        "its repetitions were taken in turns with those of 1-0 and are compared in pairs" in compared.runs[1].notes[0]
    )
    assert compared.checks[0].ratio is not None
    assert compared.checks[0].ratio.method == "bootstrap of repetitions in pairs, Student's t"


def numbered(found: ComparedModel, numbers: Sequence[int], session: str = "s") -> ComparedModel:
    marks = zip(found.repetitions, numbers, strict=True)
    return replace(
        found,
        repetitions=[one.model_copy(update={"session": session, "number": number}) for one, number in marks],
    )


def test_only_the_same_repetitions_of_one_session_are_pairs() -> None:
    first, second = in_turns(1, 1.1, 0.15)
    others = [
        numbered(second, (0, 1, 2), "other"),
        numbered(second, (0, 1, 2), ""),
        numbered(second, (3, 4, 5)),
        numbered(second, (0, 1, 1)),
    ]
    compared = compare_runs([first, second, *others], ())
    assert [len(run.notes) for run in compared.runs] == [0, 1, 0, 0, 0, 0]
    paired, *rest = (one.change for one in row(compared, "p50").differences)
    assert paired is not None
    assert all(one is not None and one.high - one.low > 2 * (paired.high - paired.low) for one in rest)


def test_pairs_are_found_by_number_in_whatever_order_they_are_stored() -> None:
    first, second = in_turns(1, 1.1, 0.15)
    shuffled = replace(second, repetitions=second.repetitions[::-1])
    assert changes_in("p50", [[first, second]]) == changes_in("p50", [[first, shuffled]])


def test_a_model_held_against_itself_is_the_same() -> None:
    first, _ = in_turns(1, 1.1, 0.15)
    compared = compare_runs([first, first], ["p50 > baseline", "p50 > 1.03 * baseline"])
    assert [one.verdict for one in compared.checks] == ["cannot judge", "pass"]
    (change,) = changes_in("p50", [[first, first]])
    assert change.low == pytest.approx(change.high, abs=1e-9)


def test_a_check_of_one_side_does_not_depend_on_turns() -> None:
    paired, apart = (in_turns(1, 1.1, 0.15, session=name) for name in ("s", ""))
    assert compare_runs(paired, ["p50 > 4"]).checks == compare_runs(apart, ["p50 > 4"]).checks


def test_quality_is_paired_on_the_same_rows_in_any_order() -> None:
    better = predictions(0.97, seed=2)
    found = difference("accuracy", predictions=better.aligned_to(better.ids[::-1]))
    assert found.real is True
    assert found.better is True
    assert found.change is not None
    assert found.change.method == "paired percentile bootstrap"


def test_other_rows_are_not_compared() -> None:
    found = difference("accuracy", predictions=predictions(0.97, first=9))
    assert found.real is None
    assert found.reasons == ("new was scored on other held-out rows than old",)
    assert checked("accuracy < baseline", predictions=predictions(0.5, first=9)).verdict == "cannot judge"
    assert checked("accuracy < 0.9", predictions=predictions(0.5, first=9)).verdict == "fail"


def test_other_hardware_makes_no_latency_real_but_size_and_quality() -> None:
    compared = compare_runs(
        [
            made_up("old", 1),
            made_up("new", 2, slower=2.0, accuracy=0.99, hardware={**HARDWARE, "cpu": "Intel", "threads": "2"}),
        ],
        ["p50 > baseline", "p50 > 100"],
    )
    assert row(compared, "p50").differences[0].reasons == (
        "new was measured on other hardware than old: cpu Intel against AMD EPYC 7B13, threads 2 against 1",
    )
    assert [row(compared, name).differences[0].real for name in ("p50", "throughput", "size", "accuracy")] == [
        None,
        None,
        False,
        True,
    ]
    assert [one.verdict for one in compared.checks] == ["cannot judge", "pass"]


def test_other_batch_sizes_do_not_compare_throughput() -> None:
    found = repetitions(2)
    same = measurement(found)
    rate = same.scenario("throughput")
    eight = rate.model_copy(update={"facts": {**rate.facts, "batch_size": 8}})
    other_size = same.model_copy(update={"scenarios": {**same.scenarios, "throughput": eight}})
    assert difference("throughput", measurement=other_size).reasons == (
        "new was measured with batches of 8, old of 32",
    )


def test_one_repetition_cannot_tell() -> None:
    found = repetitions(2, count=1, samples=300)
    changes = {"measurement": measurement(found), "repetitions": found}
    assert difference("p50", **changes).real is None
    assert "one repetition" in checked("p50 > baseline", **changes).reasons[0]


def test_without_raw_samples_intervals_stand_as_they_are() -> None:
    compared = compare_runs([made_up("old", 1), made_up("new", 2, repetitions=())], ())
    p50 = row(compared, "p50")
    assert p50.figures[1].interval is not None
    assert "as if samples were independent" in p50.figures[1].interval.method
    assert p50.differences[0].real is None
    assert "raw samples are not stored" in p50.differences[0].reasons[0]


def test_what_was_not_measured_says_why() -> None:
    compared = compare_runs([made_up("old", 1), made_up("new", 2)], ["energy > baseline", "p99 > 1"])
    assert [one.verdict for one in compared.checks] == ["cannot judge", "cannot judge"]
    assert "there is no power meter" in compared.checks[0].reasons[0]
    assert "it needs 1000 samples, and there are 300" in compared.checks[1].reasons[0]
    assert "energy" not in {one.name for one in compared.rows}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("size > 100", "pass"),
        ("size >= baseline", "fail"),
        ("size > baseline", "pass"),
        ("size < 2 * baseline", "fail"),
        ("0 - size < -100", "pass"),
        ("p95 < 1000", "fail"),
        ("p50 > 1.1 * baseline", "cannot judge"),
        ("throughput < 0.5 * baseline.throughput", "pass"),
        ("p50 * throughput > 0", "fail"),
    ],
)
def test_a_check_is_judged_by_its_interval(text: str, verdict: str) -> None:
    assert checked(text, slower=1.1).verdict == verdict


def test_a_refusal_says_what_would_probably_tell() -> None:
    found = checked("p50 > 1.09 * baseline", slower=1.1)
    assert found.verdict == "cannot judge"
    assert found.ratio is not None
    assert found.ratio.low < 1 < found.ratio.high
    assert "benchmark.repetitions=" in found.reasons[0]
    rows = checked("accuracy < baseline", accuracy=0.885)
    assert "held-out rows" in rows.reasons[0]


def test_the_worst_verdict_is_that_of_the_comparison() -> None:
    runs = [made_up("old", 1), made_up("new", 2, slower=1.5)]
    assert compare_runs(runs, ["size > 99", "p50 > baseline", "energy > 1"]).verdict == "fail"
    assert compare_runs(runs, ["size > 99", "energy > 1"]).verdict == "cannot judge"
    assert compare_runs(runs, ()).verdict == "pass"


def test_a_check_is_read_before_anything_is_compared() -> None:
    with pytest.raises(InputError, match="did you mean p99"):
        compare_runs([made_up("old", 1), made_up("new", 2)], ["p59 > 1"])
    with pytest.raises(InputError, match="must be finite"):
        checked("p50 / 0 > 1")


def test_terms_must_be_finite_on_every_resample() -> None:
    value = checked("p50 > 1").left
    assert value is not None
    with pytest.raises(InputError, match="within their noise"):
        checked(f"p50 * 1e299 * {1.7976e9 / value!r} > 1")


def test_two_runs_are_needed() -> None:
    with pytest.raises(InputError, match="at least two runs"):
        compare_runs([made_up("old", 1)], ())


def test_every_quantity_can_be_named_in_a_check() -> None:
    assert all(name.isidentifier() for name in QUANTITIES)
