"""Covariance matrix adaptation evolution strategy, by the `cmaes` package."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from podium.config.algorithms import Cmaes as CmaesAlgorithm
from podium.errors import ConfigError
from podium.hpo.experiment import NUMERIC, Experiment
from podium.hpo.space import Params
from podium.hpo.suggest.base import Suggester, Suggestion, random_params, seed_of
from podium.records import Scalar, TrialRecord

_GENERATION, _PARENTS = "generation", "parents"
_MEMBERS = ("succeeded", "pruned")


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

    def __init__(
        self, experiment: Experiment, trials: Sequence[TrialRecord], prior: Iterable[TrialRecord] = ()
    ) -> None:
        self._experiment = experiment
        self._sign = -1.0 if experiment.objective.direction == "maximize" else 1.0
        self._dimensions = [item for item in experiment.space.parameters.items() if isinstance(item[1], NUMERIC)]
        assert isinstance(experiment.algorithm, CmaesAlgorithm)
        settings = experiment.algorithm.settings
        self._strategy = settings.restart_strategy
        self._sigma = 1 / 6 if settings.sigma is None else settings.sigma
        if self._sigma == 0.0:
            raise ConfigError("sigma > 0 must hold for algorithm 'cmaes' on this machine, but got sigma=0")
        self._optimizer = self._first(list(prior), settings.sigma)
        self._smallest = self._optimizer.population_size
        self._doublings, self._small, self._spent = 0, True, {True: 0, False: 0}
        self._generation, self._parents = 0, ""
        self._members: dict[int, TrialRecord] = {}
        self._replay(trials)

    def suggest(self, number: int) -> Suggestion:
        """See `Suggester`."""
        if len(self._members) >= self._optimizer.population_size:
            self._advance(sorted(self._members)[: self._optimizer.population_size])
        self._optimizer.reseed_rng(seed_of(self._experiment, number))
        params = random_params(self._experiment, number)
        for (name, parameter), share in zip(self._dimensions, self._optimizer.ask().tolist(), strict=True):
            params[name] = parameter.normalise(parameter.quantile(share))
        return Suggestion(params, {_GENERATION: self._generation, _PARENTS: self._parents})

    def tell(self, record: TrialRecord) -> None:
        """See `Suggester`."""
        if record.labels.get(_GENERATION) == self._generation and record.status in _MEMBERS:
            self._members[record.number] = record

    def _replay(self, trials: Sequence[TrialRecord]) -> None:
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
        if self._strategy != "none" and self._optimizer.should_stop():
            self._restart()

    def _restart(self) -> None:
        import numpy as np

        chance = np.random.default_rng(seed_of(self._experiment, "restart", self._generation))
        self._spent[self._small] += self._optimizer.population_size * self._optimizer.generation
        self._small = self._strategy == "bipop" and self._spent[True] < self._spent[False]
        if self._small:
            population = math.floor(self._smallest * (2**self._doublings) ** (chance.random() ** 2))
        else:
            self._doublings += 1
            population = self._smallest * 2**self._doublings
        self._optimizer = self._search(chance.random(len(self._dimensions)), self._sigma, None, population)

    def _first(self, prior: list[TrialRecord], sigma: float | None) -> Any:
        """The search at its start: in the middle of the cube, or where a prior study found its best tenth."""
        import numpy as np
        from cmaes import get_warm_start_mgd

        if not prior:
            return self._search(np.full(len(self._dimensions), 0.5), self._sigma, None, None)
        if sigma is not None:
            raise ConfigError(
                "a warm start of 'cmaes' finds its own first deviation, but got the setting sigma="
                f"{sigma:g}; leave out one of them"
            )
        scored = [(self._point(trial.params), self._sign * trial.score) for trial in prior if trial.score is not None]
        mean, sigma, covariance = get_warm_start_mgd(scored)
        return self._search(mean, sigma, covariance, None)

    def _search(self, mean: Any, sigma: float, covariance: Any, population: int | None) -> Any:
        import numpy as np
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
        import numpy as np

        return np.array([parameter.share(params[name]) for name, parameter in self._dimensions])
