"""Algorithms that look at no trial: what a trial gets follows from its number."""

from __future__ import annotations

import random
from collections.abc import Iterable

from podium.hpo.experiment import Experiment
from podium.hpo.suggest.base import Suggester, Suggestion, random_params, seed_of
from podium.records import TrialRecord


class Random(Suggester):
    """Independent draws from the distribution of each parameter."""

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._experiment = experiment

    def suggest(self, number: int) -> Suggestion:
        """See `Suggester`."""
        return Suggestion(random_params(self._experiment, number))


class Grid(Suggester):
    """Every combination of values once, in an order that the seed shuffles.

    A study that ends before all were tried has then tried some from everywhere, as with Optuna's GridSampler, which
    Katib uses. The order is a Fisher-Yates shuffle of which only the part that was asked for is made, so that a grid
    too large to list can be searched.
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._space = experiment.space
        self._size = experiment.most_trials or 0
        self._chance = random.Random(seed_of(experiment, "grid"))
        self._order: list[int] = []
        self._moved: dict[int, int] = {}

    def suggest(self, number: int) -> Suggestion | None:
        """See `Suggester`."""
        if number >= self._size:
            return None
        while len(self._order) <= number:
            here = len(self._order)
            there = self._chance.randrange(here, self._size)
            self._order.append(self._moved.get(there, there))
            self._moved[there] = self._moved.pop(here, here)
        index, shares = self._order[number], []
        for parameter in reversed(self._space.parameters.values()):
            cells = parameter.cells or 1
            index, cell = divmod(index, cells)
            shares.append((cell + 0.5) / cells)
        return Suggestion(self._space.at(shares[::-1]))


class Sobol(Suggester):
    """The Sobol' sequence, scrambled with the seed: trial `n` gets its `n`-th point.

    Katib's service neither scrambles nor seeds it: every study tries the same points, beginning with the lowest
    corner of the space. Scrambled points are as evenly spread, and the seed means what it means elsewhere
    (Owen, "Scrambling Sobol' and Niederreiter-Xing points", 1998).
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        from scipy.stats.qmc import Sobol as Sequence

        self._space = experiment.space
        self._sequence = Sequence(len(experiment.space.parameters), scramble=True, rng=seed_of(experiment, "sobol"))

    def suggest(self, number: int) -> Suggestion:
        """See `Suggester`."""
        if number < self._sequence.num_generated:
            self._sequence.reset()
        if number > self._sequence.num_generated:
            self._sequence.fast_forward(number - self._sequence.num_generated)
        return Suggestion(self._space.at(self._sequence.random()[0].tolist()))
