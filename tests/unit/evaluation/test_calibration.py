from __future__ import annotations

import numpy as np
import pytest

from podium.evaluation.calibration import BINS, calibration, calibration_error, proportion
from podium.evaluation.predictions import Predictions

LABELS = ("no", "yes")


def binary(rows: int, power: float, seed: int = 0, silent: int = 0) -> Predictions:
    """Labels are drawn from probabilities, which the model gives to a power: above 1 it is too sure."""
    draw = np.random.default_rng(seed)
    true = draw.uniform(0.02, 0.98, rows)
    truth = (draw.random(rows) < true).astype(np.int64)
    odds = (true / (1 - true)) ** power
    probability = np.column_stack([1 / (1 + odds), odds / (1 + odds)])
    predicted = probability.argmax(axis=1)
    probability[:silent], predicted[:silent] = 0, -1
    return Predictions("text-classification", LABELS, tuple(map(str, range(rows))), truth, predicted, probability)


def by_hand(confidence: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == one].mean() - right[bins == one].mean()) * (bins == one).mean() for one in set(bins)]
    return sum(gaps)


@pytest.mark.parametrize("positive", [None, 1])
def test_the_error_is_the_mean_distance_of_confidence_and_accuracy(positive: int | None) -> None:
    one = binary(500, 2.0)
    assert one.probabilities is not None
    likely = one.probabilities.max(axis=1) if positive is None else one.probabilities[:, 1]
    right = one.truth == one.predicted if positive is None else one.truth == 1
    assert calibration_error(one, positive).total() == pytest.approx(by_hand(likely, right))


def test_of_several_labels_every_pair_counts() -> None:
    draw = np.random.default_rng(1)
    given = draw.random((200, 3))
    truth = (draw.random((200, 3)) < given).astype(int)
    one = Predictions("multi-label", ("a", "b", "c"), tuple(map(str, range(200))), truth, given > 0.5, given)
    assert calibration_error(one, None).total() == pytest.approx(by_hand(given.ravel(), truth.ravel()))
    found = calibration(one, None, 0.95, 0)
    assert found is not None
    assert found.count == 600


def test_only_a_model_that_is_too_sure_has_an_error_beyond_chance() -> None:
    for power, beyond in ((1.0, False), (3.0, True)):
        one = binary(2000, power, seed=4)
        found = calibration(one, 1, 0.95, 0)
        assert found is not None
        assert (calibration_error(one, 1).total() > found.expected.high) == beyond


def test_rows_without_an_answer_are_left_out_and_counted() -> None:
    one = binary(300, 1.0, silent=50)
    found = calibration(one, None, 0.95, 0)
    assert found is not None
    assert (found.count, found.left_out) == (250, 50)
    assert sum(part.count for part in found.curve) == 250
    assert calibration(binary(10, 1.0, silent=10), None, 0.95, 0) is None
    assert calibration_error(binary(10, 1.0, silent=10), None).total() == 0


def test_a_share_has_an_interval_within_0_and_1() -> None:
    found = proportion(0, 10, 0.95)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(0.2775, abs=1e-4)
