"""MLflow: runs, tags, registry and lineage. The only package that imports mlflow, and it does so at first use."""

from __future__ import annotations

from podium.config.schema import TrackingConfig
from podium.errors import ConfigError
from podium.text import redact
from podium.tracking.base import RegistryState, Tracker
from podium.tracking.sqlite_registry import read_state

__all__ = ["RegistryState", "Tracker", "registry_state", "tracker_for"]


def tracker_for(config: TrackingConfig) -> Tracker:
    """The tracker that the config names; its first call connects.

    Raises:
        ConfigError: `tracking.uri` is missing, or is a plain path.
    """
    if config.mode == "off":
        return Tracker()
    uri = config.uri or ""
    if "://" not in uri or uri.startswith("file:"):
        raise ConfigError(
            f"tracking.uri must name a database or a server, but got {redact(uri)!r}; use sqlite:///PATH for a file, "
            "http://HOST:PORT for a server, or set tracking.mode=off"
        )
    from podium.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, config.experiment)


def registry_state(config: TrackingConfig, model_name: str) -> RegistryState:
    """The champion of a registered model at this moment, and the moves behind it.

    MLflow is imported only where its sqlite file cannot be read directly.

    Raises:
        TrackingError: the registry cannot be asked, or the champion was not registered by Podium.
    """
    if config.mode == "mlflow" and (found := read_state(config.uri or "", model_name)):
        return found
    tracker = tracker_for(config)
    return RegistryState(tracker.incumbent(model_name), tuple(tracker.moves(model_name)))
