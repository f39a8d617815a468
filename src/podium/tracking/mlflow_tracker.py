"""The tracker that records in MLflow."""

from __future__ import annotations

from podium.tracking.aliases import Aliases
from podium.tracking.queries import Queries
from podium.tracking.registry import Registry
from podium.tracking.trials import Trials


class MlflowTracker(Trials, Registry, Aliases, Queries):
    """Records in a sqlite file, a database, or an MLflow server; see `Tracker` for the contract.

    Built on `MlflowClient` alone: no active run, no global tracking URI.
    """
