"""What every search algorithm promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from podium.hpo.space import Params
from podium.records import Scalar, TrialRecord


@dataclass(frozen=True)
class Suggestion:
    """Params of a new trial.

    Attributes:
        params: in the declared types of the space.
        labels: what the algorithm must find in the ledger again when the study is resumed.
    """

    params: Params
    labels: Mapping[str, Scalar] = field(default_factory=dict)


class Suggester(ABC):
    """Suggests the params of new trials.

    A function of the experiment, the trial's number and the trials it was told of: built from a ledger it goes on as
    the one that filled the ledger would have. Not for use by several threads.
    """

    @abstractmethod
    def suggest(self, number: int) -> Suggestion | None:
        """Params of a new trial, which is known to be running from now on.

        None while the algorithm has to see running trials end first; once none runs, None means that the search has
        come to its end.
        """

    @abstractmethod
    def tell(self, record: TrialRecord) -> None:
        """Learn how a trial ended that was suggested here, or was running when this was built."""
