from __future__ import annotations

import math

import numpy as np
import pytest

from podium.errors import InputError
from podium.evaluation.metrics import all_metrics, details, score
from podium.evaluation.predictions import Predictions
from podium.tasks import TASKS


def classes(truth, predicted, probabilities=None):
    ids = tuple(map(str, range(len(truth))))
    return Predictions("text-classification", ("x", "y", "z"), ids, truth, predicted, probabilities)


def sentence(truth, predicted):
    return Predictions("ner", ("O",), ("0",), [truth.split()], [predicted.split()])


def labelled(truth, predicted):
    return Predictions("multi-label", ("x", "y"), ("0", "1"), np.array(truth), np.array(predicted))


def test_classification_by_hand():
    given = classes([0, 0, 1, 1], [0, 1, 1, 1], [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 1, 0]])
    assert all_metrics(given) == pytest.approx(
        {"accuracy": 3 / 4, "macro_f1": (2 / 3 + 4 / 5) / 2, "log_loss": math.log(2) / 4}
    )


def test_log_loss_needs_probabilities():
    given = classes([0, 1], [0, 1])
    assert set(all_metrics(given)) == {"accuracy", "macro_f1"}
    with pytest.raises(InputError, match="log_loss"):
        score(given, "log_loss")


def test_a_wrong_boundary_is_a_wrong_entity():
    given = sentence("B-PER I-PER O B-LOC", "B-PER O O B-LOC")
    assert all_metrics(given) == pytest.approx({"f1": 0.5, "precision": 0.5, "recall": 0.5, "token_accuracy": 0.75})


def test_conlleval_opens_an_entity_at_a_bare_inside_tag():
    assert score(sentence("B-PER I-PER O", "I-PER I-PER O"), "f1") == 1


@pytest.mark.filterwarnings("error")
def test_nothing_found_scores_zero():
    assert score(sentence("B-PER O", "O O"), "f1") == 0
    assert score(sentence("O O", "O O"), "f1") == 0


def test_every_metric_a_study_may_maximise_is_known(classified, tagged):
    for task, given in (("text-classification", classified()), ("ner", tagged())):
        assert set(TASKS.get(task).objectives) <= set(all_metrics(given))


def test_details_of_classes_keep_the_order_of_labels():
    found = details(classes(np.array([0, 0, 1]), np.array([0, 1, 1])))
    assert found["labels"] == ["x", "y", "z"]
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found["scores"]["x"] == pytest.approx({"precision": 1, "recall": 0.5, "f1": 2 / 3, "support": 2})
    assert found["scores"]["z"]["support"] == 0


def test_details_of_entities():
    found = details(sentence("B-PER I-PER O B-LOC", "B-PER O O B-LOC"))
    assert found["scores"]["LOC"] == {"precision": 1, "recall": 1, "f1": 1, "support": 1}
    assert found["scores"]["PER"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_details_are_plain_json(classified, tagged):
    import json

    for given in (classified(), tagged()):
        assert json.loads(json.dumps(details(given))) == details(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (classes([0, 1, 1], [1, 1, 1]), "predicts one class only, 'y'"),
        (classes([0, 1, 1], [-1, 1, 1]), "predicts one class only, 'y'"),
        (classes([1, 1], [1, 1]), None),
        (classes([0, 1], [1, 0]), None),
        (classes([0, 1], [-1, -1]), None),
        (labelled([[1, 0], [0, 1]], [[0, 0], [0, 0]]), "predicts no label for any text"),
        (labelled([[1, 0], [0, 1]], [[1, 1], [1, 1]]), "predicts the same labels for every text, x, y"),
        (labelled([[1, 0], [0, 1]], [[1, 0], [0, 0]]), None),
        (sentence("B-PER O", "O O"), "gives every word the tag 'O'"),
        (sentence("B-PER O", "O B-PER"), None),
        (sentence("O O", "O O"), None),
    ],
)
def test_one_answer_to_everything_is_said(given, said):
    assert details(given).get("only_answer") == said
