from __future__ import annotations

import numpy as np
import pytest

from podium.errors import InputError
from podium.evaluation.predictions import Predictions
from podium.selection.comparison import compare, compare_with_best

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


def test_further_entrants_do_not_change_a_comparison(entry):
    given = {"a": predictions(0.9, 1), "b": predictions(0.85, 2), "c": predictions(0.7, 3)}
    ranked = [entry("a", 0.9), entry("b", 0.85), entry("c", 0.7)]
    everything = compare_with_best(ranked, given, **BUDGET)
    assert [item.challenger for item in everything] == ["b", "c"]
    assert {item.reference for item in everything} == {"a"}
    assert compare_with_best([ranked[0], ranked[2]], given, **BUDGET) == (everything[1],)


def test_one_candidate_needs_no_comparison(entry):
    assert compare_with_best([entry("a")], {"a": predictions(0.9, 1)}, **BUDGET) == ()


def test_missing_predictions_are_named(entry):
    with pytest.raises(InputError, match="b has none"):
        compare_with_best([entry("a"), entry("b")], {"a": predictions(0.9, 1)}, **BUDGET)
