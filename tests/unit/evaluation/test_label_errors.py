from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.evaluation.label_errors import calibrated, label_issues, suspects
from podium.evaluation.predictions import Predictions
from podium.tasks.base import LabelChoice


def noisy(rows: int, labels: int, noise: float, seed: int):
    """Labels of which a share is wrong, and probabilities of a model that knows nine rows of ten."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(labels, size=rows)
    wrong = draw.random(rows) < noise
    given_ = np.where(wrong, (truth + draw.integers(1, labels, size=rows)) % labels, truth)
    logits = draw.normal(0, 1, size=(rows, labels))
    knows = np.flatnonzero(draw.random(rows) < 0.9)
    logits[knows, truth[knows]] += 5
    powers = np.exp(logits)
    return given_, powers / powers.sum(axis=1, keepdims=True), wrong


@pytest.mark.parametrize(("rows", "labels"), [(1000, 2), (2000, 5), (5000, 20)])
def test_most_planted_errors_are_found_and_most_that_is_found_is_one(rows: int, labels: int) -> None:
    for seed in range(5):
        labels_given, probabilities, wrong = noisy(rows, labels, 0.05, seed)
        rows_found = [one.row for one in suspects(labels_given, probabilities)]
        right = wrong[rows_found].sum()
        assert right / len(rows_found) > 0.5
        assert right / wrong.sum() >= 0.5


def test_the_clearest_comes_first_with_both_labels() -> None:
    probabilities = np.array([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 20 + [[0.01, 0.99], [0.02, 0.98]])
    found = suspects([0] * 20 + [1] * 20 + [0, 0], probabilities)
    assert [(one.row, one.given, one.likely) for one in found] == [(40, 0, 1), (41, 0, 1)]
    assert (found[0].given_probability, found[0].likely_probability) == (0.01, 0.99)


def test_a_label_of_few_rows_is_not_known_well_enough() -> None:
    def found(few: int) -> int:
        probabilities = np.array([[0.9, 0.1]] * 40 + [[0.2, 0.8]] * (few - 5) + [[0.99, 0.01]] * 5)
        return len(suspects([0] * 40 + [1] * few, probabilities))

    assert found(19) == 0 and found(40) == 5


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 10_000))
def test_a_suspect_is_a_row_whose_best_label_is_another(labels: int, rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels_given, probabilities = draw.integers(labels, size=rows), draw.dirichlet([0.3] * labels, size=rows)
    found = suspects(labels_given, probabilities)
    assert len({one.row for one in found}) == len(found)
    for one in found:
        assert (labels_given[one.row], probabilities[one.row].argmax()) == (one.given, one.likely)
        assert one.given != one.likely


def test_a_model_that_agrees_with_every_label_suspects_none() -> None:
    assert suspects([0, 1, 2], np.eye(3)) == []


def predictions(given_, probabilities: np.ndarray) -> Predictions:
    labels = tuple("abcdefgh"[: probabilities.shape[1]])
    ids = tuple(f"rows.csv:{row}" for row in range(len(given_)))
    return Predictions("text-classification", labels, ids, given_, probabilities.argmax(axis=1), probabilities)


def test_models_are_averaged_and_those_that_agree_are_named() -> None:
    labels_given, one, wrong = noisy(2000, 4, 0.05, 1)
    other = noisy(2000, 4, 0.0, 1)[1][np.random.default_rng(2).permutation(2000)]  # knows nothing of the rows
    issues, check = label_issues({"one": predictions(labels_given, one), "lost": predictions(labels_given, other)}, 13)
    found = [int(issue.row.partition(":")[2]) for issue in issues]
    assert wrong[found].mean() > 0.5 and wrong[found].sum() >= wrong.sum() / 2
    assert all(issue.suggested != issue.given and "one" in issue.agreeing for issue in issues[:20])
    assert check.recall is not None and check.recall > 0.5
    assert issues == sorted(issues, key=lambda item: item.given_probability - item.suggested_probability)


def test_rows_of_models_are_paired_by_id() -> None:
    labels_given, one, _ = noisy(500, 3, 0.05, 3)
    alone = predictions(labels_given, one)
    backwards = predictions(labels_given, one).aligned_to(alone.ids[::-1])
    assert label_issues({"one": alone}, 1)[0] == [
        issue.model_copy(update={"agreeing": ("one",)})
        for issue in label_issues({"one": alone, "same": backwards}, 1)[0]
    ]


@given(st.integers(2, 4), st.integers(5, 60), st.floats(0.2, 5), st.integers(0, 10_000))
def test_calibration_makes_the_given_labels_likelier(labels: int, rows: int, power: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    given_, drawn = draw.integers(labels, size=rows), draw.dirichlet([2.0] * labels, size=rows)
    raw = drawn**power / (drawn**power).sum(axis=1, keepdims=True)
    found = calibrated(LabelChoice(given_, raw, ("",) * labels))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    before, after = (np.log(each[np.arange(rows), given_]).mean() for each in (raw, found))
    assert after >= before - 1e-4


def test_each_label_of_several_is_a_choice_of_its_own() -> None:
    truth = np.zeros((200, 2), dtype=np.int8)
    truth[:100, 0] = truth[50:150, 1] = 1
    likely = np.where(truth == 1, 0.9, 0.1)
    truth[0, 0], truth[199, 1] = 0, 1
    given_ = Predictions("multi-label", ("x", "y"), tuple(map(str, range(200))), truth, (likely > 0.5) * 1, likely)
    issues, _ = label_issues({"one": given_}, 1)
    assert {(issue.row, issue.given, issue.suggested) for issue in issues} == {
        ("0", "not x", "x"),
        ("199", "y", "not y"),
    }
