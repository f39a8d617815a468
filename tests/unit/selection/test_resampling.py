"""Latency quantiles on resamples: their spread is that of repetitions, whatever the rows' lengths."""

from __future__ import annotations

import numpy as np
import pytest

from podium.benchmarking.scenarios.latency import LatencySamples
from podium.selection.resampling import mean_draws, quantile_draws, repetition_picks, widened
from tests.unit.selection.simulated import repetitions


def pairs(seed: int, **changes: float) -> list[tuple[list[int], list[int]]]:
    found = [one.of("latency", LatencySamples) for one in repetitions(seed, **changes)]
    return [(one.latency_ns, one.tokens) for one in found]


def test_equal_arguments_give_equal_draws_of_the_shape_asked_for() -> None:
    first, again = (quantile_draws(pairs(1), [0.5, 0.9], resamples=50) for _ in range(2))
    assert first.shape == (50, 2)
    assert np.array_equal(first, again)
    assert (first[:, 0] < first[:, 1]).all()


def test_the_spread_of_lengths_is_not_taken_for_noise() -> None:
    """A median of rows drawn at random would vary by a tenth."""
    draws = quantile_draws(pairs(1, spread=0.0), [0.5], resamples=200)[:, 0]
    assert draws.std() / draws.mean() < 0.02


def test_the_spread_is_that_of_the_repetitions() -> None:
    spreads = [
        draws.std() / draws.mean()
        for seed in range(6)
        for draws in [quantile_draws(pairs(seed, spread=0.1, count=5), [0.5], resamples=200)[:, 0]]
    ]
    assert np.mean(spreads) == pytest.approx(0.1 / np.sqrt(5), rel=0.4)


def test_equal_lengths_and_few_samples_can_be_resampled() -> None:
    draws = quantile_draws([([100, 110, 120], [7, 7, 7]), ([90, 100], [7, 7])], [0.5], resamples=20)
    assert ((draws >= 80) & (draws <= 130)).all()


def test_repetitions_can_be_kept_whole() -> None:
    found = [([100, 120, 110], [7, 9, 8]), ([90, 200], [7, 30])]
    draws = quantile_draws(found, [0.5], resamples=20, whole=True)[:, 0]
    picks = repetition_picks(2, 20, 0)
    expected = [np.median(np.concatenate([found[number][0] for number in draw])) for draw in picks]
    assert draws == pytest.approx(expected)


def test_repetitions_are_the_same_for_every_quantity() -> None:
    values = np.array([1.0, 10.0, 100.0])
    expected = values[repetition_picks(3, 40, 0)].mean(axis=1)
    assert np.array_equal(mean_draws(values, resamples=40), expected)


def test_few_repetitions_are_made_up_for() -> None:
    draws = np.array([1.0, 2.0, 3.0])
    wide = widened(draws, 10.0, 2)
    assert wide.mean() == pytest.approx(10.0)
    assert wide.std() == pytest.approx(draws.std() * np.sqrt(2))
