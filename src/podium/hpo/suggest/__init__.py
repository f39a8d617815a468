"""The search algorithms: what each promises, and those whose params follow from the trial's number."""

from __future__ import annotations

import hashlib
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from podium.config.search import HyperbandSettings
from podium.errors import ConfigError
from podium.hpo.experiment import Experiment, Params, Rung
from podium.records import Scalar, TrialRecord

Trials = Sequence[TrialRecord]


@dataclass(frozen=True)
class Suggestion:
    """Params of a new trial, and labels that the algorithm reads from the ledger when the study is resumed."""

    params: Params
    labels: Mapping[str, Scalar] = field(default_factory=dict)


class Suggester(ABC):
    """Suggests the params of new trials. Not for use by several threads.

    A suggestion is a function of the experiment, the trial's number and the trials that the suggester knows. One that
    is built from a ledger therefore continues as the one that filled the ledger would have.
    """

    def __init__(self, experiment: Experiment, trials: Trials = (), prior: Trials = ()) -> None:
        """Make a suggester from the trials that the ledger holds and the succeeded ones of another study."""
        self._experiment = experiment
        self._space = experiment.space
        self._sign = -1.0 if experiment.objective.direction == "maximize" else 1.0
        self._known = {trial.number: trial for trial in trials}

    @abstractmethod
    def suggest(self, number: int) -> Suggestion | None:
        """Params of a new trial, which counts as running from now on.

        None while the algorithm waits for running trials to end. Where none runs, None means that the search is
        complete.
        """

    def tell(self, record: TrialRecord) -> None:
        """Learn how a trial ended that was suggested here, or was running when this suggester was built."""
        self._known[record.number] = record

    def _random(self, number: int) -> Params:
        """The params that random search gives a trial: a draw from the distribution of each parameter."""
        shares = np.random.default_rng(seed_of(self._experiment, number)).random(len(self._space.parameters))
        return self._space.at(shares.tolist())


def seed_of(experiment: Experiment, *parts: object) -> int:
    """A seed of 32 bits for one purpose of an experiment, the same on every machine.

    The number of a trial alone is the purpose of its params, so that every algorithm draws its first trials as random
    search does.
    """
    text = "/".join(str(part) for part in (experiment.seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


class Random(Suggester):
    """Independent draws from the distribution of each parameter."""

    def suggest(self, number: int) -> Suggestion:
        return Suggestion(self._random(number))


class Grid(Suggester):
    """Every combination of values once, in an order that the seed shuffles.

    A study that ends before all were tried has then tried some from everywhere, as with Optuna's GridSampler, which
    Katib uses. The order is a Fisher-Yates shuffle of which only the part that was asked for is made, so that a grid
    too large to list can be searched.
    """

    def __init__(self, experiment: Experiment, trials: Trials = (), prior: Trials = ()) -> None:
        super().__init__(experiment)
        self._size = experiment.most_trials or 0
        self._chance = random.Random(seed_of(experiment, "grid"))
        self._order: list[int] = []
        self._moved: dict[int, int] = {}

    def suggest(self, number: int) -> Suggestion | None:
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

    def __init__(self, experiment: Experiment, trials: Trials = (), prior: Trials = ()) -> None:
        from scipy.stats.qmc import Sobol as Sequence

        super().__init__(experiment)
        self._sequence = Sequence(len(self._space.parameters), scramble=True, rng=seed_of(experiment, "sobol"))

    def suggest(self, number: int) -> Suggestion:
        self._sequence.reset()
        if number:
            self._sequence.fast_forward(number)
        return Suggestion(self._space.at(self._sequence.random()[0].tolist()))


class Hyperband(Suggester):
    """Many trials with little of a resource, few of them again with more, by the schedule of `Experiment.rungs`.

    A rung waits until every trial of the one before it has ended, and then repeats the best of those that succeeded
    with more of the resource. Where fewer succeeded than it has places, the others go to new params, so that the
    schedule, and with it the number of a trial, does not depend on failures. Brackets do not wait for each other.

    Katib's service means the same schedule, but its controller accepts only as many suggestions as it asked for and
    so goes no further than the first rung.
    """

    def suggest(self, number: int) -> Suggestion | None:
        rungs = self._experiment.rungs
        rung = next((rung for rung in rungs if number < rung.first + rung.size), None)
        if rung is None:
            return None
        params = self._random(number)
        if rung.level:
            ranked = self._ranked(rungs[rungs.index(rung) - 1])
            if ranked is None:
                return None
            place = number - rung.first
            params = ranked[place].params if place < len(ranked) else params
        settings = self._experiment.algorithm.settings
        assert isinstance(settings, HyperbandSettings)
        return Suggestion(
            self._space.normalise({**params, settings.resource_name: rung.resource}),
            {"bracket": rung.bracket, "rung": rung.level},
        )

    def _ranked(self, rung: Rung) -> list[TrialRecord] | None:
        """The trials of a rung that succeeded, best first; None while one of its trials runs."""
        trials = [self._known.get(number) for number in range(rung.first, rung.first + rung.size)]
        ended = [trial for trial in trials if trial is not None and trial.status != "running"]
        if len(ended) < rung.size:
            return None
        scored = [trial for trial in ended if trial.status == "succeeded"]
        return sorted(scored, key=lambda trial: (self._sign * (trial.score or 0.0), trial.number))


_LEARNING = ("tpe", "multivariate-tpe", "bayesianoptimization", "cmaes")
_log = logging.getLogger(__name__)


def suggester_for(
    experiment: Experiment, trials: Iterable[TrialRecord], prior: Iterable[TrialRecord] = ()
) -> Suggester:
    """The algorithm of an experiment, as it runs on this machine, with all trials of the ledger.

    The trials of another study, `prior`, are learnt from before its own and use up no budget. Those without a score or
    outside the space are left out, with a warning.

    Raises:
        ConfigError: a setting has no meaning on this machine, or the algorithm cannot learn from a prior study.
    """
    name, given = experiment.algorithm.name, list(prior)
    if given and name not in _LEARNING:
        raise ConfigError(
            f"a warm start is for algorithms that learn from every trial, {', '.join(_LEARNING)}, but got {name!r}; "
            "leave out hpo.warm_start"
        )
    usable = []
    for trial in given:
        try:
            params = experiment.space.normalise(trial.params)
        except ConfigError:
            continue
        if trial.status == "succeeded" and trial.score is not None:
            usable.append(trial.model_copy(update={"params": params}))
    if left := len(given) - len(usable):
        why = "they did not succeed or lie outside the space"
        _log.warning("%d of %d trials of the warm start are not used: %s", left, len(given), why)
    kinds: dict[str, type[Suggester]] = {"random": Random, "grid": Grid, "sobol": Sobol, "hyperband": Hyperband}
    if name == "cmaes":
        from podium.hpo.suggest.cmaes import Cmaes

        kinds[name] = Cmaes
    elif name not in kinds:
        from podium.hpo.suggest.optuna_samplers import Bayesian, Tpe

        kinds |= {"tpe": Tpe, "multivariate-tpe": Tpe, "bayesianoptimization": Bayesian}
    return kinds[name](experiment, sorted(trials, key=lambda trial: trial.number), usable)
