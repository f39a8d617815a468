from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.benchmarking.statistics import (
    STABLE_CV,
    TAIL,
    coefficient_of_variation,
    instabilities,
    latency_quantile,
    mean_interval,
    samples_needed,
    supported,
    throughput,
)
from podium.errors import BenchmarkError


def levels(medians: list[float], rates: list[float]) -> list[dict[str, float]]:
    return [{"median latency": one, "throughput": two} for one, two in zip(medians, rates, strict=True)]


quantiles = st.floats(0.01, 0.99)
latencies = st.lists(st.integers(1, 10**10), min_size=100, max_size=400)
times = st.lists(st.floats(1e-6, 1e4), min_size=2, max_size=20)


@pytest.mark.parametrize(
    ("q", "needed"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10_000), (0.1, 100)]
)
def test_samples_needed_is_ten_beyond_the_quantile(q: float, needed: int) -> None:
    assert samples_needed(q) == needed


@given(quantiles)
def test_samples_needed_is_the_smallest_that_leaves_the_tail(q: float) -> None:
    needed = samples_needed(q)
    assert needed * min(q, 1 - q) >= TAIL - 1e-4
    assert (needed - 1) * min(q, 1 - q) < TAIL


def test_supported_by_three_hundred_samples() -> None:
    assert supported((0.5, 0.9, 0.95, 0.99), 300) == (0.5, 0.9, 0.95)


def test_an_unsupported_quantile_is_refused_with_the_number_needed() -> None:
    with pytest.raises(BenchmarkError, match=r"p99 needs 1000, but got 999"):
        latency_quantile(range(1, 1000), 0.99)
    assert latency_quantile(range(1, 1001), 0.99).low > 0


def test_median_of_a_known_sample() -> None:
    # n = 100, 95 %: the ranks 40 and 61 of the published table (Le Boudec 2010, appendix A).
    found = latency_quantile([i * 1_000_000 for i in range(1, 101)], 0.5)
    assert (found.value, found.low, found.high) == (pytest.approx(50.5), 40.0, 61.0)


@given(latencies, st.sampled_from([0.5, 0.75, 0.9]), st.randoms(use_true_random=False))
def test_quantile_lies_in_its_interval_whatever_the_order(samples: list[int], q: float, random: object) -> None:
    found = latency_quantile(samples, q)
    assert found.low <= found.value <= found.high
    assert min(samples) / 1e6 <= found.low
    assert found.high <= max(samples) / 1e6
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert latency_quantile(shuffled, q) == found


@given(latencies)
def test_quantiles_grow_with_q(samples: list[int]) -> None:
    median, p90 = latency_quantile(samples, 0.5), latency_quantile(samples, 0.9)
    assert median.value <= p90.value
    assert median.high <= p90.high


@pytest.mark.parametrize(("q", "count"), [(0.5, 20), (0.5, 100), (0.9, 100), (0.95, 300)])
def test_order_statistics_cover_the_true_quantile(q: float, count: int) -> None:
    random = np.random.default_rng(7)
    truth = float(np.quantile(random.lognormal(3, 1, 2_000_000), q))
    draws = 1500
    found = [latency_quantile(random.lognormal(3, 1, count) * 1e6, q) for _ in range(draws)]  # type: ignore[arg-type]
    covered = np.mean([item.low <= truth <= item.high for item in found])
    noise = 3 * math.sqrt(0.95 * 0.05 / draws)
    assert covered > 0.95 - noise
    assert covered < 0.985, "far wider than asked for would hide differences"


@pytest.mark.parametrize("repetitions", [2, 3, 10])
def test_student_interval_covers_the_true_mean(repetitions: int) -> None:
    random = np.random.default_rng(11)
    found = [mean_interval(random.normal(100, 5, repetitions)) for _ in range(1500)]  # type: ignore[arg-type]
    covered = np.mean([item.low <= 100 <= item.high for item in found])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_student_interval_of_known_values() -> None:
    found = mean_interval([9.0, 10.0, 11.0])
    half = 4.302653 / math.sqrt(3)  # t quantile for 2 degrees of freedom
    assert (found.value, found.low, found.high) == pytest.approx((10, 10 - half, 10 + half), rel=1e-6)
    assert found.method == "Student t over 3 repetitions"


@given(times)
def test_mean_interval_holds_its_value_and_stays_non_negative(values: list[float]) -> None:
    found = mean_interval(values)
    assert 0 <= found.low <= found.value <= found.high


@given(times, st.integers(1, 64))
def test_a_throughput_holds_its_value(seconds: list[float], batch: int) -> None:
    found = throughput([[round(1e9 * one) for one in seconds]], batch)
    assert 0 < found.low <= found.value <= found.high
    assert found.value == pytest.approx(batch * len(seconds) / sum(seconds), rel=1e-3)
    assert found == throughput([[round(1e9 * one) for one in seconds]], batch), "seeded, so the same again"


def test_bootstrap_covers_the_true_rate() -> None:
    random = np.random.default_rng(3)
    found = [throughput([random.gamma(16, 1e9 / 16, 40)], 8) for _ in range(400)]  # type: ignore[arg-type]
    assert np.mean([item.low <= 8 <= item.high for item in found]) == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_an_interval_needs_two_values(values: list[float]) -> None:
    with pytest.raises(BenchmarkError, match="at least 2 values"):
        mean_interval(values)
    with pytest.raises(BenchmarkError, match="at least 2 values"):
        throughput([values], 8)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_impossible_timings_are_refused(bad: float) -> None:
    with pytest.raises(BenchmarkError, match="finite and not negative"):
        mean_interval([1.0, bad])


def test_coefficient_of_variation() -> None:
    assert coefficient_of_variation([9.0, 10.0, 11.0]) == pytest.approx(0.1)
    assert coefficient_of_variation([5.0]) == 0.0
    with pytest.raises(BenchmarkError, match="above zero"):
        coefficient_of_variation([0.0, 0.0])


@given(times, st.floats(0.01, 100))
def test_coefficient_of_variation_has_no_unit(values: list[float], scale: float) -> None:
    scaled = coefficient_of_variation([value * scale for value in values])
    assert scaled == pytest.approx(coefficient_of_variation(values), rel=1e-6, abs=1e-9)


def test_equal_repetitions_that_settled_are_stable() -> None:
    assert instabilities(levels([10.0, 10.2, 9.9], [100, 101, 99]), []) == ()


def test_each_breach_of_the_rule_is_named() -> None:
    (latency,) = instabilities(levels([10.0, 12.0, 10.0], [100, 100, 100]), [])
    assert "median latency varies by 10.8%" in latency
    (rate,) = instabilities(levels([10.0, 10.0, 10.0], [100, 120, 100]), [])
    assert "throughput varies by 10.8%" in rate
    (warm,) = instabilities(levels([10.0, 10.0, 10.0], [100, 100, 100]), [0, 2])
    assert "repetition 0, 2 did not settle" in warm
    (single,) = instabilities(levels([10.0], [100]), [])
    assert "one repetition" in single


@given(st.floats(1, 100), st.floats(0, 3 * STABLE_CV))
def test_the_threshold_is_on_the_coefficient_of_variation(mean: float, spread: float) -> None:
    values = [mean * (1 - spread), mean, mean * (1 + spread)]
    assert bool(instabilities(levels(values, [1, 1, 1]), [])) == (coefficient_of_variation(values) > STABLE_CV)
