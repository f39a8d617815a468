"""Runs: parents, steps, trials and folds, with their parameters, metrics, tags, files and inputs."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from podium.errors import InputError, TrackingError
from podium.records import DataRecord, TrialRecord, TrialStatus
from podium.text import redact
from podium.tracking import base
from podium.tracking.base import RunStatus, flatten, tidy_name
from podium.tracking.connection import Connection, load_mlflow

PARENT_RUN = "mlflow.parentRunId"
ATTACHED = "podium.attached"
REQUEST = "podium.request"
"""Tag by which a run or model is found whose creation succeeded although its answer was lost."""

CONTENT = "podium.trial.content"
"""Tag that holds the digest of the trial as it was recorded."""
CONTINUES = "podium.continues"
FOLD = "podium.fold"

_STATUS: dict[TrialStatus, RunStatus | None] = {
    "running": None,
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "pruned": "KILLED",
}
_BATCH = 100
_BATCH_CHARACTERS = 200_000
_INLINE_SOURCES = 4000
"""Characters of file digests that fit into a data set's profile, which is sent with every run that is listed."""


class Runs(Connection):
    """Opening, filling and closing runs."""

    def open_run(self, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        tags = {base.TAG_KIND: "run", **tags}
        return self._attach(self._outermost(run_id), tags) if run_id else self._create(name, tags, None)

    def open_step(self, parent: str, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        tags = {base.TAG_KIND: "step", **tags}
        return self._attach(run_id, tags) if run_id else self._create(name, tags, parent)

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        self._log(run_id, params=flatten(params))

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        self._log(run_id, metrics=self._metrics(metrics, step))

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._log(run_id, tags=tags.items())

    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        def upload(client: Any) -> None:
            send = client.log_artifacts if path.is_dir() else client.log_artifact
            send(run_id, str(path), folder or None)

        self._call(f"attaching {path.name} to run {run_id}", upload)

    def log_input(self, run_id: str, data: DataRecord, source: str) -> None:
        entities = load_mlflow().entities
        profile: dict[str, Any] = {"key": data.key, "task": data.task, "rows": data.rows, "labels": data.label_counts}
        files = json.dumps(data.sources)
        if len(files) <= _INLINE_SOURCES:
            profile["sources"] = data.sources
        else:
            profile["sources_file"] = f"inputs/{data.key}.json"
            doing = f"attaching {profile['sources_file']} to run {run_id}"
            self._call(doing, lambda client: client.log_text(run_id, files, profile["sources_file"]))
        scheme, separator, _ = source.partition(":")
        entity = entities.Dataset(
            name=data.name,
            digest=data.key[: base.MAX_DATASET_DIGEST],
            source_type=scheme if separator else "local",
            source=json.dumps({"uri": redact(source)}),
            profile=json.dumps(profile),
        )
        self._call(
            f"recording the input {data.name} of run {run_id}",
            lambda client: client.log_inputs(run_id, [entities.DatasetInput(entity, [])]),
        )

    def log_trial(self, step_run_id: str, trial: TrialRecord) -> None:
        step = self._call(f"looking up run {step_run_id}", lambda client: client.get_run(step_run_id))
        key, number = step.data.tags.get(base.TAG_KEY), {base.TAG_TRIAL: str(trial.number)}
        owner = {f"{base.TAG_PARENT}study": key} if key else {PARENT_RUN: step_run_id}
        found = self._tagged(step, {base.TAG_KIND: "trial", **owner, **number})
        content = hashlib.sha256(trial.model_dump_json().encode()).hexdigest()
        for run in found:
            if run.data.tags.get(CONTENT) == content and run.info.status == (_STATUS[trial.status] or "RUNNING"):
                if run.data.tags.get(PARENT_RUN) != step_run_id:
                    self.set_tags(step_run_id, {CONTINUES: run.data.tags.get(PARENT_RUN, "")})
                return
        here = [run for run in found if run.data.tags.get(PARENT_RUN) == step_run_id]
        unfinished = [run for run in found if run.info.status == "RUNNING"]
        tags = {name: value for name, value in step.data.tags.items() if name.startswith(base.TAG_PARENT)} | number
        tags |= owner if key else {}
        self._record_trial(step_run_id, next(iter(here + unfinished), None), tags, trial, content)

    def _tagged(self, beside: Any, tags: Mapping[str, str]) -> list[Any]:
        """Runs with these tags in the experiment of the run `beside`, latest first."""
        experiments = [beside.info.experiment_id]
        doing = f"looking up a {tags[base.TAG_KIND]} beside run {beside.info.run_id}"
        return list(self._call(doing, lambda client: client.search_runs(experiments, query(tags))))

    def _record_trial(
        self, step_run_id: str, existing: Any, tags: Mapping[str, str], trial: TrialRecord, content: str
    ) -> None:
        started, ended = _milliseconds(trial.started_at), _milliseconds(trial.finished_at or trial.started_at)
        name, folds = f"trial-{trial.number:03d}", {}
        if existing is None:
            run_id = self._create(name, {**tags, base.TAG_KIND: "trial"}, step_run_id, started)
        else:
            run_id = existing.info.run_id
            if existing.data.tags.get(PARENT_RUN) != step_run_id:
                self.set_tags(run_id, {PARENT_RUN: step_run_id})
            known = self._tagged(existing, {base.TAG_KIND: "fold", PARENT_RUN: run_id})
            folds = {run.data.tags[FOLD]: run.info.run_id for run in known}
        course, at = [], started
        for fold, score in sorted(trial.fold_scores.items(), key=lambda item: int(item[0])):
            fold_tags = {**tags, base.TAG_KIND: "fold", FOLD: fold}
            fold_id = folds.get(fold) or self._create(f"{name}-fold-{fold}", fold_tags, run_id, at)
            seconds = trial.fold_seconds.get(fold, 0.0)
            at = None if at is None else at + int(seconds * 1000)
            figures = {**trial.fold_metrics.get(fold, {}), "score": score, "seconds": seconds}
            self._log(fold_id, metrics=self._metrics(figures, at_ms=at))
            self._end(fold_id, "FINISHED", at)
            course += self._metrics({"fold_score": score}, int(fold), ended)
        for step, report in enumerate(trial.reports, start=1):
            course += self._metrics({"running_score": report.value}, step, ended)
        figures = {"seconds": sum(trial.fold_seconds.values())}
        figures |= {f"mean_{name}": observed.latest for name, observed in trial.metrics.items()}
        figures |= {} if trial.score is None else {"score": trial.score}
        state = {"podium.trial.status": str(trial.status), "podium.reason": trial.reason, "podium.error": trial.error}
        state |= {f"podium.label.{name}": str(value) for name, value in trial.labels.items()}
        said = [(tag, value) for tag, value in state.items() if value]
        params = [(key, str(value)) for key, value in trial.params.items()]
        self._log(run_id, params, [*course, *self._metrics(figures, at_ms=ended)], [*said, (CONTENT, content)])
        if status := _STATUS[trial.status]:
            self._end(run_id, status, ended)

    def _end(self, run_id: str, status: RunStatus, at_ms: int | None) -> None:
        self._call(f"closing run {run_id}", lambda client: client.set_terminated(run_id, status, at_ms))

    def close(self, run_id: str, status: RunStatus) -> None:
        def end(client: Any) -> None:
            if ATTACHED not in client.get_run(run_id).data.tags:
                client.set_terminated(run_id, status)

        self._call(f"closing run {run_id}", end)

    def _create(self, name: str, tags: Mapping[str, str], parent: str | None, start_ms: int | None = None) -> str:
        request = {REQUEST: uuid.uuid4().hex}
        nested = {PARENT_RUN: parent} if parent else {}
        fitted = dict(_fit({**tags, **request, **nested}.items(), base.MAX_TAG))

        def home(client: Any) -> str:
            return str(client.get_run(parent).info.experiment_id) if parent else self._experiment_id(client)

        def create(client: Any) -> str:
            made = client.create_run(home(client), start_time=start_ms, tags=fitted, run_name=redact(name))
            return str(made.info.run_id)

        def created(client: Any) -> str | None:
            found = client.search_runs([home(client)], query(request), max_results=1)
            return str(found[0].info.run_id) if found else None

        return self._call(f"opening run {name!r}", create, created)

    def _attach(self, run_id: str, tags: Mapping[str, str]) -> str:
        def reopen(client: Any) -> bool:
            run = client.get_run(run_id)
            if run.info.lifecycle_stage != "active":
                raise TrackingError(f"run {run_id} at {self.uri} must be active to attach to, but it is deleted")
            if run.info.status != "RUNNING":
                client.update_run(run_id, status="RUNNING")
            return base.TAG_KIND in run.data.tags and ATTACHED not in run.data.tags

        ours = self._call(f"attaching to run {run_id}", reopen)
        self.set_tags(run_id, dict(tags) if ours else {**tags, ATTACHED: "true"})
        return run_id

    def _outermost(self, run_id: str) -> str:
        def climb(client: Any) -> str:
            seen = [run_id]
            while (parent := client.get_run(seen[-1]).data.tags.get(PARENT_RUN)) and parent not in seen:
                seen.append(parent)
            return seen[-1]

        return self._call(f"looking up run {run_id}", climb)

    def _log(
        self,
        run_id: str,
        params: Iterable[tuple[str, str]] = (),
        metrics: Sequence[Any] = (),
        tags: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Record all of it in as few requests as MLflow's limits allow."""
        entities = load_mlflow().entities
        items = [("params", entities.Param(*item), len(item[1])) for item in _fit(params, base.MAX_PARAM)]
        items += [("tags", entities.RunTag(*item), len(item[1])) for item in _fit(tags, base.MAX_TAG)]
        items += [("metrics", item, 0) for item in metrics]
        for batch in _batches(items):
            self._call(f"logging to run {run_id}", methodcaller("log_batch", run_id, **batch))

    def _metrics(
        self, metrics: Mapping[str, float], step: int = 0, at_ms: int | None = None, **links: str
    ) -> list[Any]:
        metric = load_mlflow().entities.Metric
        now = at_ms if at_ms is not None else int(time.time() * 1000)
        return [metric(tidy_name(name), float(value), now, step, **links) for name, value in metrics.items()]


def query(tags: Mapping[str, str]) -> str:
    """The search for what carries every one of these tags; a value ending in `*` matches by prefix."""
    return " AND ".join(
        f"tags.`{name}` LIKE {quoted(f'{value[:-1]}%')}" if value.endswith("*") else f"tags.`{name}` = {quoted(value)}"
        for name, value in tags.items()
    )


def quoted(value: str) -> str:
    """`value` as a text in a search of MLflow, whose language has no escape for quotes.

    Raises:
        InputError: it has quotes of both kinds.
    """
    if "'" in value and '"' in value:
        raise InputError(f"MLflow cannot search for a text with both kinds of quotes, but got {value}")
    return f'"{value}"' if "'" in value else f"'{value}'"


def _fit(items: Iterable[tuple[str, str]], limit: int) -> list[tuple[str, str]]:
    """Names and values as MLflow takes them; longer values are cut to `limit` characters."""
    return [(tidy_name(name), redact(str(value))[:limit]) for name, value in items]


def _batches(items: Sequence[tuple[str, Any, int]]) -> Iterator[dict[str, list[Any]]]:
    """Group (kind, entity, characters) by kind so that a request stays below MLflow's 100 items of a kind and 1 MB."""
    batch: dict[str, list[Any]] = {}
    count = size = 0
    for kind, entity, characters in items:
        if count == _BATCH or (batch and size + characters > _BATCH_CHARACTERS):
            yield batch
            batch, count, size = {}, 0, 0
        batch.setdefault(kind, []).append(entity)
        count, size = count + 1, size + characters
    if batch:
        yield batch


def _milliseconds(moment: Any) -> int | None:
    return int(moment.timestamp() * 1000) if moment else None
