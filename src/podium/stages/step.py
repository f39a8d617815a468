"""What a step is, what surrounds it in its process, and how its result is reused or computed.

The local runner names a run directory in `PODIUM_RUN_DIR`; there a step keeps `steps/<step>/log.txt` and
`status.json`. Without one (a pod) output stays on the standard streams.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeVar

from podium import errors
from podium.config.pods import Pool
from podium.config.schema import PodiumConfig
from podium.errors import (
    ComputationFailed,
    InputError,
    ModelError,
    PodiumError,
    StepFailed,
    StudyFailed,
    TrackingError,
    disk_full_message,
    is_disk_full,
)
from podium.events import ENV_STEP, emit
from podium.execution.ending import sigterm_unwinds
from podium.execution.program import redirect_output
from podium.jsonfile import write_json
from podium.keys import Key
from podium.records import FailedEntrant, Record, RunRecord
from podium.store.store import ArtifactStore
from podium.tracking import Tracker, tracker_for

R = TypeVar("R", bound=Record)

ENV_RUN_DIR = "PODIUM_RUN_DIR"

_OF_ENTRANT = (ComputationFailed, ModelError, StudyFailed)
"""Errors that say nothing of the other entrants: these go on. Any other one ends the run."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepInputs:
    """What a step works from.

    Attributes:
        records: the results of the steps that it reads, in the order of the graph.
        entrant: of a step that runs once per entrant; it then reads the results of this entrant alone.
    """

    run: RunRecord
    records: tuple[Record, ...] = ()
    entrant: str = ""

    @property
    def config(self) -> PodiumConfig:
        return self.run.config

    def one(self, kind: type[R]) -> R:
        (found,) = self.all(kind)
        return found

    def all(self, kind: type[R]) -> tuple[R, ...]:
        return tuple(record for record in self.records if isinstance(record, kind))

    @property
    def failed(self) -> tuple[FailedEntrant, ...]:
        return tuple({one.entrant: one for one in self.all(FailedEntrant)}.values())

    @property
    def results(self) -> tuple[Record, ...]:
        """The records without those of entrants that failed."""
        return tuple(record for record in self.records if not isinstance(record, FailedEntrant))


@dataclass(frozen=True, kw_only=True)
class StepRun(StepInputs):
    """What a computing step works with.

    Attributes:
        mlflow_run_id: its own tracking run; empty when tracking is off.
        parents: keys of the results it reads, by kind.
        directory: its folder in the run directory, or None in a pod.
    """

    store: ArtifactStore
    tracker: Tracker
    key: Key
    mlflow_run_id: str = ""
    parents: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None

    @property
    def stamp(self) -> dict[str, Any]:
        """The fields of `Record` that every result of this step carries."""
        return {"key": self.key.digest, "parents": dict(self.parents), "mlflow_run_id": self.mlflow_run_id or None}


@dataclass(frozen=True)
class Step:
    """One row of the table of steps (`podium.stages.steps`).

    Attributes:
        name: in the graph, in KFP and on the command line.
        inputs: names of the earlier steps whose results it reads.
        key: what the result depends on.
        compute: the function that makes the result, imported when it is needed: `module:function` in `podium.stages`.
        per_entrant: whether there is one for each entrant.
        complete: whether a stored result satisfies this run (a study may hold fewer trials than the budget).
        skipped: the result under a key where there is nothing to do; it follows from what the step reads and is never
            stored. None where there is something to do.
        pool: the pool of nodes that its pod runs on, on Kubeflow Pipelines.
    """

    name: str
    inputs: tuple[str, ...]
    record: type[Record]
    key: Callable[[StepInputs], Key]
    compute: str
    per_entrant: bool = False
    complete: Callable[[RunRecord, Any], bool] = lambda run, record: True
    skipped: Callable[[StepInputs, Key], Record | None] = lambda inputs, key: None
    pool: Pool = "cpu"

    def title(self, entrant: str = "") -> str:
        """Name of the step in one run: `select`, `hpo-minilm`."""
        return f"{self.name}-{entrant}" if self.per_entrant else self.name

    def read(self, path: str | Path) -> Record:
        """The result that lies in a file, or what was handed on in its place."""
        text = Path(path).read_bytes()
        failed = self.per_entrant and "reason" in json.loads(text)
        return (FailedEntrant if failed else self.record).from_json(text)

    def stored(self, store: ArtifactStore, inputs: StepInputs, key: Key) -> Record | None:
        """The stored result of `key` if this run may reuse it, or the one of a step that has nothing to do.

        With `run_mode=force_new` it may reuse nothing.
        """
        if (skipped := self.skipped(inputs, key)) is not None:
            return skipped
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
    the result. Where an entrant fails, its steps return a record that says so, and the run goes on without it.
    """
    if step.per_entrant and inputs.failed:
        return inputs.failed[0]
    title = step.title(inputs.entrant)
    try:
        return _execute(step, inputs, title)
    except _OF_ENTRANT as error:
        if not step.per_entrant:
            raise
        # For the log; the record has the message.
        traceback.print_exc()
        directory, reason = _directory(title), type(error).__name__
        pod = os.environ.get("KFP_POD_NAME")
        log = str(directory / "log.txt") if directory else f"pod {pod}" if pod else "the output of its task"
        failed = FailedEntrant(entrant=inputs.entrant, step=step.name, reason=reason, error=str(error), log=log)
        if directory:
            failed.save(directory / "record.json")
        return failed


def all_failed(failed: Sequence[FailedEntrant]) -> PodiumError:
    """The error of a run in which every entrant failed; an InputError where the input is to blame for all of them."""
    said = [f"step {one.title}: {one.error}\n  log: {one.log}" for one in failed]
    wrong = all(issubclass(getattr(errors, one.reason), InputError) for one in failed)
    text = (
        said[0] if len(said) == 1 else "\n".join(["an entrant must be left to compete, but every one failed:", *said])
    )
    return (InputError if wrong else StepFailed)(text)


def _execute(step: Step, inputs: StepInputs, title: str) -> Record:
    with step_context(title) as directory:
        store, key = open_store(inputs.config), step.key(inputs)
        record, how = step.stored(store, inputs, key), "reused"
        if step.skipped(inputs, key) is not None:
            how = "skipped"
        if record is None:
            with store.lease(key):
                record = step.stored(store, inputs, key)
                if record is None:
                    record, how = _compute(step, inputs, key, store, directory), "computed"
                    store.put(key, record)
        _log.info("%s %s", how, key)
        seconds, reason = record.seconds if how == "computed" else 0.0, getattr(record, "reason", "")
        emit("step_finished", how=how, key=key.digest, seconds=seconds, reason=reason)
        if directory:
            record.save(directory / "record.json")
        return record


@contextmanager
def step_context(step: str) -> Iterator[Path | None]:
    """Run the body as the step named `step`; yields its directory, or None outside a run directory.

    An exception is written to the status file and raised again.
    SIGTERM becomes `SystemExit`, so that a stopped step releases what it holds.
    """
    os.environ[ENV_STEP] = step
    directory = _directory(step)
    if directory:
        directory.mkdir(parents=True, exist_ok=True)
        redirect_output(directory / "log.txt")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
    )
    started = time.time()

    def write_status(status: str, **fields: Any) -> None:
        if directory:
            write_json(directory / "status.json", {"status": status, "started_at": started, **fields})

    write_status("running", pid=os.getpid())
    emit("step_started", log=str(directory / "log.txt") if directory else None)
    try:
        with sigterm_unwinds():
            yield directory
    except BaseException as error:
        failure, seconds = _failure(error), time.time() - started
        write_status("failed", seconds=seconds, error=failure)
        emit("step_failed", seconds=seconds, error=failure["message"], stopped=not isinstance(error, Exception))
        raise
    write_status("done", seconds=time.time() - started)


def _directory(title: str) -> Path | None:
    root = os.environ.get(ENV_RUN_DIR)
    return Path(root) / "steps" / title if root else None


def _failure(error: BaseException) -> dict[str, Any]:
    """What a status file says of an exception: its message, and the exit code of the command that ends with it."""
    if isinstance(error, PodiumError):
        return {"message": str(error), "exit_code": error.exit_code}
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return {"message": "stopped by a signal", "exit_code": 130}
    message = disk_full_message(error) if is_disk_full(error) else f"{type(error).__name__}: {error}"
    return {"message": message, "exit_code": 1}


def _compute(step: Step, inputs: StepInputs, key: Key, store: ArtifactStore, directory: Path | None) -> Record:
    run, parents = inputs.run, _parents(inputs, key)
    tracker = tracker_for(run.config.tracking)
    tags = {"podium.kind": key.kind, "podium.key": key.digest, "podium.run_id": run.run_id, **run.tags}
    tags |= {f"podium.parent.{name}": digest for name, digest in parents.items()}
    given = None
    if pod := os.environ.get("KFP_POD_NAME"):
        tags["podium.kfp.pod"] = pod
        # The MLflow plugin of Kubeflow Pipelines has already made a run for this task.
        given = os.environ.get("MLFLOW_RUN_ID")
    tracked = tracker.open_step(run.mlflow_run_id or "", step.title(inputs.entrant), tags, given)
    started = time.monotonic()
    _log.info("computing %s", key)
    try:
        compute: Callable[[StepRun], Record] = resolve_name(f"podium.stages.{step.compute}")
        record = compute(
            StepRun(
                **vars(inputs),
                store=store,
                tracker=tracker,
                key=key,
                mlflow_run_id=tracked,
                parents=parents,
                directory=directory,
            )
        )
    except BaseException as error:
        _track_failure(tracker, tracked, error)
        raise
    record = record.model_copy(update={"seconds": time.monotonic() - started})
    tracker.log_metrics(tracked, {"seconds": record.seconds})
    tracker.set_tags(tracked, {f"podium.artifact.{role}": ref.digest for role, ref in record.artifacts.items()})
    tracker.close(tracked, "FINISHED")
    return record


def _parents(inputs: StepInputs, key: Key) -> dict[str, str]:
    """Keys of the results that are read, by kind, and by entrant where a step gathers those of all entrants."""
    found = {}
    for record in inputs.results:
        entrant = "" if inputs.entrant else getattr(record, "entrant", "")
        found[f"{record.kind}.{entrant}" if entrant else record.kind] = record.key
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
