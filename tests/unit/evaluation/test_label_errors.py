from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.evaluation.label_errors import suspects


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
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10 + [[0.01, 0.99], [0.02, 0.98]])
    found = suspects([0] * 10 + [1] * 10 + [0, 0], probabilities)
    assert [(one.row, one.given, one.likely) for one in found] == [(20, 0, 1), (21, 0, 1)]
    assert (found[0].given_probability, found[0].likely_probability) == (0.01, 0.99)


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
