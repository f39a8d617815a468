"""What a learning curve says of more rows, on scores whose curve is known."""

from __future__ import annotations

import numpy as np
import pytest

from podium.evaluation.learning_curve import LearningCurve, fit
from podium.records import Reason

ROWS = (100.0, 200.0, 400.0, 700.0, 1000.0)


def true(rows: float, exponent: float = 0.5) -> float:
    return 0.95 - 1.5 * rows**-exponent


def scores(seed: int = 2, folds: int = 3, noise: float = 0.003, exponent: float = 0.5) -> list[list[float]]:
    """Of each point those of the folds, which differ in their level more than in anything else."""
    generator = np.random.default_rng(seed)
    levels = generator.normal(0, 0.02, size=folds)
    levels -= levels.mean()
    return [(true(rows, exponent) + levels + generator.normal(0, noise, size=folds)).tolist() for rows in ROWS]


def fitted(given: list[list[float]]) -> LearningCurve:
    found = fit(ROWS, given, 0.95, seed=1, highest_rows=3000.0)
    assert isinstance(found, LearningCurve), found
    return found


def refused(given: list[list[float]], rows: tuple[float, ...] = ROWS) -> Reason:
    found = fit(rows, given, 0.95, seed=1, highest_rows=3000.0)
    assert isinstance(found, Reason)
    return found


def test_the_curve_is_found_again() -> None:
    found = fitted(scores())
    for rows in (1000.0, 1500.0, 3000.0):
        interval = found.at(rows)
        assert interval.low < true(rows) < interval.high and interval.value == pytest.approx(true(rows), abs=0.01)
    gain = found.gain(1500.0, 3000.0)
    assert 0 < gain.low < true(3000.0) - true(1500.0) < gain.high < 0.04


def test_equal_arguments_give_equal_intervals() -> None:
    assert fitted(scores()).at(3000.0) == fitted(scores()).at(3000.0)


def test_the_level_of_a_fold_does_not_widen_the_gain() -> None:
    near = scores()
    far = [[score - 0.1 * fold for fold, score in enumerate(point)] for point in near]
    assert fitted(far).gain(1500.0, 3000.0).high == pytest.approx(fitted(near).gain(1500.0, 3000.0).high, abs=1e-6)


def test_further_rows_are_less_certain_and_few_held_out_rows_make_scores_so() -> None:
    found = fitted(scores())
    widths = [interval.high - interval.low for interval in (found.at(1000), found.at(3000), found.at(3000, error=0.02))]
    assert widths == sorted(widths) and widths[2] > 0.05


def test_no_score_is_above_one() -> None:
    high = [[min(score + 0.06, 1.0) for score in point] for point in scores(noise=0.001)]
    assert fitted(high).at(3000.0, error=0.05).high <= 1.0


def test_three_numbers_of_rows_are_too_few() -> None:
    reason = refused(scores()[:3], ROWS[:3])
    assert (reason.code, "4 numbers of rows, but there are 3" in reason.text) == ("TOO_FEW_POINTS", True)
    assert refused(scores()[:4], (10.0, 10.0, 20.0, 30.0)).code == "TOO_FEW_POINTS"


@pytest.mark.parametrize("level", [0.9, 1.0])
def test_a_flat_curve_is_not_extrapolated(level: float) -> None:
    flat = [[level, level, level]] * 5
    assert refused(flat).code == "NO_GAIN"
    noisy = np.random.default_rng(3).normal(0.9, 0.01, size=(5, 3)).tolist()
    assert "more rows are not shown to raise the score: from 100 to 1,000 rows" in refused(noisy).text


def test_a_curve_that_falls_is_not_extrapolated() -> None:
    given = scores(noise=0.001)
    given[4] = [score - 0.05 for score in given[4]]
    reason = refused(given)
    assert reason.code == "NOT_MONOTONE" and "at 700 rows" in reason.text and "at 1,000" in reason.text
