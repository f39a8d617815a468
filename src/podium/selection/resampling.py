"""Latency quantiles on resamples of their measurement: pure functions.

Samples of one process are not independent: they share its memory layout, its thread placement and the state of the
machine meanwhile. Repetitions are independent, so they are resampled first, and then the samples within each: the
hierarchical bootstrap of Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8,
which Kalibera and Jones, Rigorous Benchmarking in Reasonable Time (ISMM 2013), use for benchmarks.

The rows of a repetition are no random sample: they are drawn from strata of similar length
(`podium.benchmarking.sampling`), and are the same for all models of a data set. So the lengths stay and the noise is
resampled: each sample is replaced by one of similar length, scaled by the ratio of the times that a line through the
medians of the strata expects for the two lengths (a bootstrap of a stratified design by its residuals, sections 3.2 and
6.2.3). Otherwise the spread of the lengths, which is the same in every repetition, would count as noise.

Repetitions that two models took in turns, on the same rows, are resampled as pairs: equal seeds pick the same ones, so
that drift common to both cancels in the ratio. The samples within them stay. The pairs contain all the noise there is,
and resampling within them would add the noise of single samples, most of it, a second time (section 3.8, strategy 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1000
STRATUM = 5
"""Samples of similar length among which one is drawn."""

_BLOCK = 100
"""Resamples held in memory at once."""


def quantile_draws(
    repetitions: Sequence[tuple[Sequence[int], Sequence[int]]],
    quantiles: Sequence[float],
    resamples: int = RESAMPLES,
    seed: int = 0,
    *,
    whole: bool = False,
) -> Floats:
    """Latency quantiles of all repetitions together, on each resample.

    Args:
        repetitions: latencies and input lengths of the samples of each.
        whole: whether the samples of a repetition stay as they are.

    Returns:
        Shape (resamples, quantiles), in the unit of the latencies, by the median-unbiased estimate that
        `podium.benchmarking.statistics.latency_quantile` reports.
    """
    ordered = [_in_strata(latencies, lengths) for latencies, lengths in repetitions]
    picks = repetition_picks(len(repetitions), resamples, seed)
    random = np.random.default_rng(seed + 1)
    found = np.empty((resamples, len(quantiles)))
    for block in np.array_split(np.arange(resamples), math.ceil(resamples / _BLOCK)):
        chosen = [[ordered[number] for number in picks[draw]] for draw in block]
        drawn = [_whole(some) if whole else _drawn(some, random) for some in chosen]
        counts = np.array([len(samples) for samples in drawn])
        for count in np.unique(counts):
            alike = np.flatnonzero(counts == count)
            stacked = np.stack([drawn[place] for place in alike])
            found[block[alike]] = np.quantile(stacked, quantiles, axis=1, method="median_unbiased").T
    return found


def mean_draws(values: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Mean of one figure per repetition on each resample, shape (resamples,).

    With an equal seed the repetitions of resample k are those of `quantile_draws`.
    """
    means: Floats = np.asarray(values, dtype=np.float64)[repetition_picks(len(values), resamples, seed)].mean(axis=1)
    return means


def widened(draws: Floats, value: float, repetitions: int) -> Floats:
    """Draws moved to `value`, and wide enough for few repetitions.

    A bootstrap of n values has a variance that is (n - 1) / n too small on average (Hesterberg, What Teachers Should
    Know About the Bootstrap, The American Statistician 69, 2015, section 3.2).
    """
    wide: Floats = value + math.sqrt(repetitions / (repetitions - 1)) * (draws - draws.mean())
    return wide


def repetition_picks(repetitions: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Numbers of the repetitions in each resample, shape (resamples, repetitions)."""
    return np.random.default_rng(seed).integers(repetitions, size=(resamples, repetitions))


class _Repetition(NamedTuple):
    """Samples in order of length: what each is expected to take, its share of that, and its stratum.

    The stratum is given by the place of its first sample and by its size.
    """

    expected: Floats
    noise: Floats
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


def _drawn(repetitions: Sequence[_Repetition], random: np.random.Generator) -> Floats:
    """Latencies of some repetitions, each sample with the noise of one of its stratum."""
    samples = [
        one.expected * one.noise[one.starts + (random.random(len(one.noise)) * one.sizes).astype(np.int64)]
        for one in repetitions
    ]
    return np.concatenate(samples)


def _whole(repetitions: Sequence[_Repetition]) -> Floats:
    return np.concatenate([one.expected * one.noise for one in repetitions])


def _in_strata(latencies: Sequence[int], lengths: Sequence[int]) -> _Repetition:
    order = np.argsort(lengths, kind="stable")
    times, sizes = np.asarray(latencies, dtype=np.float64)[order], np.asarray(lengths, dtype=np.float64)[order]
    edges = np.linspace(0, len(order), max(1, len(order) // STRATUM) + 1).astype(np.int64)
    expected = _line(
        [float(np.median(part)) for part in np.split(sizes, edges[1:-1])],
        [float(np.median(part)) for part in np.split(times, edges[1:-1])],
        sizes,
    )
    counts = np.diff(edges)
    return _Repetition(expected, times / expected, np.repeat(edges[:-1], counts), np.repeat(counts, counts))


def _line(lengths: Sequence[float], times: Sequence[float], at: Floats) -> Floats:
    """The least-squares line through some points; level where it would fall or where all lengths are the same."""
    slope = float(np.polyfit(lengths, times, 1)[0]) if np.ptp(lengths) > 0 else 0.0
    middle, level = float(np.mean(lengths)), float(np.mean(times))
    line: Floats = np.maximum(level + max(0.0, slope) * (at - middle), min(times) / 2)
    return line
