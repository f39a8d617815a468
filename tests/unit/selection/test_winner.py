from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.config.benchmark import ConstraintsConfig, SelectionConfig
from podium.errors import InputError
from podium.records import VariantScore
from podium.selection.comparison import adjusted
from podium.selection.winner import (
    CONSTRAINT_BROKEN,
    MEASUREMENT_MISSING,
    NO_CANDIDATE,
    NOT_CHEAPER,
    NOT_SHOWN_AS_GOOD,
    ROWS_NEEDED,
    UNSTABLE,
    WINNER_AS_GOOD,
    WINNER_BEST,
    WINNER_CHEAPER,
    WORSE_THAN_BEST,
)
from tests.unit.selection.evidence import choose

FREE = SelectionConfig()


@pytest.fixture
def comparison(comparison):
    """Of measured candidates: a bare backbone means its eager variant."""

    def build(challenger, reference, *difference):
        names = [name if "(" in name else f"{name} (eager)" for name in (challenger, reference)]
        return comparison(*names, *difference)

    return build


def score(interval, entrant, variant, test):
    return VariantScore(entrant=entrant, variant=variant, test=interval(test))


def codes(choice):
    return [reason.code for reason in choice.reasons]


def bounded(**constraints):
    return SelectionConfig(constraints=ConstraintsConfig(**constraints))


@pytest.fixture
def two(entry, comparison, measurement):
    """`best` is slow, and `fast` is shown to lose less than a point."""
    entries = [entry("best", 0.92), entry("fast", 0.917)]
    comparisons = [comparison("fast", "best", -0.003, -0.008, 0.002)]
    return entries, comparisons, [measurement("best", 30, 40, 900), measurement("fast", 5, 6, 300)]


def test_the_cheaper_of_what_is_as_good_wins(two):
    choice = choose(*two, FREE)
    assert choice.winner.entry.entrant == "fast"
    assert choice.winner.measurement.variant == "eager"
    assert choice.winner.cost == 5
    assert codes(choice) == [WINNER_AS_GOOD, WINNER_CHEAPER]
    assert "latency_p50_ms 5 ms against 30 ms" in choice.reasons[1].text


def test_what_is_only_not_shown_to_be_worse_does_not_win(two, comparison):
    entries, _, measurements = two
    choice = choose(entries, [comparison("fast", "best", -0.003, -0.02, 0.014)], measurements, FREE, rows=300)
    assert choice.winner.entry.entrant == "best"
    assert codes(choice) == [WINNER_BEST, NOT_SHOWN_AS_GOOD, ROWS_NEEDED]
    assert "cannot be told from 300 held-out rows; about 3,600 would tell" in choice.reasons[2].text
    wide = FREE.model_copy(update={"margin": 0.02})
    assert choose(entries, [comparison("fast", "best", -0.003, -0.02, 0.014)], measurements, wide).winner.cost == 5


def test_the_price_of_the_closest_comparison_is_said(two, entry, comparison, measurement):
    entries, _, measurements = two
    third = [*entries, entry("third", 0.915)], [*measurements, measurement("third", 4)]
    far, near = comparison("fast", "best", -0.009, -0.03, 0.012), comparison("third", "best", -0.001, -0.012, 0.01)
    choice = choose(third[0], [far, near], third[1], FREE, rows=1000)
    assert [reason.text for reason in choice.reasons if reason.code == ROWS_NEEDED] == [
        "Whether third (eager), which is cheaper, is as good as best (eager) cannot be told from 1,000 held-out rows; "
        "about 3,100 would tell if the difference stays as measured."
    ]
    settled = comparison("fast", "best", -0.03, -0.04, -0.02)
    assert ROWS_NEEDED not in codes(choose(*two[:1], [settled], measurements, FREE, rows=1000))


def test_costs_that_are_not_apart_do_not_decide(two, interval):
    entries, comparisons, (slow, fast) = two

    def spread(one, low, high):
        latency = one.scenarios["latency"]
        median = latency.figures[0].model_copy(update={"low": low, "high": high})
        changed = latency.model_copy(update={"figures": (median, *latency.figures[1:])})
        return one.model_copy(update={"scenarios": {**one.scenarios, "latency": changed}})

    choice = choose(entries, comparisons, [spread(slow, 4, 35), spread(fast, 3, 7)], FREE)
    assert choice.winner.entry.entrant == "best"
    assert codes(choice) == [WINNER_BEST, NOT_CHEAPER]
    assert "latency_p50_ms 3 to 7 ms against 4 to 35 ms" in choice.reasons[1].text


def test_a_cost_that_is_close_to_another_eligible_one_is_said(two, entry, comparison, measurement):
    entries, comparisons, measurements = two
    choice = choose(
        [*entries, entry("twin", 0.916)],
        [*comparisons, comparison("twin", "best", -0.004, -0.009, 0.001)],
        [*measurements, measurement("twin", 5)],
        FREE,
    )
    assert choice.winner.entry.entrant == "fast"
    assert choice.reasons[1].text.endswith("but not apart from that of twin (eager).")


def test_a_measurably_worse_candidate_never_wins(two, comparison):
    entries, _, measurements = two
    choice = choose(entries, [comparison("fast", "best", -0.05, -0.07, -0.03)], measurements, FREE)
    assert choice.winner.entry.entrant == "best"
    assert codes(choice) == [WINNER_BEST, WORSE_THAN_BEST]
    assert "-0.0700 and -0.0300 at 95% confidence" in choice.reasons[1].text


@pytest.mark.parametrize(
    ("constraint", "value"),
    [("latency_p50_ms", "5 ms"), ("latency_p90_ms", "6 ms"), ("memory_mb", "300 MB"), ("size_mb", "17 MB")],
)
def test_a_broken_constraint_rules_out_and_says_by_how_much(two, constraint, value):
    choice = choose(*two, bounded(**{constraint: 1}))
    assert choice.winner is None
    assert codes(choice) == [NO_CANDIDATE, CONSTRAINT_BROKEN, CONSTRAINT_BROKEN]
    assert any("fast (eager)" in reason.text and value in reason.text for reason in choice.reasons)


def test_a_bound_that_is_just_met_is_met(two):
    assert choose(*two, bounded(latency_p90_ms=6)).winner.entry.entrant == "fast"


def test_the_best_within_constraints_wins_when_the_cheapest_breaks_them(entry, comparison, measurement):
    entries = [entry("best", 0.92), entry("fast", 0.91)]
    measurements = [measurement("best", 30, 40, 300), measurement("fast", 5, 6, 900)]
    choice = choose(entries, [comparison("fast", "best", -0.001, -0.003, 0.001)], measurements, bounded(memory_mb=500))
    assert choice.winner.entry.entrant == "best"
    assert codes(choice) == [WINNER_BEST, CONSTRAINT_BROKEN]


def test_what_was_not_measured_does_not_meet_a_constraint(entry, measurement):
    unsupported = measurement("a", p90=None)
    choice = choose([entry("a")], [], [unsupported], bounded(latency_p90_ms=100))
    assert choice.winner is None
    assert codes(choice) == [NO_CANDIDATE, MEASUREMENT_MISSING]
    assert "latency_p90_ms" in choice.reasons[1].text
    assert codes(choose([entry("a")], [], [], bounded(memory_mb=100))) == [NO_CANDIDATE, MEASUREMENT_MISSING]


@pytest.mark.parametrize("constraint", ["latency_p95_ms", "energy_j"])
def test_a_bound_on_what_nobody_measured_is_met_by_nobody(two, constraint):
    choice = choose(*two, bounded(**{constraint: 1e6}))
    assert codes(choice) == [NO_CANDIDATE, MEASUREMENT_MISSING, MEASUREMENT_MISSING]
    assert all(constraint in reason.text for reason in choice.reasons[1:])


def test_energy_counts_where_it_was_measured(entry, measurement):
    measured = measurement("a", energy_j=0.5)
    assert choose([entry("a")], [], [measured], bounded(energy_j=0.5)).winner is not None
    assert codes(choose([entry("a")], [], [measured], bounded(energy_j=0.4))) == [NO_CANDIDATE, CONSTRAINT_BROKEN]
    assert choose([entry("a")], [], [measured], SelectionConfig(cost="energy_j")).winner.cost == 0.5


def test_what_was_not_measured_is_neither_cheaper_nor_dearer(entry, comparison, measurement):
    entries, comparisons = [entry("a", 0.92), entry("b", 0.919)], [comparison("b", "a", -0.001, -0.003, 0.001)]
    for measured in (measurement("a"), measurement("b")):
        choice = choose(entries, comparisons, [measured], FREE)
        assert (choice.winner.entry.entrant, codes(choice)) == ("a", [WINNER_BEST, NOT_CHEAPER])
        assert "not measured" in choice.reasons[1].text
    alone = choose([entry("a")], [], [], FREE)
    assert alone.winner.entry.entrant == "a"
    assert alone.winner.measurement is None


def test_a_measurement_of_other_weights_does_not_count(entry, measurement):
    choice = choose([entry("a")], [], [measurement("a", digest="older")], FREE)
    assert choice.winner.measurement is None


@pytest.fixture
def variants(entry, measurement):
    """A champion that is slow as it is and quick in eight bits."""
    return [entry("a", 0.9)], [measurement("a", 10, 12), measurement("a", 3, 4, variant="onnx-int8")]


@pytest.mark.parametrize(
    ("test", "bounds", "winner", "expected"),
    [
        (0.9, (0.0, 0.0, 0.0), "onnx-int8", [WINNER_AS_GOOD, WINNER_CHEAPER]),
        (0.895, (-0.005, -0.01, 0.001), "onnx-int8", [WINNER_AS_GOOD, WINNER_CHEAPER]),
        (0.89, (-0.01, -0.03, 0.01), "eager", [WINNER_BEST, NOT_SHOWN_AS_GOOD]),
        (0.8, (-0.1, -0.12, -0.08), "eager", [WINNER_BEST, WORSE_THAN_BEST]),
    ],
    ids=["equal", "within the margin", "not shown to be worse", "worse"],
)
def test_variants_compete_by_their_own_predictions(variants, comparison, interval, test, bounds, winner, expected):
    entries, measurements = variants
    choice = choose(
        entries,
        [comparison("a (onnx-int8)", "a", *bounds)],
        measurements,
        FREE,
        [score(interval, "a", "onnx-int8", test)],
    )
    assert choice.winner.variant == winner
    assert codes(choice) == expected
    assert {one.variant: one.test.value for one in choice.candidates} == {"eager": 0.9, "onnx-int8": test}


def test_a_variant_that_scores_higher_is_what_the_others_are_held_against(variants, comparison, interval):
    entries, measurements = variants
    eager = comparison("a", "a (onnx-int8)", -0.01, -0.02, 0.01)
    choice = choose(entries, [eager], measurements, FREE, [score(interval, "a", "onnx-int8", 0.91)])
    assert (choice.winner.name, codes(choice)[0]) == ("a (onnx-int8)", WINNER_BEST)
    with pytest.raises(InputError, match=r"a \(eager\) must be compared with a \(onnx-int8\)"):
        choose(entries, [], measurements, FREE, [score(interval, "a", "onnx-int8", 0.91)])


def test_a_variant_without_a_score_of_its_own_is_not_judged_by_the_eager_one(variants):
    with pytest.raises(InputError, match=r"a \(onnx-int8\) must have a score of its own predictions"):
        choose(variants[0], [], variants[1], FREE)


def test_equal_costs_go_to_the_better_score(entry, comparison, measurement):
    entries, comparisons = [entry("b", 0.92), entry("a", 0.919)], [comparison("a", "b", -0.001, -0.003, 0.001)]
    assert choose(entries, comparisons, [measurement("a"), measurement("b")], FREE).winner.entry.entrant == "b"


@pytest.mark.parametrize(("cost", "winner"), [("memory_mb", "best"), ("latency_p50_ms", "fast")])
def test_cost_is_the_declared_one(entry, comparison, measurement, cost, winner):
    entries, comparisons = [entry("best", 0.92), entry("fast", 0.92)], [comparison("fast", "best", 0.0, -0.005, 0.005)]
    measurements = [measurement("best", 30, 40, 300), measurement("fast", 5, 6, 900)]
    assert choose(entries, comparisons, measurements, SelectionConfig(cost=cost)).winner.entry.entrant == winner


def test_an_unstable_benchmark_is_said(entry, measurement):
    assert UNSTABLE in codes(choose([entry("a")], [], [measurement("a", unstable=True)], FREE))


def test_an_unstable_benchmark_of_the_best_decides_nothing_silently(two):
    entries, comparisons, (slow, fast) = two
    choice = choose(entries, comparisons, [slow.model_copy(update={"unstable": True}), fast], FREE)
    assert codes(choice) == [WINNER_AS_GOOD, WINNER_CHEAPER, UNSTABLE]
    assert "best (eager)" in choice.reasons[2].text


def test_nobody_to_choose_from():
    assert codes(choose([], [], [], FREE)) == [NO_CANDIDATE]


def test_an_entry_must_have_been_compared(two):
    entries, _, measurements = two
    with pytest.raises(InputError, match=r"fast \(eager\) must be compared with best \(eager\)"):
        choose(entries, [], measurements, FREE)


def test_the_number_of_entrants_does_not_change_what_is_worse(entry, comparison, measurement):
    """Why the choice goes by each comparison alone: `cheap` has p = 0.03, and `dear` is as good as `best`."""
    cheap = comparison("cheap", "best", -0.02, -0.04, -0.002).model_copy(update={"p_value": 0.03})
    dear = comparison("dear", "best", -0.001, -0.02, 0.02).model_copy(update={"p_value": 0.9})
    alone, both = adjusted([cheap]), adjusted([cheap, dear])
    assert (alone[0].measurably_worse, both[0].measurably_worse) == (True, False)
    entries = [entry("best", 0.92), entry("cheap", 0.90), entry("dear", 0.919)]
    measurements = [measurement("best", 20), measurement("cheap", 5), measurement("dear", 50)]
    for field, comparisons in ((entries[:2], alone), (entries, both)):
        assert choose(field, comparisons, measurements, FREE).winner.entry.entrant == "best"


FIGURES = st.sampled_from([0.80, 0.85, 0.90])
COSTS = st.sampled_from([(5.0, 5.0), (5.0, 7.0), (6.0, 9.0), (8.0, 9.0)])
DRAWN = st.lists(st.tuples(FIGURES, COSTS, st.floats(-0.05, 0.0), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(field=DRAWN, data=st.data())
def test_the_rule_is_as_stated_and_irrelevant_entrants_and_order_do_not_touch_it(
    entry, comparison, measurement, field, data
):
    """Drawn scores and costs tie often. Whoever is neither best nor winner can leave without any effect."""
    entries = [entry(f"m{number}", test) for number, (test, *_) in enumerate(field)]
    ranked = sorted(entries, key=lambda one: (-one.test.value, one.entrant))
    lows = {f"m{number}": low for number, (_, _, low, _) in enumerate(field)}
    costs = {f"m{number}": bounds for number, (_, bounds, *_) in enumerate(field)}
    big = {f"m{number}" for number, (*_, is_big) in enumerate(field) if is_big}
    measurements = []
    for name, (low, high) in costs.items():
        one = measurement(name, (low + high) / 2, memory=900 if name in big else 100)
        latency = one.scenarios["latency"]
        median = latency.figures[0].model_copy(update={"low": low, "high": high})
        changed = latency.model_copy(update={"figures": (median, *latency.figures[1:])})
        measurements.append(one.model_copy(update={"scenarios": {**one.scenarios, "latency": changed}}))
    config = SelectionConfig(constraints=ConstraintsConfig(memory_mb=500))

    def chosen(kept):
        """Judged by Holm among those who are there, as a run would do."""
        there = [one.entrant for one in ranked if one in kept]
        families = [
            adjusted([comparison(other, reference, -0.001, lows[other], 0.01) for other in there[place + 1 :]])
            for place, reference in enumerate(there)
        ]
        given = data.draw(st.permutations([item for family in families for item in family]))
        choice = choose(data.draw(st.permutations(kept)), given, data.draw(st.permutations(measurements)), config)
        return choice.winner and choice.winner.entry.entrant

    able = [one.entrant for one in ranked if one.entrant not in big]
    best = able[0] if able else None
    saving = [name for name in able[1:] if lows[name] >= -0.01 and costs[name][1] < costs[best][0]]
    winner = chosen(entries)
    assert winner == min(saving, key=lambda name: (sum(costs[name]), able.index(name)), default=best)
    kept = [one for one in entries if one.entrant in (best, winner) or data.draw(st.booleans())]
    assert chosen(kept or entries) == winner


def test_a_better_model_that_cannot_be_shipped_stands_in_nobody_s_way(entry, comparison, measurement):
    entries = [entry("huge", 0.97), entry("good", 0.92), entry("fast", 0.918)]
    comparisons = [
        comparison("good", "huge", -0.05, -0.07, -0.03),
        comparison("fast", "huge", -0.06, -0.08, -0.04),
        comparison("fast", "good", -0.002, -0.006, 0.002),
    ]
    measurements = [measurement("huge", 90, memory=9000), measurement("good", 20), measurement("fast", 5)]
    choice = choose(entries, comparisons, measurements, bounded(memory_mb=1000))
    assert choice.winner.entry.entrant == "fast"
    assert codes(choice) == [WINNER_AS_GOOD, WINNER_CHEAPER, CONSTRAINT_BROKEN]
    assert "shown to be as good as good (eager), the best by score within the constraints" in choice.reasons[0].text
    with pytest.raises(InputError, match=r"fast \(eager\) must be compared with good"):
        choose(entries, comparisons[:2], measurements, bounded(memory_mb=1000))
