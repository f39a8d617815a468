"""Statistics of timings, as far as the number of samples supports them: pure functions.

A quantile is reported only where at least `TAIL` samples are expected on either side of it, so p50 needs
20 samples, p90 needs 100, p95 needs 200 and p99 needs 1000. With fewer, a single outlier changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from podium.errors import BenchmarkError
from podium.records import Figure, Interval

TAIL = 10
"""Samples that must be expected beyond a quantile, on the thinner side, before it is reported."""

CONFIDENCE = 0.95
"""Of every interval of a measurement."""

STABLE_CV = 0.05
"""Largest coefficient of variation between repetitions of a stable measurement."""

_OUTSIDE = (1 - CONFIDENCE) / 2
_NS_PER_MS = 1e6
_NS_PER_S = 1e9
_BOOTSTRAP_RESAMPLES = 2000


def samples_needed(q: float) -> int:
    """Fewest samples that support the quantile `q`: the smallest n with `n * min(q, 1 - q) >= TAIL`."""
    return math.ceil(round(TAIL / min(q, 1 - q), 6))


def supported(quantiles: Sequence[float], samples: int) -> tuple[float, ...]:
    """Those of `quantiles` that `samples` samples support."""
    return tuple(q for q in quantiles if samples >= samples_needed(q))


def latency_quantile(samples_ns: Sequence[int], q: float) -> Interval:
    """A quantile, in milliseconds, of latencies in nanoseconds, with a distribution-free confidence interval.

    The estimate is median-unbiased (Hyndman & Fan 1996, "Sample quantiles in statistical packages", definition
    8). The bounds are order statistics: the number of samples below the true quantile is binomial(n, q) whatever
    the distribution, so the ranks are that binomial's quantiles (David & Nagaraja 2003, "Order Statistics",
    section 7.1; Le Boudec 2010, "Performance Evaluation of Computer and Communication Systems", theorem 2.1).
    Coverage is at least `CONFIDENCE` for independent samples. Raises BenchmarkError where there are too few.
    """
    from scipy.stats import binom

    count, needed = len(samples_ns), samples_needed(q)
    if count < needed:
        raise BenchmarkError(
            f"a quantile needs {TAIL} samples beyond it: p{100 * q:g} needs {needed}, but got {count}; raise "
            "benchmark.samples, benchmark.repetitions or benchmark.max_seconds"
        )
    low, high = int(binom.ppf(_OUTSIDE, count, q)), int(binom.ppf(1 - _OUTSIDE, count, q)) + 1
    ordered = np.sort(np.asarray(samples_ns, dtype=np.float64)) / _NS_PER_MS
    return Interval(
        value=float(np.quantile(ordered, q, method="median_unbiased")),
        low=float(ordered[low - 1]),
        high=float(ordered[high - 1]),
        confidence=CONFIDENCE,
        method="order statistics, as if samples were independent",
    )


def quantile_figures(samples_ns: Sequence[int], quantiles: Sequence[float], title: str = "") -> tuple[Figure, ...]:
    """A figure in milliseconds for each of `quantiles` that the samples support; `title` goes before `p50`."""
    found = []
    for q in supported(quantiles, len(samples_ns)):
        shown = f"{title} p{100 * q:g}".strip()
        found.append(Figure.of(f"{shown.replace(' ', '_')}_ms", shown, "ms", latency_quantile(samples_ns, q)))
    return tuple(found)


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of one non-negative figure per repetition with Student's t interval, cut off at zero.

    Raises BenchmarkError for fewer than two values, or one that is negative or not finite.
    """
    from scipy.special import stdtrit

    numbers = _checked(values, at_least=2)
    mean, error = float(numbers.mean()), float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    margin = float(stdtrit(len(numbers) - 1, 1 - _OUTSIDE)) * error
    return Interval(
        value=mean,
        low=max(0.0, mean - margin),
        high=mean + margin,
        confidence=CONFIDENCE,
        method=f"Student t over {len(numbers)} repetitions",
    )


def welch_margin(parts: Sequence[tuple[float, float]]) -> float:
    """Half the width of Student's interval of a sum, with the degrees of freedom of Welch and Satterthwaite.

    Args:
        parts: variance of each of its independent parts, and of how many values it was estimated.
    """
    from scipy.special import stdtrit

    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(variance**2 / max(1, count - 1) for variance, count in parts)
    return float(stdtrit(freedom, 1 - _OUTSIDE)) * math.sqrt(total)


def throughput(batch_ns: Sequence[Sequence[int]], batch_size: int) -> Interval:
    """Rows per second from the times of full batches of each repetition.

    Of a single repetition it is bootstrapped over the batches (percentile method, Efron 1979), which misses what varies
    between processes. Raises BenchmarkError where that has fewer than two batches, or where a time is negative.
    """
    if len(batch_ns) > 1:
        return mean_interval([batch_rate(times, batch_size) for times in batch_ns])
    seconds = _checked(batch_ns[0], at_least=2) / _NS_PER_S
    draws = np.random.default_rng(0).choice(seconds, size=(_BOOTSTRAP_RESAMPLES, len(seconds)))
    low, high = np.quantile(batch_size / draws.mean(axis=1), [_OUTSIDE, 1 - _OUTSIDE])
    rate = batch_size / float(seconds.mean())
    return Interval(
        value=rate,
        low=min(rate, float(low)),
        high=max(rate, float(high)),
        confidence=CONFIDENCE,
        method=f"bootstrap over {len(seconds)} batches of one repetition",
    )


def batch_rate(batch_ns: Sequence[int], batch_size: int) -> float:
    """Rows per second over all timed batches of one repetition."""
    return batch_size * len(batch_ns) / (sum(batch_ns) / _NS_PER_S)


def coefficient_of_variation(values: Sequence[float]) -> float:
    """Sample standard deviation over mean, without unit; 0 for a single value. A mean of 0 is a BenchmarkError."""
    numbers = _checked(values, at_least=1)
    if numbers.mean() == 0:
        raise BenchmarkError("a coefficient of variation needs a mean above zero, but all values are 0")
    return float(numbers.std(ddof=1) / numbers.mean()) if len(numbers) > 1 else 0.0


def instabilities(levels: Sequence[Mapping[str, float]], unsettled: Sequence[int]) -> tuple[str, ...]:
    """Why a measurement is unstable, one sentence each; empty when it is stable.

    It is stable when it has at least two repetitions, the coefficient of variation between repetitions of each level
    (median latency, throughput) is at most `STABLE_CV`, and every repetition's warm-up settled.

    Args:
        levels: figures of each repetition by a name for people; the same names for all.
        unsettled: numbers of the repetitions whose warm-up did not settle.
    """
    found = []
    if len(levels) < 2:
        found.append("one repetition cannot show whether repetitions agree: set benchmark.repetitions to 3 or more")
    for name in levels[0]:
        variation = coefficient_of_variation([one[name] for one in levels])
        if variation > STABLE_CV:
            found.append(
                f"{name} varies by {variation:.1%} between repetitions, more than {STABLE_CV:.0%}: "
                "something else was using the machine, or its clock speed changed"
            )
    if unsettled:
        numbers = ", ".join(str(number) for number in unsettled)
        found.append(f"the warm-up of repetition {numbers} did not settle in its share of benchmark.max_seconds")
    return tuple(found)


def _checked(values: Sequence[float], at_least: int) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < at_least:
        raise BenchmarkError(f"at least {at_least} values are needed, but got {len(numbers)}")
    if not np.all(np.isfinite(numbers)) or numbers.min() < 0:
        raise BenchmarkError(f"timings must be finite and not negative, but got {list(values)}")
    return numbers
