"""Follows runs on Kubeflow Pipelines from here: their steps, pods and logs, how they end, and what they made."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from podium.cluster.client import EXPERIMENT, JOB, POD, Cluster, Kind, Manifest, condition, name_of
from podium.cluster.jobs import obstacle_of
from podium.cluster.kubeflow import FINAL, Kubeflow
from podium.errors import ClusterError, InputError, PodiumError, StepFailed
from podium.local.pods import ENDED, OWN_LABEL, RUN_LABEL, TASKS, PodWatch, namespace_of, step_of, times_of
from podium.records import ArtifactRef, DecisionRecord, ModelRecord, Record, ReportRecord
from podium.stages.steps import KFP_RUNS, STEPS
from podium.stages.submission import config_of
from podium.store.store import ArtifactStore
from podium.text import redact

POLL_SECONDS = 3.0
"""How often Kubeflow is asked how a run is; its own view is a few seconds old in any case."""

PATIENCE_SECONDS = 600.0
"""How long the server may fail to answer while a run is followed."""

_KEY = re.compile(r".*-([0-9a-f]{12})")
SEVERAL = tuple(step.name for step in STEPS if step.per_entrant)
_LAG_SECONDS = 20.0
_PAST = {"SUCCEEDED": "done in", "FAILED": "failed after", "CANCELED": "stopped after"}

R = TypeVar("R", bound=Record)


@dataclass
class Steps:
    """The steps of a run as they were last seen, and the lines on what is new."""

    states: dict[str, str] = field(default_factory=dict)
    _titles: dict[str, str] = field(default_factory=dict)

    def news(self, run: Any) -> Iterator[str]:
        """A line for each step that has started or ended since the last call."""
        tasks = run.run_details.task_details if run.run_details else None
        known = [one for one in tasks or () if one.display_name in TASKS and one.start_time]
        for task in sorted(known, key=lambda one: (one.start_time, one.task_id)):
            title = self._title(task)
            before, now = self.states.get(title), str(task.state)
            # A task that is left out has another state, and one that waits has none yet.
            if before is None and now in ("RUNNING", *_PAST):
                yield _line(run, task.start_time, title, "started")
            if before != now and now in _PAST and task.end_time:
                seconds = max(0.0, (task.end_time - task.start_time).total_seconds())
                yield _line(run, task.end_time, title, f"{_PAST[now]} {seconds:.1f} s")
            self.states[title] = now

    def beside(self, run: Any, pods: Sequence[Manifest]) -> Iterator[str]:
        """Lines on the steps that Kubeflow does not show, from their pods.

        Argo compresses the state of a run that takes more than 1 MiB. Kubeflow does not read that, and goes on to show
        what it knew before. Of steps with several tasks nothing is said.
        """
        final = run.state in FINAL
        newest = {step_of(pod): pod for pod in pods}
        for title in [title for title in newest if title and title not in SEVERAL]:
            (start, end), phase = times_of(newest[title]), newest[title]["status"].get("phase")
            if start is None or self.states.get(title) not in (None, "RUNNING"):
                continue
            if title not in self.states and (final or age(start) > _LAG_SECONDS):
                yield _line(run, start, title, "started")
                self.states[title] = "RUNNING"
            state = {"Succeeded": "SUCCEEDED", "Failed": "FAILED" if final else ""}.get(phase)
            if state and end and (final or age(end) > _LAG_SECONDS) and title in self.states:
                yield _line(run, end, title, f"{_PAST[state]} {age(start, end):.1f} s")
                self.states[title] = state

    def _title(self, task: Any) -> str:
        """`hpo` for the first task of that name, then `hpo 2`: Kubeflow does not say whose entrant a task is."""
        if task.task_id not in self._titles:
            number = 1 + sum(title.split()[0] == task.display_name for title in self._titles.values())
            self._titles[task.task_id] = task.display_name if number == 1 else f"{task.display_name} {number}"
        return self._titles[task.task_id]


def _line(run: Any, at: datetime, title: str, text: str) -> str:
    return f"[{max(0.0, (at - run.created_at).total_seconds()):6.1f}s] {title:<18} {text}"


def follow(server: Kubeflow, run_id: str) -> Iterator[str]:
    """Lines on the progress of a run until it has ended; an outage of the server is waited out.

    Raises:
        ClusterError: the server refuses, or does not answer for ten minutes.
    """
    steps, watch, lost = Steps(), PodWatch(server), 0.0
    while True:
        try:
            run = server.client.get_run(run_id)
        except ClusterError as error:
            if error.status is not None and error.status < 500:
                raise
            if not lost:
                yield f"{error}; the run goes on, and so does waiting for it"
            lost = lost or time.monotonic()
            if time.monotonic() - lost > PATIENCE_SECONDS:
                raise
        else:
            lost = 0.0
            yield from steps.news(run)
            pods = watch.pods(run, at_once=run.state in FINAL)
            yield from steps.beside(run, pods)
            for step, why in watch.obstacles(pods):
                yield _line(run, datetime.now(UTC), step, why)
            if run.state in FINAL:
                return
        time.sleep(POLL_SECONDS)


def failure_of(server: Kubeflow, run: Any) -> tuple[list[str], str]:
    """The steps of a run that failed, and what the first of them said, as far as that can be seen."""
    steps, watch = Steps(), PodWatch(server)
    pods = watch.pods(run, at_once=True)
    for _ in (*steps.news(run), *steps.beside(run, pods)):
        pass
    failed = [title for title, state in steps.states.items() if state == "FAILED"]
    return failed, watch.cause(pods, failed[0].split()[0]) if failed else ""


@dataclass(frozen=True)
class Results:
    """What a run came to, as its store has it.

    Attributes:
        keys: of the results, by title of the step.
        predictions: the winner's answers to rows without labels.
    """

    store: ArtifactStore
    verdict: str
    keys: Mapping[str, str]
    predictions: ArtifactRef | None = None

    @classmethod
    def of(cls, run: Any) -> Results:
        """The results of a run that has succeeded.

        Raises:
            InputError: where its store is cannot be known here, or the store does not have them.
            StoreError: the store cannot be reached from here.
        """
        parameters = (run.runtime_config.parameters if run.runtime_config else None) or {}
        config = config_of(parameters, Path.cwd())
        uri = str(config.store) if config else parameters.get("run_store", "")
        if not uri:
            raise InputError(f"the parameters of run {run.run_id} do not say here where its store is")
        store = _store(uri)
        text = store.documents(KFP_RUNS).get(f"{run.run_id}.json")
        if text is None:
            raise InputError(
                f"the store {redact(uri)} has no results of run {run.run_id}: its report was not made there"
            )
        note = json.loads(text)
        predictions = note.get("predictions")
        answers = ArtifactRef.model_validate(predictions) if predictions else None
        return cls(store, note["verdict"], note["results"], answers)

    def report(self) -> ReportRecord:
        return self._one(ReportRecord, self.keys["report"])

    def fetch(self, folder: Path) -> dict[str, Path]:
        """Copy the report, and what there is of the winner's model and answers; returns what lies where in a folder."""
        report = self.report()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.store.fetch(report.artifacts["report"]), folder, dirs_exist_ok=True, copy_function=_copy)
        found = {"Report": folder / "report.html"}
        decision = self._one(DecisionRecord, self.keys["decide"])
        if decision.winner_model_key:
            model = self._one(ModelRecord, decision.winner_model_key)
            shutil.rmtree(folder / "model", ignore_errors=True)
            shutil.copytree(self.store.fetch(model.artifacts["model"]), folder / "model", copy_function=_copy)
            found["Model"] = folder / "model"
        if self.predictions:
            from podium.local.unlabelled import PREDICTIONS_FILE

            _copy(str(self.store.fetch(self.predictions) / PREDICTIONS_FILE), str(folder / PREDICTIONS_FILE))
            found["Unseen"] = folder / PREDICTIONS_FILE
        return found

    def _one(self, kind: type[R], key: str) -> R:
        record = self.store.get(kind, key)
        if record is None:
            raise InputError(
                f"the store {redact(self.store.uri)} has lost {kind.kind}/{key[:12]}; submit the run again"
            )
        return record


@cache
def _store(uri: str) -> ArtifactStore:
    return ArtifactStore(uri)


def _copy(source: str, target: str) -> None:
    """Copy a file's bytes only: those of a store may not be written."""
    Path(target).unlink(missing_ok=True)
    shutil.copyfile(source, target)


def cancel(server: Kubeflow, run_id: str, seconds: float) -> Iterator[str]:
    """Terminate a run and wait until it and what it started in the cluster have ended; lines for people.

    Raises:
        ClusterError: the run has not ended in time, or what it started cannot be seen from here.
        StepFailed: a pod, a Job or an Experiment of it has not ended in time; the message names what.
    """
    run = server.client.get_run(run_id)
    if run.state not in FINAL:
        # Asked again, Kubeflow refuses what is being canceled already.
        if run.state != "CANCELING":
            server.client.terminate_run(run_id)
        yield f"run {run_id} is being terminated"
    deadline = time.monotonic() + seconds
    while (run := server.client.get_run(run_id)).state not in FINAL:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"run {run_id} must end within {seconds:g} s of its termination, but it is {run.state}; wait longer "
                f"with --timeout, or look at it: {server.link('runs', run_id)}"
            )
        time.sleep(POLL_SECONDS)
    yield f"run {run_id} is {state_of(run)}"
    try:
        cluster = Cluster.connect(namespace_of(server, run)).once()
        while left := _alive(cluster, run_id):
            yield from _delete_waiting(cluster, left)
            if time.monotonic() > deadline:
                named = ", ".join(cluster.title(kind, name_of(one)) for kind, one in left)
                raise StepFailed(
                    f"run {run_id} has ended, but these run on in the cluster: {named}; "
                    "delete them with kubectl, or wait longer with --timeout"
                )
            time.sleep(POLL_SECONDS)
    except ClusterError as error:
        raise ClusterError(
            f"run {run_id} has ended, but whether its pods, Jobs and Experiments have is not known here: {error}; "
            f"look with kubectl get pods,jobs,experiments -A -l '{RUN_LABEL}={run_id}' and -l '{OWN_LABEL}={run_id}'",
            status=error.status,
        ) from error
    yield "its pods, Jobs and Experiments have ended"


def _delete_waiting(cluster: Cluster, left: list[tuple[Kind, Manifest]]) -> Iterator[str]:
    """Delete the pods that wait to be started; Argo leaves them when a run ends, and they would wait for days."""
    for kind, one in left:
        if kind == POD and obstacle_of(one) is not None:
            try:
                cluster.delete(POD, name_of(one))
            except ClusterError as error:
                if error.status != 403:
                    raise
                continue
            yield f"{cluster.title(POD, name_of(one))} had not started and is deleted"


def _alive(cluster: Cluster, run_id: str) -> list[tuple[Kind, Manifest]]:
    found: list[tuple[Kind, Manifest]] = []
    for kind, label in ((POD, RUN_LABEL), (POD, OWN_LABEL), (JOB, OWN_LABEL), (EXPERIMENT, OWN_LABEL)):
        try:
            found += [(kind, one) for one in cluster.find(kind, f"{label}={run_id}")]
        except ClusterError as error:
            # Without Katib there are no Experiments.
            if error.status != 404:
                raise
    return [(kind, one) for kind, one in found if _at_work(kind, one)]


def _at_work(kind: Kind, manifest: Manifest) -> bool:
    if kind == POD:
        return manifest.get("status", {}).get("phase") not in ENDED
    return condition(manifest, "Complete", "Succeeded", "Failed") is None


def results_of(run: Any) -> Results | None:
    """What a run came to; None unless it has succeeded and its store can be reached."""
    try:
        return Results.of(run) if run.state == "SUCCEEDED" else None
    except (PodiumError, OSError):
        return None


def state_of(run: Any) -> str:
    """How a run is; Kubeflow itself says FAILED of one that was stopped, and only the history knows better."""
    stopped = any(one.state == "CANCELING" for one in run.state_history or ())
    return "CANCELED" if run.state == "FAILED" and stopped else str(run.state or "PENDING")


def age(since: datetime, until: datetime | None = None) -> float:
    """Seconds between two times; until now where there is no other."""
    return max(0.0, ((until or datetime.now(UTC)) - since).total_seconds())


def ended(run: Any) -> Any:
    """When a run ended; None while it has not, for which Kubeflow writes the year 1970."""
    return run.finished_at if run.finished_at and run.finished_at.year > 1970 else None


def facts_of(server: Kubeflow, run: Any) -> dict[str, Any]:
    """A run for tools."""
    key, results = _KEY.fullmatch(run.display_name), results_of(run)
    return {
        "run_id": run.run_id,
        "name": run.display_name,
        "key": key[1] if key else "",
        "state": state_of(run),
        "created_at": run.created_at.isoformat(),
        "finished_at": ended(run).isoformat() if ended(run) else None,
        "verdict": results.verdict if results else "",
        "url": server.link("runs", run.run_id),
    }
