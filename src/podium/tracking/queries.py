"""Reading back what was recorded."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.tracking.base import CHAMPION, TAG_KEY, TAG_KIND, TAG_MODEL_KEY, TrackedInput, TrackedModel, TrackedRun
from podium.tracking.connection import Connection, or_none

_PAGE = 1000


class Queries(Connection):
    """What lineage asks."""

    def run(self, run_id: str) -> TrackedRun | None:
        """One run, or None."""

        def get(client: Any) -> Any:
            return or_none(lambda: client.get_run(run_id))

        found = self._call(f"looking up run {run_id}", get)
        return _run(found) if found else None

    def runs(self, tags: Mapping[str, str]) -> list[TrackedRun]:
        """Runs of all experiments with these tags, latest first; a value ending in `*` matches by prefix."""
        clauses = [
            f"tags.`{name}` LIKE '{value[:-1]}%'" if value.endswith("*") else f"tags.`{name}` = '{value}'"
            for name, value in tags.items()
        ]
        return self._search(" AND ".join(clauses))

    def steps(self) -> list[TrackedRun]:
        """Every run with a key, but trials and folds."""
        found = self._search(f"tags.`{TAG_KIND}` != 'trial' AND tags.`{TAG_KIND}` != 'fold'")
        return [run for run in found if TAG_KEY in run.tags]

    def registered(self, model_name: str, selector: str = CHAMPION) -> TrackedModel | None:
        """A version by alias or number, or None."""

        def get(client: Any) -> TrackedModel | None:
            model = or_none(lambda: client.get_registered_model(model_name))
            if model is None:
                return None
            number = selector if selector.isdigit() else model.aliases.get(selector)
            version = or_none(lambda: client.get_model_version(model_name, number)) if number else None
            return _version(version, model.aliases) if version else None

        return self._call(f"looking up {selector} of {model_name}", get)

    def versions(self, model_key: str) -> list[TrackedModel]:
        """Every registered version of one refit."""

        def get(client: Any) -> list[TrackedModel]:
            found = client.search_model_versions(f"tags.`{TAG_MODEL_KEY}` = '{model_key}'")
            return [_version(item, client.get_registered_model(item.name).aliases) for item in found]

        return self._call(f"looking up versions of refit {model_key[:12]}", get)

    def read_text(self, run_id: str, file: str) -> str | None:
        """A text file of a run, or None."""
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
    found: list[Any] = []
    token = None
    while True:
        page = search(*arguments, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _run(run: Any) -> TrackedRun:
    inputs = tuple(
        TrackedInput(
            item.dataset.name,
            item.dataset.digest,
            json.loads(item.dataset.source).get("uri", ""),
            json.loads(item.dataset.profile or "{}"),
        )
        for item in (run.inputs.dataset_inputs if run.inputs else [])
    )
    info, data = run.info, run.data
    return TrackedRun(
        info.run_id, info.run_name, info.status, info.start_time, data.tags, data.params, data.metrics, inputs
    )


def _version(version: Any, aliases: Mapping[str, Any]) -> TrackedModel:
    number = str(version.version)
    held = tuple(sorted(alias for alias, holder in aliases.items() if str(holder) == number))
    return TrackedModel(version.name, number, version.run_id or "", held, dict(version.tags))
