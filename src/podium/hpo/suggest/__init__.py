"""The search algorithms: which params the next trial gets."""

from collections.abc import Iterable

from podium.hpo.experiment import Experiment
from podium.hpo.suggest.base import Suggester, Suggestion
from podium.hpo.suggest.optuna_sampler import OptunaSampler
from podium.records import TrialRecord

__all__ = ["Suggester", "Suggestion", "suggester_for"]


def suggester_for(experiment: Experiment, trials: Iterable[TrialRecord]) -> Suggester:
    """The algorithm of an experiment, knowing the trials that a ledger holds."""
    return OptunaSampler(experiment, trials)
