"""What profiling costs: the same workload with a tool and without it, in turns, so that both meet the same machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from podium.benchmarking.statistics import CONFIDENCE
from podium.records.base import Interval
from podium.records.profile import Observer


def observe(
    tool: str, plain: Callable[[int], float | None], profiled: Callable[[int], float | None], rounds: int
) -> Observer | None:
    """Time both in `rounds` turns, each first in every second one; None where fewer than two rounds gave a time.

    Args:
        plain: seconds of an iteration without the tool, given the number of the round; None where it failed.
        profiled: the same with the tool.
    """
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        order = (plain, profiled) if number % 2 == 0 else (profiled, plain)
        found = {one: one(number) for one in order}
        without, with_tool = found[plain], found[profiled]
        if without is not None and with_tool is not None:
            pairs.append((without, with_tool))
    return None if len(pairs) < 2 else compare(tool, [one for one, _ in pairs], [one for _, one in pairs])


def compare(tool: str, plain: Sequence[float], profiled: Sequence[float]) -> Observer:
    """The slowdown of pairs of times: the geometric mean of their ratios, with Student's t interval of its logarithm.

    Args:
        plain: seconds of an iteration, at least two, and as many of `profiled`.
    """
    from scipy.special import stdtrit

    logs = np.log(np.asarray(profiled) / np.asarray(plain))
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    margin = float(stdtrit(len(logs) - 1, (1 + CONFIDENCE) / 2)) * error
    mean = float(logs.mean())
    slowdown = Interval(
        value=math.exp(mean),
        low=math.exp(mean - margin),
        high=math.exp(mean + margin),
        confidence=CONFIDENCE,
        method=f"Student t over the logarithms of {len(logs)} pairs of runs in turns",
    )
    return Observer(
        tool=tool,
        unprofiled_seconds=float(np.median(plain)),
        profiled_seconds=float(np.median(profiled)),
        slowdown=slowdown,
    )
