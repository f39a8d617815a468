"""What a step is, and the one mechanism that decides whether its result is reused or computed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from podium.config.schema import PodiumConfig
from podium.errors import TrackingError
from podium.events import emit
from podium.keys import Key
from podium.records import Record, RunRecord
from podium.stages.context import step_context
from podium.store.store import ArtifactStore
from podium.tracking import Tracker, tracker_for

R = TypeVar("R", bound=Record)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepInputs:
    """What a step works from.

    Attributes:
        run: the run it belongs to.
        records: the results of the steps that it reads, in the order of the graph.
        backbone: of a step that runs once per backbone; it then reads the results of this backbone alone.
    """

    run: RunRecord
    records: tuple[Record, ...] = ()
    backbone: str = ""

    @property
    def config(self) -> PodiumConfig:
        """The run's resolved config."""
        return self.run.config

    def one(self, kind: type[R]) -> R:
        """The only record of a kind."""
        (found,) = self.all(kind)
        return found

    def all(self, kind: type[R]) -> tuple[R, ...]:
        """All records of a kind."""
        return tuple(record for record in self.records if isinstance(record, kind))


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


def always(run: RunRecord, record: Any) -> bool:
    """A stored result that is whole is complete."""
    return True


@dataclass(frozen=True)
class Step:
    """One row of the table of steps (`podium.stages.steps`).

    Attributes:
        name: in the graph, in KFP and on the command line.
        description: what it does, in one line.
        inputs: names of the earlier steps whose results it reads.
        record: the class of its result.
        output: name of the KFP artifact that carries the record.
        key: what the result depends on.
        compute: the function that makes the result, as `module:function`; imported when it is needed.
        per_backbone: whether there is one for each backbone.
        complete: whether a stored result satisfies this run (a study may hold fewer trials than the budget).
    """

    name: str
    description: str
    inputs: tuple[str, ...]
    record: type[Record]
    output: str
    key: Callable[[StepInputs], Key]
    compute: str
    per_backbone: bool = False
    complete: Callable[[RunRecord, Any], bool] = always

    def title(self, backbone: str = "") -> str:
        """Name of the step in one run: `select`, `hpo-minilm`."""
        return f"{self.name}-{backbone}" if self.per_backbone else self.name

    def stored(self, store: ArtifactStore, inputs: StepInputs, key: Key) -> Record | None:
        """The stored result of `key` if this run may reuse it; with `run_mode=force_new` it may reuse nothing."""
        if inputs.config.run_mode != "reuse":
            return None
        found = store.get(self.record, key.digest)
        return found if found is not None and self.complete(inputs.run, found) else None


def open_store(config: PodiumConfig) -> ArtifactStore:
    """The store that the config names (composition has filled in its default)."""
    return ArtifactStore(str(config.store))


def execute(step: Step, inputs: StepInputs) -> Record:
    """Return the stored result of a step, or compute, track and store it.

    Two runs that need the same result compute it once: the second waits for the first one's lease and then finds
    the result.
    """
    with step_context(step.title(inputs.backbone)) as directory:
        store = open_store(inputs.config)
        key = step.key(inputs)
        record = step.stored(store, inputs, key)
        how = "reused"
        if record is None:
            with store.lease(key):
                record = step.stored(store, inputs, key)
                if record is None:
                    how = "computed"
                    record = _compute(step, inputs, key, store, directory)
                    store.put(key, record)
        _log.info("%s %s", how, key)
        emit("step_finished", how=how, key=key.digest, seconds=record.seconds if how == "computed" else 0.0)
        if directory:
            record.save(directory / "record.json")
        return record


def _compute(step: Step, inputs: StepInputs, key: Key, store: ArtifactStore, directory: Path | None) -> Record:
    run, parents = inputs.run, _parents(inputs, key)
    tracker = tracker_for(run.config.tracking)
    # In a pod the MLflow plugin of Kubeflow Pipelines has already made a run for this task.
    given = os.environ.get("MLFLOW_RUN_ID") if "KFP_POD_NAME" in os.environ else None
    name = step.title(inputs.backbone)
    tracked = tracker.open_step(run.mlflow_run_id or "", name, step_tags(run, key, parents), given)
    module, _, function = step.compute.partition(":")
    started = time.monotonic()
    _log.info("computing %s", key)
    try:
        compute: Callable[[StepRun, StepInputs], Record] = getattr(import_module(module), function)
        record = compute(StepRun(run, store, tracker, tracked, key, parents, directory), inputs)
    except BaseException as error:
        _track_failure(tracker, tracked, error)
        raise
    record = record.model_copy(update={"seconds": time.monotonic() - started})
    tracker.log_metrics(tracked, {"seconds": record.seconds})
    tracker.set_tags(tracked, {f"podium.artifact.{role}": ref.digest for role, ref in record.artifacts.items()})
    tracker.close(tracked, "FINISHED")
    return record


def _parents(inputs: StepInputs, key: Key) -> dict[str, str]:
    """Keys of the results that are read, by kind, and by backbone where a step gathers those of all backbones."""
    found = {}
    for record in inputs.records:
        backbone = "" if inputs.backbone else getattr(record, "backbone", "")
        found[f"{record.kind}.{backbone}" if backbone else record.kind] = record.key
    # The studies that a search was warmed up with are part of its key.
    warm = key.parts.get("warm_start", {})
    return found | {f"warm_start_{number}": study for number, study in enumerate(warm, start=1)}


def _track_failure(tracker: Tracker, tracked: str, error: BaseException) -> None:
    """End the step's run without hiding why the step ended."""
    try:
        tracker.set_tags(tracked, {"podium.error": str(error)})
        tracker.close(tracked, "FAILED" if isinstance(error, Exception) else "KILLED")
    except TrackingError as problem:
        _log.warning("the step's run could not be ended in MLflow: %s", problem)


def step_tags(run: RunRecord, key: Key, parents: Mapping[str, str]) -> dict[str, str]:
    """Tags of a step's MLflow run: its key, its parents' keys, and where it ran."""
    tags = {"podium.kind": key.kind, "podium.key": key.digest, "podium.run_id": run.run_id, **run.tags}
    tags.update({f"podium.parent.{name}": digest for name, digest in parents.items()})
    if pod := os.environ.get("KFP_POD_NAME"):
        tags["podium.kfp.pod"] = pod
    return tags
