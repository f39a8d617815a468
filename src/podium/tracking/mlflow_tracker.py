"""The tracker that records in MLflow, and how it reads back what was recorded."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.tracking.aliases import Aliases
from podium.tracking.base import CHAMPION, TAG_KEY, TAG_KIND, TAG_MODEL_KEY, TrackedInput, TrackedModel, TrackedRun
from podium.tracking.connection import or_none
from podium.tracking.registry import Registry
from podium.tracking.trials import Trials

_PAGE = 1000


class MlflowTracker(Trials, Registry, Aliases):
    """Records in a sqlite file, a database, or an MLflow server, by `MlflowClient` alone.

    It uses no active run and no global tracking URI. See `Tracker` for the contract of each method.
    """

    def run(self, run_id: str) -> TrackedRun | None:
        found = self._run(run_id)
        return _run(found) if found else None

    def runs(self, tags: Mapping[str, str]) -> list[TrackedRun]:
        clauses = [
            f"tags.`{name}` LIKE '{value[:-1]}%'" if value.endswith("*") else f"tags.`{name}` = '{value}'"
            for name, value in tags.items()
        ]
        return self._search(" AND ".join(clauses))

    def steps(self) -> list[TrackedRun]:
        found = self._search(f"tags.`{TAG_KIND}` != 'trial' AND tags.`{TAG_KIND}` != 'fold'")
        return [run for run in found if TAG_KEY in run.tags]

    def registered(self, model_name: str, selector: str = CHAMPION) -> TrackedModel | None:
        def get(client: Any) -> TrackedModel | None:
            model = or_none(lambda: client.get_registered_model(model_name))
            if model is None:
                return None
            number = selector if selector.isdigit() else model.aliases.get(selector)
            version = or_none(lambda: client.get_model_version(model_name, number)) if number else None
            return _version(version, model.aliases) if version else None

        return self._call(f"looking up {selector} of {model_name}", get)

    def versions(self, model_key: str) -> list[TrackedModel]:
        def get(client: Any) -> list[TrackedModel]:
            found = client.search_model_versions(f"tags.`{TAG_MODEL_KEY}` = '{model_key}'")
            return [_version(item, client.get_registered_model(item.name).aliases) for item in found]

        return self._call(f"looking up versions of refit {model_key[:12]}", get)

    def read_text(self, run_id: str, file: str) -> str | None:
        folder = file.rpartition("/")[0]

        def read(client: Any) -> str | None:
            if not any(item.path == file for item in client.list_artifacts(run_id, folder or None)):
                return None
            with tempfile.TemporaryDirectory(prefix="podium-read-") as scratch:
                return Path(client.download_artifacts(run_id, file, scratch)).read_text()

        return self._call(f"reading {file} of run {run_id}", read)

    def _search(self, query: str) -> list[TrackedRun]:
        def search(client: Any) -> list[TrackedRun]:
            experiments = [item.experiment_id for item in _pages(client.search_experiments)]
            return [_run(run) for run in _pages(client.search_runs, experiments, query)]

        return self._call("searching runs", search)


def _pages(search: Any, *arguments: Any) -> list[Any]:
    page = search(*arguments, max_results=_PAGE)
    found = list(page)
    while page.token:
        page = search(*arguments, max_results=_PAGE, page_token=page.token)
        found += page
    return found


def _run(run: Any) -> TrackedRun:
    info, data, given = run.info, run.data, run.inputs.dataset_inputs if run.inputs else []
    inputs = tuple(
        TrackedInput(one.name, one.digest, json.loads(one.source).get("uri", ""), json.loads(one.profile or "{}"))
        for one in (item.dataset for item in given)
    )
    return TrackedRun(
        info.run_id, info.run_name, info.status, info.start_time, data.tags, data.params, data.metrics, inputs
    )


def _version(version: Any, aliases: Mapping[str, Any]) -> TrackedModel:
    number = str(version.version)
    held = tuple(sorted(alias for alias, holder in aliases.items() if str(holder) == number))
    return TrackedModel(version.name, number, version.run_id or "", held, dict(version.tags))
