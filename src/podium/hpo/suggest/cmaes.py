"""Covariance matrix adaptation evolution strategy, by the `cmaes` package."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from podium.config.search import CmaesSettings
from podium.errors import ConfigError
from podium.hpo.experiment import NUMERIC, Experiment, Params
from podium.hpo.suggest import Suggester, Suggestion, Trials, seed_of
from podium.records import Scalar, TrialRecord

_GENERATION, _PARENTS = "generation", "parents"


class Cmaes(Suggester):
    """CMA-ES over the unit cube of the numeric parameters (Hansen, "The CMA Evolution Strategy: A Tutorial", 2016).

    Categorical and discrete parameters are drawn at random, as in Katib's services.

    A generation ends once as many of its trials have ended as the population has members. Until then a trial that ends
    is replaced by another one of the same generation, so that no slot waits. The scores of such surplus trials are not
    used. Failed trials are no members; a pruned one counts as the worst of its generation.

    The members with the lowest numbers become the parents of the next generation. The labels of its trials name them,
    so that a resumed study has the same parents, whatever has ended since.

    `sigma` (1/6) is the first deviation, as a share of each range. `restart_strategy`: `none`; `ipop` starts again
    with twice the population once a search has converged (Auger and Hansen, 2005); `bipop` alternates that with small
    populations, so that both spend as many trials (Hansen, 2009).
    """

    def __init__(self, experiment: Experiment, trials: Trials = (), prior: Trials = ()) -> None:
        super().__init__(experiment)
        assert isinstance(experiment.algorithm.settings, CmaesSettings)
        self._settings = experiment.algorithm.settings
        self._dimensions = [item for item in self._space.parameters.items() if isinstance(item[1], NUMERIC)]
        self._sigma = 1 / 6 if self._settings.sigma is None else self._settings.sigma
        if self._sigma == 0.0:
            raise ConfigError("sigma > 0 must hold for algorithm 'cmaes' on this machine, but got sigma=0")
        # The search starts in the middle of the cube, or where a prior study found its best tenth.
        start: tuple[Any, ...] = (np.full(len(self._dimensions), 0.5), self._sigma)
        if prior:
            from cmaes import get_warm_start_mgd

            if self._settings.sigma is not None:
                raise ConfigError(
                    "a warm start of 'cmaes' finds its own first deviation, but got the setting sigma="
                    f"{self._sigma:g}; leave out one of them"
                )
            start = get_warm_start_mgd(
                [(self._point(trial.params), self._sign * (trial.score or 0.0)) for trial in prior]
            )
        self._optimizer = self._search(*start)
        self._smallest = self._optimizer.population_size
        self._doublings, self._small, self._spent = 0, True, {True: 0, False: 0}
        self._generation, self._parents = 0, ""
        self._members: dict[int, TrialRecord] = {}
        self._replay(trials)

    def suggest(self, number: int) -> Suggestion:
        if len(self._members) >= self._optimizer.population_size:
            self._advance(sorted(self._members)[: self._optimizer.population_size])
        self._optimizer.reseed_rng(seed_of(self._experiment, number))
        params = self._random(number)
        for (name, parameter), share in zip(self._dimensions, self._optimizer.ask().tolist(), strict=True):
            params[name] = parameter.normalise(parameter.quantile(share))
        return Suggestion(params, {_GENERATION: self._generation, _PARENTS: self._parents})

    def tell(self, record: TrialRecord) -> None:
        if record.labels.get(_GENERATION) == self._generation and record.status in ("succeeded", "pruned"):
            self._members[record.number] = record

    def _replay(self, trials: Trials) -> None:
        """Repeat the generations that a ledger holds, each with the parents that its successor had."""
        generations: dict[Scalar, list[TrialRecord]] = {}
        for trial in trials:
            generations.setdefault(trial.labels.get(_GENERATION, -1), []).append(trial)
        while True:
            for trial in generations.get(self._generation, []):
                self.tell(trial)
            following = generations.get(self._generation + 1)
            parents = [int(number) for number in str(following[0].labels[_PARENTS]).split()] if following else []
            if not parents or not all(number in self._members for number in parents):
                return
            self._advance(parents)

    def _advance(self, parents: list[int]) -> None:
        """Begin the next generation from these parents, or a new search if this one has converged and may restart."""
        members = [self._members[number] for number in parents]
        scores = {m.number: self._sign * m.score for m in members if m.status == "succeeded" and m.score is not None}
        worst = max(scores.values(), default=0.0)
        self._optimizer.tell([(self._point(m.params), scores.get(m.number, worst)) for m in members])
        self._generation, self._parents, self._members = self._generation + 1, " ".join(map(str, parents)), {}
        if self._settings.restart_strategy != "none" and self._optimizer.should_stop():
            self._restart()

    def _restart(self) -> None:
        chance = np.random.default_rng(seed_of(self._experiment, "restart", self._generation))
        self._spent[self._small] += self._optimizer.population_size * self._optimizer.generation
        self._small = self._settings.restart_strategy == "bipop" and self._spent[True] < self._spent[False]
        if self._small:
            population = math.floor(self._smallest * (2**self._doublings) ** (chance.random() ** 2))
        else:
            self._doublings += 1
            population = self._smallest * 2**self._doublings
        self._optimizer = self._search(chance.random(len(self._dimensions)), self._sigma, population=population)

    def _search(self, mean: Any, sigma: float, covariance: Any = None, population: int | None = None) -> Any:
        from cmaes import CMA

        size = len(self._dimensions)
        return CMA(
            mean=mean,
            sigma=sigma,
            bounds=np.array([[0.0, 1.0]] * size),
            n_max_resampling=10 * size,
            population_size=population,
            cov=covariance,
        )

    def _point(self, params: Params) -> Any:
        return np.array([parameter.share(params[name]) for name, parameter in self._dimensions])
