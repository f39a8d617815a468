"""Times that were taken in turns, and how much slower one side of them is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from podium.benchmarking.statistics import CONFIDENCE
from podium.records import Interval, Observer

_RESAMPLES = 2000


def slowdown(tool: str, unprofiled: Sequence[float], profiled: Sequence[float]) -> Observer:
    """What a tool costs, from seconds of iterations without it and with it: the ratio of the medians, bootstrapped."""
    random = np.random.default_rng(0)
    sides = [np.asarray(one, dtype=np.float64) for one in (profiled, unprofiled)]
    draws = [np.median(random.choice(one, size=(_RESAMPLES, len(one))), axis=1) for one in sides]
    low, high = np.quantile(draws[0] / draws[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    slow, plain = (float(np.median(one)) for one in sides)
    return Observer(
        tool=tool,
        unprofiled_seconds=plain,
        profiled_seconds=slow,
        slowdown=Interval(
            value=slow / plain,
            low=min(slow / plain, float(low)),
            high=max(slow / plain, float(high)),
            confidence=CONFIDENCE,
            method=f"bootstrap of the medians of {len(profiled)} iterations each, in turns",
        ),
    )
