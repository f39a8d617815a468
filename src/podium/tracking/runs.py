"""Runs: parents, steps, parameters, metrics, tags, files and inputs."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from podium.errors import TrackingError
from podium.records import DataRecord
from podium.tracking.base import TAG_KIND, RunStatus
from podium.tracking.connection import Connection, load_mlflow
from podium.tracking.text import MAX_DATASET_DIGEST, MAX_PARAM, MAX_TAG, flatten, redact, shorten, tidy_name

PARENT_RUN = "mlflow.parentRunId"
ATTACHED = "podium.attached"
REQUEST = "podium.request"
"""Tag by which a run or model is found whose creation succeeded although its answer was lost."""

_BATCH = 100
_BATCH_CHARACTERS = 200_000
_INLINE_SOURCES = 4000
"""Characters of file digests that fit into a data set's profile, which is sent with every run that is listed."""


class Runs(Connection):
    """Opening, filling and closing runs."""

    def open_run(self, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        tags = {TAG_KIND: "run", **tags}
        return self._attach(self._outermost(run_id), tags) if run_id else self._create(name, tags, None)

    def open_step(self, parent: str, name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
        tags = {TAG_KIND: "step", **tags}
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
            self._keep(run_id, profile["sources_file"], files)
        scheme, separator, _ = source.partition(":")
        entity = entities.Dataset(
            name=data.name,
            digest=data.key[:MAX_DATASET_DIGEST],
            source_type=scheme if separator else "local",
            source=json.dumps({"uri": redact(source)}),
            profile=json.dumps(profile),
        )
        self._call(
            f"recording the input {data.name} of run {run_id}",
            lambda client: client.log_inputs(run_id, [entities.DatasetInput(entity, [])]),
        )

    def close(self, run_id: str, status: RunStatus) -> None:
        def end(client: Any) -> None:
            if ATTACHED not in client.get_run(run_id).data.tags:
                client.set_terminated(run_id, status)

        self._call(f"closing run {run_id}", end)

    def _create(self, name: str, tags: Mapping[str, str], parent: str | None, start_ms: int | None = None) -> str:
        request = uuid.uuid4().hex
        nested = {PARENT_RUN: parent} if parent else {}
        fitted, long = _fit({**tags, REQUEST: request, **nested}.items(), MAX_TAG, "full/tags")

        def home(client: Any) -> str:
            return str(client.get_run(parent).info.experiment_id) if parent else self._experiment_id(client)

        def create(client: Any) -> str:
            made = client.create_run(home(client), start_time=start_ms, tags=dict(fitted), run_name=redact(name))
            return str(made.info.run_id)

        def created(client: Any) -> str | None:
            found = client.search_runs([home(client)], f"tags.`{REQUEST}` = '{request}'", max_results=1)
            return str(found[0].info.run_id) if found else None

        run_id = self._call(f"opening run {name!r}", create, created)
        self._keep_all(run_id, long)
        return run_id

    def _attach(self, run_id: str, tags: Mapping[str, str]) -> str:
        def reopen(client: Any) -> bool:
            run = client.get_run(run_id)
            if run.info.lifecycle_stage != "active":
                raise TrackingError(f"run {run_id} at {self.uri} must be active to attach to, but it is deleted")
            if run.info.status != "RUNNING":
                client.update_run(run_id, status="RUNNING")
            return TAG_KIND in run.data.tags and ATTACHED not in run.data.tags

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
        """Record all of it in as few requests as MLflow's limits allow; long values first go whole into files."""
        entities = load_mlflow().entities
        fitted_params, long_params = _fit(params, MAX_PARAM, "full/params")
        fitted_tags, long_tags = _fit(tags, MAX_TAG, "full/tags")
        self._keep_all(run_id, long_params + long_tags)
        items = [("params", entities.Param(*item), len(item[1])) for item in fitted_params]
        items += [("tags", entities.RunTag(*item), len(item[1])) for item in fitted_tags]
        items += [("metrics", item, 0) for item in metrics]
        for batch in _batches(items):
            self._call(f"logging to run {run_id}", partial(_send, run_id, batch))

    def _metrics(
        self, metrics: Mapping[str, float], step: int = 0, at_ms: int | None = None, **links: str
    ) -> list[Any]:
        metric = load_mlflow().entities.Metric
        now = at_ms if at_ms is not None else int(time.time() * 1000)
        return [metric(tidy_name(name), float(value), now, step, **links) for name, value in metrics.items()]

    def _keep(self, run_id: str, file: str, text: str) -> None:
        self._call(f"attaching {file} to run {run_id}", lambda client: client.log_text(run_id, text, file))

    def _keep_all(self, run_id: str, files: Iterable[tuple[str, str]]) -> None:
        for file, text in files:
            self._keep(run_id, file, text)


def _send(run_id: str, batch: Mapping[str, list[Any]], client: Any) -> None:
    client.log_batch(run_id, **batch)


def _fit(
    items: Iterable[tuple[str, str]], limit: int, folder: str
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Names and values as MLflow takes them, and the whole of each value that had to be cut, by file name."""
    fitted, long = [], []
    for name, value in items:
        clean, tidy = redact(str(value)), tidy_name(name)
        if len(clean) > limit:
            file = f"{folder}/{tidy.replace('/', '_')}.txt"
            long.append((file, clean))
            clean = shorten(clean, limit, file)
        fitted.append((tidy, clean))
    return fitted, long


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
