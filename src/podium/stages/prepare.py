"""From the run form to a validated config and a run, what the run would do, and step `prepare`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import cast

from podium.config.compose import Composed, compose
from podium.config.dataset import READING
from podium.config.entrants import ENTRANTS
from podium.config.form import RunForm
from podium.config.overrides import Assignment, Parsed, choice_of, entrant_choice, parse_overrides
from podium.config.paths import is_remote, is_uri, locate, resolve
from podium.config.schema import PodiumConfig
from podium.errors import ClusterError, ConfigError, DataError, InputError
from podium.hpo.experiment import Progress
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import LEDGERS, has_failed
from podium.keys import Key
from podium.records import DataRecord, PlanRecord, Record, RunRecord, StudyRecord, withdrawn
from podium.stages.hpo import MAIN, experiment_of
from podium.stages.plan import planned
from podium.stages.step import Step, StepInputs, StepRun, execute, open_store
from podium.stages.steps import input_titles, inputs_of, nodes, step_named
from podium.store.explain import differences
from podium.store.store import ArtifactStore
from podium.tasks import TASKS
from podium.text import shortened
from podium.tracking import registry_state, tracker_for
from podium.tracking.base import TAG_JOB, TAG_KFP_RUN, TAG_KIND

IN_POD = "KUBERNETES_SERVICE_HOST"
"""A variable that Kubernetes sets in every pod."""

_SHOWN = 3
_READING = {("dataset", name) for name in READING}
"""Fields by which inference reads the data, where the user has set them."""

JOB_VARIABLE = "PODIUM_JOB"
"""Uid of the Job whose pod runs `podium run`; the chart sets it."""

_log = logging.getLogger(__name__)


def resolve_form(form: RunForm, directory: Path) -> Composed:
    """Turn a form into a validated config; relative paths are relative to `directory`.

    Raises:
        ConfigError: a value is unknown or contradicts another.
        InputError: the data or an entrant is missing, or its columns cannot be inferred.
    """
    files = [locate(resolve(form.run_config, directory))] if form.run_config else []
    given = Parsed()
    # The default preset is left to composition, so that a file may choose another.
    if form.run_preset:
        given.groups["preset"] = choice_of("preset", form.run_preset)
    lines: tuple[str, ...] = ()
    if form.data_path:
        from podium.data.infer import infer

        place = resolve(form.data_path, directory)
        path = locate(place)
        assigned = parse_overrides(form.run_overrides).assignments
        declared = {one.path[1]: one.value for one in assigned if one.path in _READING}
        found = infer(
            path,
            form.data_task or None,
            form.data_text_column or None,
            form.data_label_column or None,
            declared,
            uri=place if is_remote(place) else "",
        )
        given.add(found.given)
        given.groups.setdefault("hpo", f"hpo={TASKS.get(found.task).search}")
        lines = tuple(found.lines)
    if form.model_entrants:
        given.add(entrant_choice(form.model_entrants))
    given.assignments += [Assignment(tuple(name.split(".")), value) for name, value in form.config_values().items()]
    preset = f"preset={'auto' if form.data_path else 'quickstart'}"
    return replace(compose(form.run_overrides, directory, files, given, preset), inferred=lines)


def prepare(form: RunForm, kfp_run_id: str) -> tuple[RunRecord, Record, Record, bool]:
    """What the first pod of a pipeline does: compose the config, open the parent run, prepare the data, and plan.

    Returns:
        The run with its planned config, the results of the steps `prepare` and `plan`, and whether those of all other
        steps are stored.

    Every entrant is located before anything is computed, so that a missing one costs no training.

    Raises:
        ConfigError, DataError, ModelError: the input cannot be used.
    """
    config = resolve_form(form, Path.cwd()).config
    if IN_POD in os.environ:
        check_shared(config)
    locate_entrants(config)
    tags = {TAG_KFP_RUN: kfp_run_id} if kfp_run_id else {}
    run = open_parent(new_run(config, f"{datetime.now():%Y%m%d-%H%M%S}-{kfp_run_id[:8] or os.getpid()}", tags))
    data = execute(step_named("prepare"), StepInputs(run))
    plan = execute(step_named("plan"), StepInputs(run, (data,)))
    run = planned(run, cast(PlanRecord, plan))
    return run, data, plan, all_stored(run, {"prepare": data, "plan": plan})


def all_stored(run: RunRecord, found: dict[str, Record]) -> bool:
    """Whether the results of all steps are stored, as far as this pod can tell; see `foreseen` for `found`."""
    try:
        return all(stored is not None for *_, stored in foreseen(run, found))
    except InputError:
        # Only the pod that measures has the device or the cores that the key of its result names.
        return False


def close(form: RunForm, kfp_run_id: str, state: str) -> None:
    """End the runs in MLflow that a pipeline left running, be it for an error, a cancellation or a lost pod.

    Args:
        form: as `prepare` got it, of which only where the run is recorded matters.
        state: how the pipeline ended, in KFP's words.

    Raises:
        TrackingError: MLflow does not answer.
    """
    try:
        config = resolve_form(replace(form, data_path="", model_entrants=()), Path.cwd()).config
    except ConfigError as error:
        _log.warning("with this config `prepare` opened no run in MLflow, so none is closed: %s", error)
        return
    if config.tracking.mode == "off":
        return
    tracker = tracker_for(config.tracking)
    left = [run for run in tracker.runs({TAG_KFP_RUN: kfp_run_id}) if run.status == "RUNNING"]
    killed = bool(left) and (state == "CANCELLED" or _was_terminated(kfp_run_id))
    for run in left:
        tracker.close(run.run_id, "KILLED" if killed else "FAILED")


def _was_terminated(kfp_run_id: str) -> bool:
    """Whether somebody terminated a Kubeflow run. KFP 2.17 calls that failed; its trace is a deadline of 0 s."""
    from podium.cluster.client import POD_NAMESPACE, WORKFLOW, Cluster

    if not POD_NAMESPACE.is_file():
        return False
    try:
        found = Cluster.connect().once().find(WORKFLOW, f"pipeline/runid={kfp_run_id}")
    except ClusterError as error:
        _log.warning("whether the run was cancelled or failed cannot be seen: %s", error)
        return False
    return any(one["spec"].get("activeDeadlineSeconds") == 0 for one in found)


def check_shared(config: PodiumConfig) -> None:
    """Check that the next pod finds what this one stores and records.

    Raises:
        ConfigError: the store or MLflow's database lies in this pod alone; the message names the run form's field.
    """
    shared = config.cluster.volume_path
    places = [("run_store", str(config.store), "the URI of an object store, such as s3://bucket/podium")]
    if config.tracking.mode != "off":
        server = 'the URI of an MLflow server, or add "tracking.mode=off" to run_overrides'
        places.append(("run_tracking_uri", str(config.tracking.uri), server))
    for name, uri, remedy in places:
        path = uri.partition(":///")[2] if uri.startswith(("file:", "sqlite:")) else uri
        remote = is_uri(uri) and not uri.startswith(("file:", "sqlite:", "memory:"))
        if not remote and not (shared and PurePosixPath(f"/{path.lstrip('/')}").is_relative_to(shared)):
            raise ConfigError(
                f"{name} must be a place that all pods share, but {uri} is on one machine alone; give {remedy}"
            )


def locate_entrants(config: PodiumConfig) -> None:
    """Check that what every entrant starts from is here.

    Raises:
        ModelError: a pretrained model is missing or has no safetensors weights; the message says what to do.
    """
    for entrant in config.entrants.values():
        ENTRANTS.get(entrant.kind).source(entrant)


def new_run(config: PodiumConfig, run_id: str, tags: dict[str, str] | None = None) -> RunRecord:
    """A run that begins now, with the champion that the registry has now; it has no parent run in MLflow yet.

    What `auto` means for an entrant on this machine is decided here, for all steps and processes.
    """
    for kind in sorted({entrant.kind for entrant in config.entrants.values()}):
        config = ENTRANTS.get(kind).decided(config)
    registry = registry_state(config.tracking, config.model_name)
    gone, job = withdrawn(registry.moves), os.environ.get(JOB_VARIABLE)
    tags = {**(tags or {}), **({TAG_JOB: job} if job else {})}
    return RunRecord(run_id=run_id, config=config, incumbent=registry.incumbent, withdrawn=gone, tags=tags)


def open_parent(run: RunRecord, tags: Mapping[str, str] | None = None) -> RunRecord:
    """The run with its parent run in MLflow: a new one, or the one that the KFP plugin made (`MLFLOW_RUN_ID`).

    A pod of a Job begins when the one before is gone: what that one left open in MLflow was killed.
    """
    tracker = tracker_for(run.config.tracking)
    if job := run.tags.get(TAG_JOB):
        for left in tracker.runs({TAG_JOB: job}):
            if left.status == "RUNNING":
                tracker.close(left.run_id, "KILLED")
    tags = {TAG_KIND: "run", "podium.run_id": run.run_id, **run.tags, **(tags or {})}
    name = f"{run.config.dataset.name} {run.run_id}"
    parent = tracker.open_run(name, tags, os.environ.get("MLFLOW_RUN_ID"))
    return run.model_copy(update={"mlflow_run_id": parent or None})


def compute(step: StepRun) -> DataRecord:
    """Read, check, split and store the data set."""
    from podium.data.prepare import prepare as prepare_dataset

    dataset, run_id = step.config.dataset, step.mlflow_run_id
    with step.store.scratch() as scratch:
        prepared = prepare_dataset(dataset, step.config.seed, scratch / "data")
        if prepared.sources != step.key.parts["sources"]:
            raise DataError(f"{dataset.path} changed while it was read; run the same command again")
        artifact = step.store.put_artifact("data", scratch / "data")
    record = DataRecord(**step.stamp, **dict(prepared), artifacts={"data": artifact})
    step.tracker.log_params(run_id, {"dataset": record.name, "task": record.task, "seed": step.config.seed})
    step.tracker.log_metrics(run_id, {f"rows.{name}": count for name, count in record.rows.items()})
    step.tracker.log_input(run_id, record, dataset.path)
    return record


def plan(run: RunRecord) -> str:
    """The steps of a run, in order, one per line: what would happen, the key where it is known, and why.

    Raises:
        ModelError: an entrant is missing.
    """
    locate_entrants(run.config)
    found: dict[str, Record] = {}
    lines = lines_of(list(foreseen(run, found)))
    return "\n".join([*lines, f"{len(lines) - len(found)} of {len(lines)} steps would run; nothing was computed"])


Foreseen = tuple[str, str, str, Record | None]
"""Title of a step, its key, what would happen to it, and the stored result that would be reused."""


def foreseen(run: RunRecord, found: dict[str, Record], until: str = "") -> Iterator[Foreseen]:
    """What would happen to the steps of a run, in order.

    Args:
        found: results by title, whose steps are left out; stored ones are added.
        until: name of the first step that is not looked at.
    """
    for step, entrant in nodes(run.config.entrants):
        if step.name == until:
            return
        if (title := step.title(entrant)) not in found:
            key, reason, stored = plan_step(step, entrant, run, found)
            if stored is not None:
                found[title] = stored
            yield title, key, reason, stored


def lines_of(steps: Sequence[Foreseen]) -> list[str]:
    """A line for each step."""
    width = max(len(title) for title, *_ in steps)
    return [
        f"{title:<{width}}  {'run' if stored is None else 'reuse':<5}  {key[:12]:<12}  {reason}"
        for title, key, reason, stored in steps
    ]


def plan_step(step: Step, entrant: str, run: RunRecord, found: Mapping[str, Record]) -> tuple[str, str, Record | None]:
    """The key of a step, what would happen to it, and the stored result that would be reused.

    Args:
        found: by title, what would be reused of the steps before this one; without all that it reads it has no key yet.
    """
    if missing := set(input_titles(step, entrant, run.config.entrants)) - found.keys():
        titles = [other.title(one) for other, one in nodes(run.config.entrants)]
        return "", f"depends on the result of {max(missing, key=titles.index)}", None
    inputs, store = inputs_of(step, entrant, run, found), open_store(run.config)
    key = step.key(inputs)
    if (skipped := step.skipped(inputs, key)) is not None:
        return key.digest, "there is nothing to do", skipped
    if run.config.run_mode == "force_new":
        return key.digest, "run_mode=force_new", None
    if (record := step.stored(store, inputs, key)) is not None:
        return key.digest, f"stored {record.created_at:%Y-%m-%d %H:%M}", record
    stored = store.get(step.record, key.digest)
    if step.record is not StudyRecord:
        return key.digest, "the registry has lost its promotion" if stored else _why_missing(store, key), None
    ledger = stored.ledger if isinstance(stored, StudyRecord) else MAIN
    lost = "its trials are lost; it would begin anew" if stored else None
    return key.digest, _unfinished(run, entrant, store, key, ledger) or lost or _why_missing(store, key), None


def _unfinished(run: RunRecord, entrant: str, store: ArtifactStore, key: Key, ledger: str) -> str | None:
    """Where a study goes on that was stopped, failed, or has a larger budget now; None where it has no trials."""
    trials = TrialLedger(store.documents(f"{LEDGERS}/{key.digest}/{ledger}")).trials()
    if not trials:
        return None
    experiment = experiment_of(run.config, entrant)
    progress = Progress(experiment, trials)
    left = len(trials) - progress.ended
    cut_off = f" and {left} that were cut off" if left else ""
    done = f"its ledger has {progress.ended} of {run.config.hpo.max_trials} trials{cut_off}"
    if has_failed(experiment, trials):
        again = "they would be executed once more"
        if run.config.hpo.engine != "embedded":
            again = "it would fail again unless hpo.max_failed_trials is raised"
        return f"{done}, and {progress.failed} failed; {again}"
    return f"{done}; it would go on from there"


def _why_missing(store: ArtifactStore, key: Key) -> str:
    """What differs from the nearest stored result of the same kind."""
    stored = (store.parts(key.kind, digest) for _, digest in store.find(f"{key.kind}/"))
    changes = [[f"{path}: {old} → {new}" for path, old, new in differences(parts, key.parts)] for parts in stored]
    if not changes:
        return f"no {key.kind} is stored"
    return f"changed: {shortened(min(changes, key=len), _SHOWN, '; ')}"
