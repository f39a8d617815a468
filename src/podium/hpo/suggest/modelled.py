"""What the algorithms share that fit a model to the trials of a window."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from podium.hpo.experiment import Experiment
from podium.hpo.space import Params
from podium.hpo.suggest.base import Suggester, Suggestion, drawn
from podium.hpo.suggest.optuna_space import OptunaSpace
from podium.hpo.suggest.window import Window
from podium.records import TrialRecord


class Modelled(Suggester):
    """Suggests what random search would until enough trials have a score, and then what a model of them says."""

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord], window: Window, startup: int) -> None:
        """Make a suggester.

        Args:
            experiment: what is searched.
            trials: those that the ledger holds.
            window: what the model sees; empty but for a prior study.
            startup: how many trials must have a score before the model is asked.
        """
        self._experiment = experiment
        self._startup = startup
        self._space = OptunaSpace(experiment.space)
        self._window = window
        for trial in trials:
            window.add(trial)

    def suggest(self, number: int) -> Suggestion:
        """See `Suggester`."""
        params = drawn(self._experiment, number) if self._window.learnt < self._startup else self._modelled(number)
        self._window.add(TrialRecord(number=number, params=params, status="running"))
        return Suggestion(params)

    def tell(self, record: TrialRecord) -> None:
        """See `Suggester`."""
        self._window.add(record)

    @abstractmethod
    def _modelled(self, number: int) -> Params:
        """What the model says; all randomness comes from the number."""
