"""The tracker that records in MLflow: its models, their versions and aliases, and how recorded things are read back."""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from podium.records import How, Incumbent, ModelRecord, Move, identity
from podium.text import redact
from podium.tracking import base
from podium.tracking.base import TrackedInput, TrackedModel, TrackedRun
from podium.tracking.connection import load_mlflow, or_none
from podium.tracking.package import WEIGHTS, describe_model
from podium.tracking.runs import REQUEST, Runs, query, quoted
from podium.tracking.sqlite_registry import incumbent_of

STORE = "podium.store"
LOGGED_MODEL = "podium.logged_model"

_PAGE = 1000
_ALIVE = timedelta(minutes=10)
"""A move that began more recently may still be under way: only another move abandons it."""


class MlflowTracker(Runs):
    """Records in a sqlite file, a database, or an MLflow server, by `MlflowClient` alone.

    It uses no active run and no global tracking URI. See `Tracker` for the contract of each method.

    MLflow sets one alias per request and offers no transaction over several. So the one request that sets `champion` is
    the move; all others only describe it and can be repaired:

    1. the move is recorded in a tag of the registered model: who, why, from which version to which, state `begun`;
    2. `champion` is set, which a reader sees entirely or not at all;
    3. `previous` is set, and a new champion is no longer `challenger`;
    4. the tag becomes `done`.

    A process that dies on the way leaves the old or the new champion in force. The next move, or the next look at the
    history, sees from the alias which of the two it is, and completes the move or marks it `abandoned`.
    """

    def log_model(self, run_id: str, model: ModelRecord, uri: str) -> str:
        run = self._call(f"looking up run {run_id}", lambda client: client.get_run(run_id))
        if known := run.data.tags.get(LOGGED_MODEL):
            return str(known)
        tags = {**_tags(model), STORE: redact(uri)}
        model_id = self._create_logged_model(run, model, tags)
        figures = {"cv_score": model.cv_score}
        for name, interval in model.metrics.items():
            figures |= {name: interval.value, f"{name}.low": interval.low, f"{name}.high": interval.high}
        self._log(run_id, metrics=self._metrics(figures, model_id=model_id))
        output = load_mlflow().entities.LoggedModelOutput(model_id, step=0)
        self._call(f"linking model {model_id}", lambda client: client.log_outputs(run_id, [output]))
        self._call(f"finishing model {model_id}", lambda client: client.finalize_logged_model(model_id, "READY"))
        self.set_tags(run_id, {**tags, LOGGED_MODEL: model_id})
        return model_id

    def incumbent(self, model_name: str) -> Incumbent | None:
        found = self.registered(model_name, base.CHAMPION)
        return incumbent_of(model_name, found.version, found.tags, self.uri) if found else None

    def register(
        self,
        model_name: str,
        run_id: str,
        path: Path,
        model: ModelRecord,
        *,
        variant: str = "eager",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        own = {**_tags(model), base.TAG_VARIANT: variant, **(tags or {})}
        tags = {name: redact(value) for name, value in own.items()}
        self._call(
            f"registering {model_name}",
            lambda client: or_none(lambda: client.create_registered_model(model_name), "RESOURCE_ALREADY_EXISTS"),
        )
        wanted = (model.artifacts["model"].digest, variant)
        held = [
            int(item.version)
            for item in self.versions(model.key)
            if item.name == model_name
            and (item.tags.get(base.TAG_MODEL_DIGEST), item.tags.get(base.TAG_VARIANT, "eager")) == wanted
        ]
        if not held:
            return self._register(model_name, run_id, path, model, tags)
        version = str(max(held))
        self.tag_version(model_name, version, tags)
        return version

    def tag_version(self, model_name: str, version: str, tags: Mapping[str, str]) -> None:
        def tag(client: Any) -> None:
            for key, value in tags.items():
                client.set_model_version_tag(model_name, version, key, value)

        self._call(f"tagging version {version} of {model_name}", tag)

    def download_model(self, model_name: str, version: str, folder: Path) -> Path:
        def download(client: Any) -> str:
            source = f"{client.get_model_version(model_name, version).source}/{WEIGHTS}"
            folder.mkdir(parents=True, exist_ok=True)
            download = load_mlflow().artifacts.download_artifacts
            return str(download(source, dst_path=str(folder), tracking_uri=self._uri))

        return Path(self._call(f"downloading version {version} of {model_name}", download))

    def _register(self, name: str, run_id: str, path: Path, model: ModelRecord, tags: Mapping[str, str]) -> str:
        run = self._run(run_id)
        known = run.data.tags if run else {}
        # The logged model of the refit's run is the eager one; another variant has files of its own.
        mine = known.get(base.TAG_MODEL_KEY) == model.key and tags[base.TAG_VARIANT] == "eager"
        model_id = (known.get(LOGGED_MODEL) if mine else None) or self._create_logged_model(run, model, tags)
        links = {"run_id": run_id if run else None, "model_id": model_id}
        with tempfile.TemporaryDirectory(prefix="podium-model-") as scratch:
            folder = Path(scratch) / "description"
            describe_model(path, model, model_id, links["run_id"], folder)
            doing = f"uploading model {name}"
            self._call(doing, lambda client: client.log_model_artifacts(model_id, str(path), WEIGHTS))
            self._call(doing, lambda client: client.log_model_artifacts(model_id, str(folder)))
        self._call(f"finishing model {model_id}", lambda client: client.finalize_logged_model(model_id, "READY"))
        request = {REQUEST: uuid.uuid4().hex}
        if run is None and not self._uri.startswith("http"):
            del links["model_id"]  # mlflow 3.17 would look the model up at its global tracking URI

        def create(client: Any) -> str:
            source = client.get_logged_model(model_id).artifact_location
            return str(client.create_model_version(name, source, tags={**tags, **request}, **links).version)

        def created(client: Any) -> str | None:
            found = client.search_model_versions(f"name = {quoted(name)} AND {query(request)}")
            return str(found[0].version) if found else None

        return self._call(f"registering a version of {name}", create, created)

    def _create_logged_model(self, run: Any, model: ModelRecord, tags: Mapping[str, str]) -> str:
        request = {REQUEST: uuid.uuid4().hex}

        def home(client: Any) -> str:
            return str(run.info.experiment_id) if run else self._experiment_id(client)

        def create(client: Any) -> str:
            made = client.create_logged_model(
                home(client),
                name=re.sub(r"[^\w\- ]", "_", model.entrant),
                source_run_id=run.info.run_id if run else None,
                tags={**tags, **request},
                params={name: str(value) for name, value in model.params.items()},
                model_type=model.task,
            )
            return str(made.model_id)

        def created(client: Any) -> str | None:
            found = client.search_logged_models([home(client)], query(request))
            return str(found[0].model_id) if found else None

        return self._call(f"recording the model of refit {model.key[:12]}", create, created)

    def move_champion(
        self, model_name: str, version: str, *, how: How, by: str, reason: str, decision: str = ""
    ) -> Move:
        self._settle(model_name, timedelta(0))
        champion = self.registered(model_name, base.CHAMPION)
        before = champion.version if champion else ""
        move = Move(
            how=how,
            before=before,
            before_model=_identity(champion),
            after=version,
            after_model=_identity(self.registered(model_name, version)),
            by=by,
            reason=reason,
            decision=decision,
        )
        if before == version:
            return move.model_copy(update={"state": "done"})
        tag = f"{base.MOVE}{move.at:%Y%m%dT%H%M%S.%f}.{uuid.uuid4().hex[:8]}"
        self._write_move(model_name, tag, move, "begun")
        self._set_alias(model_name, base.CHAMPION, version)
        return self._complete(model_name, tag, move)

    def set_challenger(self, model_name: str, version: str) -> None:
        self._set_alias(model_name, base.CHALLENGER, version)

    def moves(self, model_name: str) -> list[Move]:
        return [move for move in self._settle(model_name, _ALIVE) if move.state == "done"]

    def _settle(self, name: str, alive: timedelta) -> list[Move]:
        """Complete or abandon every move that began longer than `alive` ago and did not end; returns all moves."""
        model = self._model(name)
        tags = model.tags if model else {}
        follows = str(model.aliases.get(base.CHAMPION, "")) if model else ""
        settled: list[Move] = []
        for tag in sorted((tag for tag in tags if tag.startswith(base.MOVE)), reverse=True):
            move = Move.model_validate_json(tags[tag])
            if move.state == "begun" and follows == move.after:
                move = self._write_move(name, tag, move, "done") if settled else self._complete(name, tag, move)
            elif move.state == "begun" and datetime.now(UTC) - move.at > alive:
                move = self._write_move(name, tag, move, "abandoned")
            if move.state == "done":
                follows = move.before
            settled.append(move)
        return settled[::-1]

    def _complete(self, name: str, tag: str, move: Move) -> Move:
        if move.before:
            self._set_alias(name, base.PREVIOUS, move.before)
        if str(self._model(name).aliases.get(base.CHALLENGER, "")) == move.after:
            doing = f"taking the alias {base.CHALLENGER} from version {move.after} of {name}"
            self._call(doing, lambda client: client.delete_registered_model_alias(name, base.CHALLENGER))
        return self._write_move(name, tag, move, "done")

    def _write_move(self, name: str, tag: str, move: Move, state: Literal["begun", "done", "abandoned"]) -> Move:
        now = move.model_copy(update={"state": state})
        doing = f"recording a move of the champion of {name}"
        self._call(doing, lambda client: client.set_registered_model_tag(name, tag, now.model_dump_json()))
        return now

    def _model(self, name: str) -> Any:
        doing = f"looking up the registered model {name}"
        return self._call(doing, lambda client: or_none(lambda: client.get_registered_model(name)))

    def _set_alias(self, name: str, alias: str, version: str) -> None:
        doing = f"giving the alias {alias} to version {version} of {name}"
        self._call(doing, lambda client: client.set_registered_model_alias(name, alias, version))

    def run(self, run_id: str) -> TrackedRun | None:
        found = self._run(run_id)
        return _tracked(found) if found else None

    def runs(self, tags: Mapping[str, str]) -> list[TrackedRun]:
        return self._search(query(tags))

    def steps(self) -> list[TrackedRun]:
        found = self._search(f"tags.`{base.TAG_KIND}` != 'trial' AND tags.`{base.TAG_KIND}` != 'fold'")
        return [run for run in found if base.TAG_KEY in run.tags]

    def registered(self, model_name: str, selector: str = base.CHAMPION) -> TrackedModel | None:
        def get(client: Any) -> TrackedModel | None:
            model = or_none(lambda: client.get_registered_model(model_name))
            if model is None:
                return None
            number = selector if selector.isdigit() else model.aliases.get(selector)
            version = or_none(lambda: client.get_model_version(model_name, number)) if number else None
            return _version(version, model.aliases) if version else None

        return self._call(f"looking up {selector} of {model_name}", get)

    def champions(self) -> list[TrackedModel]:
        def holders(client: Any) -> list[str]:
            found = _every(lambda most, token: client.search_registered_models(max_results=most, page_token=token))
            return sorted(model.name for model in found if base.CHAMPION in model.aliases)

        names = self._call("listing registered models", holders)
        return [found for name in names if (found := self.registered(name)) is not None]

    def versions(self, model_key: str) -> list[TrackedModel]:
        def get(client: Any) -> list[TrackedModel]:
            found = client.search_model_versions(query({base.TAG_MODEL_KEY: model_key}))
            return [_version(item, client.get_registered_model(item.name).aliases) for item in found]

        return self._call(f"looking up versions of refit {model_key[:12]}", get)

    def read_text(self, run_id: str, file: str) -> str | None:
        def read(client: Any) -> str | None:
            if not any(item.path == file for item in client.list_artifacts(run_id, file.rpartition("/")[0] or None)):
                return None
            with tempfile.TemporaryDirectory(prefix="podium-read-") as scratch:
                return Path(client.download_artifacts(run_id, file, scratch)).read_text()

        return self._call(f"reading {file} of run {run_id}", read)

    def _search(self, wanted: str) -> list[TrackedRun]:
        def search(client: Any) -> list[TrackedRun]:
            experiments = _every(lambda most, token: client.search_experiments(max_results=most, page_token=token))
            ids = [item.experiment_id for item in experiments]
            runs = _every(lambda most, token: client.search_runs(ids, wanted, 1, most, page_token=token))
            return [_tracked(run) for run in runs]

        return self._call("searching runs", search)


def _every(ask: Callable[[int, str | None], Any]) -> list[Any]:
    """The answers of all pages of a search, which takes the size of a page and the token of the next one."""
    return list(load_mlflow().utils.get_results_from_paginated_fn(ask, _PAGE))


def _tags(model: ModelRecord) -> dict[str, str]:
    """The tags of a version or logged model, by which it is compared and its refit is found."""
    own = {
        base.TAG_MODEL_KEY: model.key,
        base.TAG_MODEL_DIGEST: model.artifacts["model"].digest,
        base.TAG_METRIC: model.metric,
        base.TAG_SCORE: repr(model.metrics[model.metric].value),
        base.TAG_TRIAL: str(model.trial),
        "podium.entrant": model.entrant,
        "podium.task": model.task,
    }
    own |= {base.TAG_CODE: "true"} if model.trust_remote_code else {}
    return own | {f"{base.TAG_PARENT}{name}": key for name, key in model.parents.items()}


def _identity(version: TrackedModel | None) -> str:
    digest = version.tags.get(base.TAG_MODEL_DIGEST, "") if version else ""
    return identity(digest, version.tags.get(base.TAG_VARIANT, "eager")) if version and digest else ""


def _tracked(run: Any) -> TrackedRun:
    info, data, given = run.info, run.data, run.inputs.dataset_inputs if run.inputs else []
    inputs = tuple(
        TrackedInput(one.name, one.digest, json.loads(one.source).get("uri", ""), json.loads(one.profile or "{}"))
        for one in (item.dataset for item in given)
    )
    return TrackedRun(info.run_id, info.run_name, info.status, data.tags, data.params, data.metrics, inputs)


def _version(version: Any, aliases: Mapping[str, Any]) -> TrackedModel:
    number = str(version.version)
    held = tuple(sorted(alias for alias, holder in aliases.items() if str(holder) == number))
    return TrackedModel(version.name, number, version.run_id or "", held, dict(version.tags))
