"""MLflow: runs, tags, registry and lineage. The only room that imports mlflow, and it does so at first use."""

from __future__ import annotations

from podium.config.schema import TrackingConfig
from podium.errors import ConfigError
from podium.tracking.base import Tracker
from podium.tracking.off import OffTracker
from podium.tracking.text import redact

__all__ = ["Tracker", "redact", "tracker_for"]


def tracker_for(config: TrackingConfig) -> Tracker:
    """The tracker that the config names. Connects at its first call, not here.

    Raises:
        ConfigError: `tracking.uri` is missing, or is a plain path.
    """
    if config.mode == "off":
        return OffTracker()
    uri = config.uri or ""
    if "://" not in uri or uri.startswith("file:"):
        raise ConfigError(
            f"tracking.uri must name a database or a server, but got {redact(uri)!r}; use sqlite:///PATH for a file, "
            "http://HOST:PORT for a server, or set tracking.mode=off"
        )
    from podium.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, config.experiment)
