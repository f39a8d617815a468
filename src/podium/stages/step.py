"""The one mechanism that decides whether a step is reused or computed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from podium.config.schema import PodiumConfig
from podium.errors import TrackingError
from podium.events import ENV_STEP, emit
from podium.keys import Key
from podium.records import Record, RunRecord
from podium.store.store import ArtifactStore
from podium.tracking import Tracker, tracker_for

R = TypeVar("R", bound=Record)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepRun:
    """What a computing step works with.

    Attributes:
        run: the pipeline run it belongs to.
        store: where its artifacts go.
        tracker: where its figures go.
        mlflow_run_id: its own tracking run; empty when tracking is off.
        key: the key of the result it computes.
        parents: keys of the results it reads, by kind.
        directory: its folder in the run directory, or None in a pod.
    """

    run: RunRecord
    store: ArtifactStore
    tracker: Tracker
    mlflow_run_id: str
    key: Key
    parents: Mapping[str, str]
    directory: Path | None

    @property
    def config(self) -> PodiumConfig:
        """The run's resolved config."""
        return self.run.config

    @property
    def stamp(self) -> dict[str, Any]:
        """The fields of `Record` that every result of this step carries."""
        return {"key": self.key.digest, "parents": dict(self.parents), "mlflow_run_id": self.mlflow_run_id or None}


def open_store(config: PodiumConfig) -> ArtifactStore:
    """The store that the config names (composition has filled in its default)."""
    return ArtifactStore(str(config.store))


def always(_: Record) -> bool:
    """A stored result that is whole is complete."""
    return True


def run_step(
    run: RunRecord,
    key: Key,
    record_type: type[R],
    compute: Callable[[StepRun], R],
    *,
    parents: Mapping[str, str],
    directory: Path | None,
    complete: Callable[[R], bool] = always,
) -> R:
    """Return the stored result of `key`, or compute, track and store it.

    Two runs that need the same result do the work once: the second waits for the first one's lease and
    then finds the result. With `run_mode=force_new` nothing stored is read.

    Args:
        complete: whether a stored result satisfies this run (a study may hold fewer trials than asked).
    """
    store = open_store(run.config)
    reuse = run.config.run_mode == "reuse"

    def stored() -> R | None:
        found = store.get(record_type, key.digest) if reuse else None
        return found if found is not None and complete(found) else None

    record = stored()
    if record is not None:
        return _reused(record, key, directory)
    with store.lease(key):
        record = stored()
        if record is not None:
            return _reused(record, key, directory)
        record = _compute(run, key, compute, parents, directory, store)
        store.put(key, record)
    emit("step_finished", how="computed", key=key.digest, seconds=record.seconds)
    _keep(record, directory)
    return record


def _reused(record: R, key: Key, directory: Path | None) -> R:
    emit("step_finished", how="reused", key=key.digest, seconds=0.0)
    _log.info("reused %s", key)
    _keep(record, directory)
    return record


def _keep(record: Record, directory: Path | None) -> None:
    if directory:
        record.save(directory / "record.json")


def _compute(
    run: RunRecord,
    key: Key,
    compute: Callable[[StepRun], R],
    parents: Mapping[str, str],
    directory: Path | None,
    store: ArtifactStore,
) -> R:
    tracker = tracker_for(run.config.tracking)
    name = os.environ.get(ENV_STEP, key.kind)
    # In a pod the MLflow plugin of Kubeflow Pipelines has already made a run for this task.
    given = os.environ.get("MLFLOW_RUN_ID") if "KFP_POD_NAME" in os.environ else None
    tracked = tracker.open_step(run.mlflow_run_id or "", name, step_tags(run, key, parents), given)
    step = StepRun(run, store, tracker, tracked, key, parents, directory)
    started = time.monotonic()
    _log.info("computing %s", key)
    try:
        record = compute(step)
    except BaseException as error:
        _track_failure(tracker, tracked, error)
        raise
    record = record.model_copy(update={"seconds": time.monotonic() - started})
    tracker.log_metrics(tracked, {"seconds": record.seconds})
    tracker.set_tags(tracked, {f"podium.artifact.{role}": ref.digest for role, ref in record.artifacts.items()})
    tracker.close(tracked, "FINISHED")
    return record


def _track_failure(tracker: Tracker, tracked: str, error: BaseException) -> None:
    """End the step's run without hiding why the step ended."""
    try:
        tracker.set_tags(tracked, {"podium.error": str(error)})
        tracker.close(tracked, "FAILED" if isinstance(error, Exception) else "KILLED")
    except TrackingError as unheard:
        _log.warning("the step's run could not be ended in MLflow: %s", unheard)


def step_tags(run: RunRecord, key: Key, parents: Mapping[str, str]) -> dict[str, str]:
    """Tags of a step's MLflow run: its key, its parents' keys, and where it ran."""
    tags = {"podium.kind": key.kind, "podium.key": key.digest, "podium.run_id": run.run_id, **run.tags}
    tags.update({f"podium.parent.{name}": digest for name, digest in parents.items()})
    if pod := os.environ.get("KFP_POD_NAME"):
        tags["podium.kfp.pod"] = pod
    return tags
