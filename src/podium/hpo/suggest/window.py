"""Which trials a model learns from, so that a suggestion costs the same after any number of trials."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from podium.hpo.experiment import Objective
from podium.records import TrialRecord

_Rank = tuple[int, int, float, int]


class Window:
    """The recent trials of a study, and of the trials before them the best ones and those that still run.

    A trial is recent if its number is not below a horizon. The horizon follows from the highest known number and moves
    in strides. The content of the window is therefore a function of the known trials, whatever the order in which they
    became known, and it only grows until the horizon moves again.

    Attributes:
        scored: how many trials with a score were added, those of another study included.
    """

    def __init__(self, objective: Objective, best: int, recent: int, prior: Iterable[TrialRecord] = ()) -> None:
        """Make an empty window.

        Args:
            objective: what is better.
            best: how many of the trials before the recent ones are kept.
            recent: how many of the highest numbers are recent, and up to a quarter more.
            prior: succeeded trials of another study, which are always inside, but no more than the window holds.
        """
        self._sign = -1.0 if objective.direction == "maximize" else 1.0
        self._room, self._recent, self._stride = best, recent, max(1, recent // 4)
        self._newest = -1
        self._near: dict[int, TrialRecord] = {}
        self._far: list[tuple[_Rank, TrialRecord]] = []
        self._top: float | None = None
        self.scored = 0
        self._prior: list[TrialRecord] = []
        self._shifted: list[TrialRecord] = []
        if given := list(prior):
            own = Window(objective, best, recent)
            for number, trial in enumerate(given):
                own.add(trial.model_copy(update={"number": number}))
            self._prior = self._shifted = [
                trial.model_copy(update={"number": trial.number - len(given)}) for trial in own.trials()
            ]
            self.scored = own.scored

    def add(self, trial: TrialRecord) -> None:
        """Add a trial that runs, or replace it by its record once it has ended."""
        if trial.score is not None:
            self.scored += 1
            if trial.status == "succeeded" and (self._top is None or self._sign * trial.score < self._top):
                self._top = self._sign * trial.score
                self._shifted = self._align(self._top)
        self._near[trial.number] = trial
        if trial.number > self._newest:
            moved = trial.number // self._stride > self._newest // self._stride
            self._newest = trial.number
            for number in [number for number in self._near if number < self._horizon] if moved else ():
                self._leave(number)
        elif trial.number < self._horizon:
            self._leave(trial.number)

    def trials(self) -> list[TrialRecord]:
        """The trials inside, by number; those of another study come first, with negative numbers."""
        own = [*self._near.values(), *(trial for _, trial in self._far)]
        return [*self._shifted, *sorted(own, key=lambda trial: trial.number)]

    @property
    def _horizon(self) -> int:
        return self._newest // self._stride * self._stride - self._recent

    def _leave(self, number: int) -> None:
        """Keep a trial that is not recent only if it runs or is among the best."""
        trial = self._near[number]
        if trial.status == "running":
            return
        del self._near[number]
        if trial.score is not None:
            insort(self._far, (self._rank(trial, trial.score), trial), key=lambda item: item[0])
            del self._far[self._room :]

    def _rank(self, trial: TrialRecord, score: float) -> _Rank:
        """Smaller is better, as in Optuna's TPE: after the succeeded trials the pruned ones, the later the better."""
        if trial.status == "succeeded":
            return 0, 0, self._sign * score, trial.number
        return 1, -len(trial.reports), self._sign * score, trial.number

    def _align(self, top: float) -> list[TrialRecord]:
        """The prior with its scores shifted so that its best equals the best of this study.

        The same params may score higher or lower throughout on another backbone or data set; unshifted, the better
        study would alone decide where to search.
        """
        scores = [trial.score for trial in self._prior if trial.score is not None]
        if not scores:
            return []
        shift = self._sign * top - self._sign * min(self._sign * score for score in scores)
        return [
            trial.model_copy(update={"score": trial.score + shift}) for trial in self._prior if trial.score is not None
        ]
