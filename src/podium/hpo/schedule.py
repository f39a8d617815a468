"""The schedule of Hyperband: how many trials run with how much of a resource, and in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """Trials of one bracket that get the same amount of the resource.

    Attributes:
        bracket: `s` in the paper; the bracket that starts the most trials has the highest.
        level: 0 for the rung whose params are new, one more for each selection after it.
        resource: what each trial gets.
        first: number of its first trial; the trials of a schedule are numbered in order.
        size: how many trials it has.
    """

    bracket: int
    level: int
    resource: int
    first: int
    size: int


def hyperband(most: float, eta: int) -> tuple[Rung, ...]:
    """The rungs of Hyperband (Li et al., "Hyperband", JMLR 2018, algorithm 1) with the rounding of Katib's service.

    Katib rounds the number of trials up, at the start of a bracket and at each selection, and the resource of a
    bracket's first rung down before it multiplies it.

    Args:
        most: resource of a trial that is never stopped, at least 1 (`r_l`).
        eta: one trial in `eta` is promoted, at least 2.
    """
    rungs: list[Rung] = []
    largest = int(math.log(most) / math.log(eta))
    first = 0
    for bracket in range(largest, -1, -1):
        size = math.ceil((largest + 1) * eta**bracket / (bracket + 1))
        started, least = size, int(most / eta**bracket)
        for level in range(bracket + 1):
            if level:
                size = math.ceil(math.ceil(started / eta ** (level - 1)) / eta)
            rungs.append(Rung(bracket, level, least * eta**level, first, size))
            first += size
    return tuple(rungs)
