"""Hyperband: many trials with little of a resource, few of them again with more."""

from __future__ import annotations

from collections.abc import Iterable

from podium.config.algorithms import Hyperband as HyperbandAlgorithm
from podium.hpo.experiment import Experiment
from podium.hpo.schedule import Rung
from podium.hpo.space import Params
from podium.hpo.suggest.base import Suggester, Suggestion, random_params
from podium.records import TrialRecord


class Hyperband(Suggester):
    """The schedule of `podium.hpo.schedule`, one rung of a bracket after the other.

    A rung waits until every trial of the one before it has ended, and then repeats the best of those that succeeded
    with more of the resource. Where fewer succeeded than it has places, the others go to new params, so that the
    schedule, and with it the number of a trial, does not depend on failures. Brackets do not wait for each other.

    Katib's service means the same schedule, but its controller accepts only as many suggestions as it asked for and
    so goes no further than the first rung.
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._experiment = experiment
        assert isinstance(experiment.algorithm, HyperbandAlgorithm)
        self._resource = experiment.algorithm.settings.resource_name
        self._rungs = experiment.rungs
        self._ended = {trial.number: trial for trial in trials if trial.status != "running"}

    def suggest(self, number: int) -> Suggestion | None:
        """See `Suggester`."""
        rung = next((rung for rung in self._rungs if number < rung.first + rung.size), None)
        if rung is None:
            return None
        fresh: Params = random_params(self._experiment, number)
        before = self._rungs[self._rungs.index(rung) - 1]
        params = self._promoted(before, number - rung.first, fresh) if rung.level else fresh
        if params is None:
            return None
        return Suggestion(
            self._experiment.space.normalise({**params, self._resource: rung.resource}),
            {"bracket": rung.bracket, "rung": rung.level},
        )

    def tell(self, record: TrialRecord) -> None:
        """See `Suggester`."""
        self._ended[record.number] = record

    def _promoted(self, rung: Rung, place: int, otherwise: Params) -> Params | None:
        """Params of the trial at a place in the ranking of a rung; None while one of its trials runs."""
        ended = [self._ended.get(number) for number in range(rung.first, rung.first + rung.size)]
        sign = -1.0 if self._experiment.objective.direction == "maximize" else 1.0
        ranked: list[tuple[float, int, Params]] = []
        for trial in ended:
            if trial is None:
                return None
            if trial.status == "succeeded" and trial.score is not None:
                ranked.append((sign * trial.score, trial.number, trial.params))
        return sorted(ranked, key=lambda item: item[:2])[place][2] if place < len(ranked) else otherwise
