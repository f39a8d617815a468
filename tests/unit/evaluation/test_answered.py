from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from podium.errors import InputError
from podium.evaluation.answered import of_predictions
from podium.evaluation.predictions import Predictions

ABOUT = {"name": "r1", "model": "m", "source": "run r1"}


def values(predictions: Predictions, positive: str = "") -> dict[str, float]:
    return {one.name: one.sums.total() for one in of_predictions(predictions, positive, **ABOUT).metrics}


def test_macro_scores_are_those_of_scikit_learn(classified) -> None:
    one = classified()
    found = values(one)
    options = {"average": "macro", "zero_division": 0}
    assert found["macro_precision"] == pytest.approx(precision_score(one.truth, one.predicted, **options))
    assert found["macro_recall"] == pytest.approx(recall_score(one.truth, one.predicted, **options))


@pytest.mark.parametrize("positive", ["business", "tech"])
def test_scores_of_a_positive_label_are_those_of_scikit_learn(classified, positive: str) -> None:
    one = classified()
    place = one.labels.index(positive)
    truth, predicted = one.truth == place, one.predicted == place
    found = values(one, positive)
    assert found["precision"] == pytest.approx(precision_score(truth, predicted))
    assert found["recall"] == pytest.approx(recall_score(truth, predicted))
    assert found["f1"] == pytest.approx(f1_score(truth, predicted))


def test_no_answer_is_the_wrong_answer() -> None:
    one = Predictions("text-classification", ("no", "yes"), tuple("abcd"), np.array([1, 1, 0, 0]), [1, -1, -1, 0])
    found = values(one, "yes")
    assert found["accuracy"] == 0.5
    assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
    answered = of_predictions(one, "yes", **ABOUT)
    assert answered.unanswered == 2
    assert answered.right.tolist() == [True, False, False, True]


def test_pairs_of_text_and_label() -> None:
    truth, predicted = np.array([[1, 1], [0, 1], [1, 0]]), np.array([[1, 0], [0, 1], [-1, -1]])
    found = values(Predictions("multi-label", ("a", "b"), tuple("abc"), truth, predicted))
    assert found["micro_precision"] == pytest.approx(2 / 3)
    assert found["micro_recall"] == pytest.approx(2 / 4)


def test_a_positive_label_must_be_one_of_the_labels_of_rows_with_one(classified, tagged) -> None:
    with pytest.raises(InputError, match="must be one of the labels business, sport, tech, but got 'spork'; did you"):
        of_predictions(classified(), "spork", **ABOUT)
    with pytest.raises(InputError, match="must go with one label per row, but r1 is of named entity recognition"):
        of_predictions(tagged(), "PER", **ABOUT)
