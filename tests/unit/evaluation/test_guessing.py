from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from podium.evaluation.guessing import beyond_guessing
from podium.evaluation.predictions import Predictions


def predictions(truth: object, predicted: object) -> Predictions:
    ids = tuple(str(row) for row in range(len(np.asarray(truth))))
    return Predictions("text-classification", ("a", "b", "c"), ids, np.asarray(truth), np.asarray(predicted))


def drawn(seed: int, rows: int, known: float) -> Predictions:
    """Answers that are right in a share `known` of the rows, and have nothing to do with the others."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(3, size=rows, p=[0.6, 0.3, 0.1])
    guesses = generator.choice(3, size=rows, p=[0.2, 0.5, 0.3])
    return predictions(truth, np.where(generator.random(rows) < known, truth, guesses))


@pytest.mark.slow
def test_answers_that_have_nothing_to_do_with_the_rows_are_rarely_called_better() -> None:
    found = [beyond_guessing(drawn(seed, 60, 0.0), "macro_f1", 0.95, seed)[0].low > 0 for seed in range(200)]
    assert sum(found) <= 12, "at most 6 % where 2.5 % are expected"


def test_a_model_that_knows_something_beats_guessing_with_enough_rows() -> None:
    difference, p_value = beyond_guessing(drawn(1, 300, 0.3), "macro_f1", 0.95, 1)
    assert difference.low > 0 and p_value < 0.05 and "permutation" in difference.method


def test_a_model_that_always_answers_alike_is_as_good_as_guessing() -> None:
    difference, p_value = beyond_guessing(predictions([0, 1, 2, 0], [0, 0, 0, 0]), "macro_f1", 0.95, 1)
    assert (difference.value, difference.low, difference.high, p_value) == (pytest.approx(0), 0, 0, 1)


def test_wrong_on_purpose_is_worse_than_guessing() -> None:
    truth = np.tile([0, 1], 100)
    assert beyond_guessing(predictions(truth, 1 - truth), "accuracy", 0.95, 1)[0].high < 0


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
def test_the_mark_is_the_mean_score_of_the_answers_in_any_order(metric: str) -> None:
    """All 24 orders of four answers, counted out."""
    from itertools import permutations

    truth, answers = [0, 1, 1, 2], [0, 1, 2, 2]
    score = {
        "macro_f1": lambda order: f1_score(truth, order, average="macro"),
        "accuracy": lambda order: float(np.mean(np.array(order) == truth)),
    }[metric]
    expected = np.mean([score([answers[row] for row in order]) for order in permutations(range(4))])
    difference, _ = beyond_guessing(predictions(truth, answers), metric, 0.95, 0)
    assert score(answers) - difference.value == pytest.approx(expected, abs=0.03)


def test_equal_seeds_give_equal_bounds() -> None:
    given = drawn(5, 80, 0.2)
    assert beyond_guessing(given, "macro_f1", 0.95, 3) == beyond_guessing(given, "macro_f1", 0.95, 3)
