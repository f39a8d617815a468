from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from podium.config.benchmark import SelectionConfig
from podium.errors import InputError
from podium.evaluation.bootstrap import bootstrap_interval, in_and_out_of_bag, resampled_scores
from podium.evaluation.predictions import Predictions
from podium.selection.winner import Candidate
from podium.selection.winner_score import corrected_score, rule_of
from tests.unit.selection.simulated import predictions

BUDGET = {"metric": "accuracy", "confidence": 0.95, "resamples": 400, "seed": 3}


def best(scores):
    return scores.argmax(axis=1)


def test_out_of_bag_rows_are_those_that_a_resample_leaves_out():
    models = [predictions(0.9, seed, rows=40) for seed in (1, 2)]
    inside, outside = in_and_out_of_bag(models, "accuracy", 50, seed=3)
    assert inside.shape == outside.shape == (50, 2)
    for number, one in enumerate(models):
        assert np.array_equal(inside[:, number], resampled_scores(one, "accuracy", 50, 3))
    drawn = np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), size=50)
    right = models[0].truth == models[0].predicted
    assert outside[7, 0] == pytest.approx(right[drawn[7] == 0].mean())


def test_models_that_differ_by_chance_alone_lose_what_the_choice_gained():
    models = [predictions(0.9, seed, rows=200) for seed in range(10)]
    measured = [np.mean(one.truth == one.predicted) for one in models]
    winner = int(np.argmax(measured))
    found = corrected_score(models, winner, best, **BUDGET)
    assert max(measured) - np.mean(measured) > 0.02
    assert found.value == pytest.approx(np.mean(measured), abs=0.01)
    assert found.low < 0.9 < found.high
    assert corrected_score(models, winner, best, **BUDGET) == found


def test_a_clear_winner_loses_nothing():
    models = [predictions(0.98, 1, rows=500), predictions(0.6, 2, rows=500)]
    found, own = corrected_score(models, 0, best, **BUDGET), bootstrap_interval(models[0], **BUDGET)
    assert found.value == own.value
    assert (found.low, found.high) == pytest.approx((own.low, own.high), abs=0.005)


def test_a_clear_winner_loses_nothing_where_a_label_is_rare():
    """A third of the rows may hold hardly any of it: macro F1 of them alone is lower, and far apart."""
    rows = np.arange(300)
    truth = (rows % 33 == 0).astype(np.int64)
    answers = truth * (rows < 200) + (rows == 5)
    ids = tuple(map(str, rows))
    own, other = (Predictions("text-classification", ("no", "yes"), ids, truth, one) for one in (answers, 0 * truth))
    budget = {**BUDGET, "metric": "macro_f1"}
    corrected, measured = corrected_score([own, other], 0, best, **budget), bootstrap_interval(own, **budget)
    assert measured.value - 0.01 < corrected.value <= measured.value
    assert (corrected.low, corrected.high) == pytest.approx((measured.low, measured.high), abs=0.03)


def test_documents_are_left_out_whole():
    one = replace(predictions(0.9, 1, rows=40), documents=tuple(str(number // 4) for number in range(40)))
    _, outside = in_and_out_of_bag([one], "accuracy", 20, seed=0)
    drawn = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), size=20)
    right = (one.truth == one.predicted).reshape(10, 4)
    assert outside[5, 0] == pytest.approx(right[drawn[5] == 0].mean())


def test_models_for_other_rows_are_refused():
    with pytest.raises(InputError):
        corrected_score([predictions(0.9, 1), predictions(0.9, 1, first=5)], 0, best, **BUDGET)


def test_each_resample_chooses_by_the_rule_of_the_run(entry, measurement):
    slow, fast = (
        Candidate(entry(name), measurement(name, p50), entry(name).test, p50, ())
        for name, p50 in (("slow", 30.0), ("fast", 5.0))
    )
    pick = rule_of([slow, fast], SelectionConfig())
    near = np.array([[0.9, 0.899], [0.9, 0.898], [0.899, 0.9], [0.9, 0.9]])
    assert pick(near).tolist() == [1, 1, 1, 1]
    apart = np.array([[0.9, 0.86], [0.9, 0.93], [0.92, 0.9], [0.9, 0.9]])
    assert pick(apart).tolist() == [0, 1, 0, 0]
    dear = rule_of([fast, slow], SelectionConfig())
    assert dear(near[:, ::-1]).tolist() == [0, 0, 0, 0]


def test_predictions_of_one_model_are_its_own_score():
    one: Predictions = predictions(0.9, 1, rows=300)
    assert corrected_score([one, one], 0, best, **BUDGET).value == np.mean(one.truth == one.predicted)
