from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from podium.errors import InputError
from podium.evaluation.predictions import Predictions
from podium.selection.comparison import (
    adjusted,
    as_good,
    compare,
    compare_with_best,
    holm,
    lower_bound,
    rows_to_settle,
)

BUDGET = {"metric": "accuracy", "confidence": 0.95, "resamples": 500, "seed": 1}


def predictions(right: float, seed: int) -> Predictions:
    """400 rows of which exactly the share `right` is right, scattered by `seed`."""
    predicted = np.random.default_rng(seed).permutation(np.arange(400) >= round(400 * right)).astype(int)
    ids, truth = tuple(map(str, range(400))), np.zeros(400, dtype=int)
    return Predictions("text-classification", ("x", "y"), ids, truth, predicted)


def test_much_worse_is_measurably_worse():
    found = compare(("bad", predictions(0.6, 1)), ("good", predictions(0.9, 2)), **BUDGET)
    assert (found.challenger, found.reference, found.metric) == ("bad", "good", "accuracy")
    assert found.measurably_worse
    assert found.difference.high < 0


def test_a_little_worse_is_not_measurably_worse():
    found = compare(("a", predictions(0.88, 1)), ("b", predictions(0.9, 2)), **BUDGET)
    assert found.difference.value < 0
    assert not found.measurably_worse


def test_equals_are_not_measurably_worse():
    assert not compare(("a", predictions(0.9, 1)), ("b", predictions(0.9, 1)), **BUDGET).measurably_worse


def test_better_is_not_worse():
    assert not compare(("good", predictions(0.9, 1)), ("bad", predictions(0.6, 2)), **BUDGET).measurably_worse


def test_further_entrants_change_no_more_of_a_comparison_than_the_adjustment(entry):
    given = {"a": predictions(0.9, 1), "b": predictions(0.85, 2), "c": predictions(0.7, 3)}
    ranked = [entry("a", 0.9), entry("b", 0.85), entry("c", 0.7)]
    everything = compare_with_best(ranked, given, **BUDGET)
    assert [item.challenger for item in everything] == ["b", "c"]
    assert {item.reference for item in everything} == {"a"}
    (alone,) = compare_with_best([ranked[0], ranked[2]], given, **BUDGET)
    assert alone.p_adjusted == alone.p_value
    assert everything[1].p_adjusted == 2 * alone.p_value
    assert alone.model_copy(update={"p_adjusted": everything[1].p_adjusted}) == everything[1]


def test_one_candidate_needs_no_comparison(entry):
    assert compare_with_best([entry("a")], {"a": predictions(0.9, 1)}, **BUDGET) == ()


P_VALUES = st.lists(st.floats(1e-6, 1), min_size=1, max_size=8)


def test_holm_against_a_worked_example():
    """Holm, 1979: the smallest of m is multiplied by m, the next by m - 1, and none falls below one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.6]) == [1.0, 1.0]


@drawn(P_VALUES, st.data())
def test_holm_depends_on_no_order_and_lies_between_none_and_bonferroni(values, data):
    found = dict(zip(values, holm(values), strict=True))
    again = data.draw(st.permutations(values))
    assert dict(zip(again, holm(again), strict=True)) == found
    for value, raised in found.items():
        assert value <= raised <= min(1.0, len(values) * value)


def test_measurably_is_said_by_the_adjusted_p_value(comparison):
    """Twenty comparisons of which one has p = 0.01: that is what chance alone gives."""
    lucky = comparison("m0", "best", -0.02, -0.04, -0.001).model_copy(update={"p_value": 0.01})
    others = [
        comparison(f"m{number}", "best", -0.01, -0.03, 0.01).model_copy(update={"p_value": 0.5})
        for number in range(1, 20)
    ]
    assert adjusted([lucky])[0].measurably_worse
    judged = adjusted([lucky, *others])
    assert judged[0].p_adjusted == pytest.approx(0.2)
    assert not any(item.measurably_worse or item.measurably_better for item in judged)


def test_predictions_of_another_task_or_other_rows_are_refused():
    one = predictions(0.9, 1)
    tags = Predictions("ner", ("O",), one.ids, [("O",)] * 400, [("O",)] * 400)
    with pytest.raises(InputError, match="one task"):
        compare(("a", one), ("b", tags), **BUDGET)
    fewer = Predictions(one.task, one.labels, one.ids[:10], one.truth[:10], one.predicted[:10])
    with pytest.raises(InputError, match="same rows"):
        compare(("a", one), ("b", fewer), **BUDGET)


@pytest.mark.parametrize(
    ("differing", "bound"),
    [(None, -0.008), (0, -0.008), (1, -0.002 - 0.006 * 2**0.5), (100, -0.002 - 0.006 * 1.01**0.5)],
)
def test_the_lower_bound_is_widened_where_few_rows_differ(comparison, differing, bound):
    found = comparison("a", "b", -0.002, -0.008, 0.004).model_copy(update={"differing": differing})
    assert lower_bound(found) == pytest.approx(bound)
    assert as_good(found, 0.0085) == (differing != 1)


def test_rows_that_differ_are_counted_by_document():
    one, other = predictions(0.9, 1), predictions(0.9, 2)
    apart = int((one.predicted != other.predicted).sum())
    budget = {"metric": "accuracy", "confidence": 0.95, "resamples": 100, "seed": 1}
    assert compare(("a", one), ("b", other), **budget).differing == apart > 1
    grouped = [replace(model, documents=("x",) * 200 + ("y",) * 200) for model in (one, other)]
    assert compare(("a", grouped[0]), ("b", grouped[1]), **budget).differing <= 2
    assert compare(("a", one), ("b", one), **budget).differing == 0


def test_more_rows_are_needed_the_closer_the_difference_is_to_the_margin(comparison):
    needed = [
        rows_to_settle(comparison("a", "b", value, value - 0.02, value + 0.02), 0.01, 500) for value in (0, -0.005)
    ]
    assert needed == [4100, 16000]
    assert rows_to_settle(comparison("a", "b", 0.0, -0.01, 0.01), 0.01, 500) is None
    assert rows_to_settle(comparison("a", "b", -0.03, -0.04, -0.02), 0.01, 500) is None
