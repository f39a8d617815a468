"""What every search algorithm promises."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from podium.hpo.experiment import Experiment
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


def seed_of(experiment: Experiment, *parts: object) -> int:
    """32 bits from the seed of the experiment and what they are for, the same on every machine.

    The number of a trial alone stands for its params, so that every algorithm draws its first trials as random search.
    """
    text = "/".join(str(part) for part in (experiment.seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def drawn(experiment: Experiment, number: int) -> Params:
    """The params that random search gives a trial: a draw from the distribution of each parameter."""
    import numpy as np

    shares = np.random.default_rng(seed_of(experiment, number)).random(len(experiment.space.parameters))
    return experiment.space.at(shares.tolist())
