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
        labels: what the algorithm has to read from the ledger when the study is resumed.
    """

    params: Params
    labels: Mapping[str, Scalar] = field(default_factory=dict)


class Suggester(ABC):
    """Suggests the params of new trials. Not for use by several threads.

    A suggestion is a function of the experiment, the trial's number and the trials that the suggester knows. One that
    is built from a ledger therefore continues as the one that filled the ledger would have.
    """

    @abstractmethod
    def suggest(self, number: int) -> Suggestion | None:
        """Params of a new trial, which counts as running from now on.

        None while the algorithm waits for running trials to end. Where none runs, None means that the search is
        complete.
        """

    def tell(self, record: TrialRecord) -> None:  # noqa: B027 - most algorithms learn, and some do not.
        """Learn how a trial ended that was suggested here, or was running when this suggester was built."""


def seed_of(experiment: Experiment, *parts: object) -> int:
    """A seed of 32 bits for one purpose of an experiment, the same on every machine.

    Args:
        experiment: its seed is part of the result.
        parts: the purpose. The number of a trial alone is that of its params, so that every algorithm draws its first
            trials as random search does.
    """
    text = "/".join(str(part) for part in (experiment.seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def random_params(experiment: Experiment, number: int) -> Params:
    """The params that random search gives a trial: a draw from the distribution of each parameter."""
    import numpy as np

    shares = np.random.default_rng(seed_of(experiment, number)).random(len(experiment.space.parameters))
    return experiment.space.at(shares.tolist())
