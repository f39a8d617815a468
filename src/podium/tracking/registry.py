"""Logged models, registered versions, and the aliases that say which one is in use."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.errors import TrackingError
from podium.records import Incumbent, ModelRecord
from podium.tracking.base import (
    CHAMPION,
    TAG_METRIC,
    TAG_MODEL_DIGEST,
    TAG_MODEL_KEY,
    TAG_PARENT,
    TAG_SCORE,
    TAG_TRIAL,
    TAG_VARIANT,
)
from podium.tracking.connection import load_mlflow, or_none
from podium.tracking.package import WEIGHTS, describe_model
from podium.tracking.runs import REQUEST, Runs
from podium.tracking.text import redact
from podium.tracking.versions import incumbent_of

STORE = "podium.store"
LOGGED_MODEL = "podium.logged_model"


class Registry(Runs):
    """Models: metadata of each refit, and the real thing for what is registered."""

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
        version = self._call(f"looking up the champion of {model_name}", lambda client: _by_alias(client, model_name))
        if version is None:
            return None
        return incumbent_of(model_name, str(version.version), version.tags, self.uri)

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
        own = {**_tags(model), TAG_VARIANT: variant}
        tags = {name: redact(value) for name, value in {**own, **(tags or {})}.items()}
        self._call(
            f"registering {model_name}",
            lambda client: or_none(lambda: client.create_registered_model(model_name), "RESOURCE_ALREADY_EXISTS"),
        )
        version = self._call(f"looking up {model_name}", lambda client: _holding(client, model_name, model, variant))
        if version is None:
            return self._register(model_name, run_id, path, model, tags)

        def tag(client: Any) -> None:
            for key, value in tags.items():
                client.set_model_version_tag(model_name, version, key, value)

        self._call(f"tagging version {version} of {model_name}", tag)
        return version

    def download_model(self, model_name: str, version: str, folder: Path) -> Path:
        def download(client: Any) -> str:
            source = client.get_model_version(model_name, version).source
            folder.mkdir(parents=True, exist_ok=True)
            artifacts = load_mlflow().artifacts
            return str(
                artifacts.download_artifacts(f"{source}/{WEIGHTS}", dst_path=str(folder), tracking_uri=self._uri)
            )

        return Path(self._call(f"downloading version {version} of {model_name}", download))

    def _register(self, name: str, run_id: str, path: Path, model: ModelRecord, tags: Mapping[str, str]) -> str:
        run = self._run(run_id)
        known = run.data.tags if run else {}
        # The logged model of the refit's run is the eager one; another variant has files of its own.
        mine = known.get(TAG_MODEL_KEY) == model.key and tags[TAG_VARIANT] == "eager"
        model_id = known.get(LOGGED_MODEL) if mine else None
        model_id = model_id or self._create_logged_model(run, model, tags)
        with tempfile.TemporaryDirectory(prefix="podium-model-") as scratch:
            folder = Path(scratch) / "description"
            describe_model(path, model, model_id, run_id if run else None, folder)
            doing = f"uploading model {name}"
            self._call(doing, lambda client: client.log_model_artifacts(model_id, str(path), WEIGHTS))
            self._call(doing, lambda client: client.log_model_artifacts(model_id, str(folder)))
        self._call(f"finishing model {model_id}", lambda client: client.finalize_logged_model(model_id, "READY"))
        request = {REQUEST: uuid.uuid4().hex}
        links = {"run_id": run_id if run else None, "model_id": model_id}
        if run is None and not self._uri.startswith("http"):
            del links["model_id"]  # mlflow 3.17 would look the model up at its global tracking URI

        def create(client: Any) -> str:
            source = client.get_logged_model(model_id).artifact_location
            made = client.create_model_version(name, source, tags={**tags, **request}, **links)
            return str(made.version)

        def created(client: Any) -> str | None:
            found = client.search_model_versions(f"name = '{name}' AND tags.`{REQUEST}` = '{request[REQUEST]}'")
            return str(found[0].version) if found else None

        return self._call(f"registering a version of {name}", create, created)

    def _create_logged_model(self, run: Any, model: ModelRecord, tags: Mapping[str, str]) -> str:
        request = uuid.uuid4().hex

        def home(client: Any) -> str:
            return str(run.info.experiment_id) if run else self._experiment_id(client)

        def create(client: Any) -> str:
            made = client.create_logged_model(
                home(client),
                name=re.sub(r"[^\w\- ]", "_", model.backbone),
                source_run_id=run.info.run_id if run else None,
                tags={**tags, REQUEST: request},
                params={name: str(value) for name, value in model.params.items()},
                model_type=model.task,
            )
            return str(made.model_id)

        def created(client: Any) -> str | None:
            found = client.search_logged_models([home(client)], f"tags.`{REQUEST}` = '{request}'")
            return str(found[0].model_id) if found else None

        return self._call(f"recording the model of refit {model.key[:12]}", create, created)


def _tags(model: ModelRecord) -> dict[str, str]:
    """The tags of a version or logged model, by which it is compared and its refit is found."""
    if model.metric not in model.metrics:
        raise TrackingError(f"a model has a score by its own metric, but {model.metric!r} is not in {[*model.metrics]}")
    own = {
        TAG_MODEL_KEY: model.key,
        TAG_MODEL_DIGEST: model.artifacts["model"].digest,
        TAG_METRIC: model.metric,
        TAG_SCORE: repr(model.metrics[model.metric].value),
        TAG_TRIAL: str(model.trial),
        "podium.backbone": model.backbone,
        "podium.task": model.task,
    }
    return own | {f"{TAG_PARENT}{name}": key for name, key in model.parents.items()}


def _holding(client: Any, name: str, model: ModelRecord, variant: str) -> str | None:
    """The latest version that holds this variant of this refit."""
    query = f"name = '{name}' AND tags.`{TAG_MODEL_KEY}` = '{model.key}'"
    wanted = (model.artifacts["model"].digest, variant)
    found = [
        item
        for item in client.search_model_versions(query)
        if (item.tags.get(TAG_MODEL_DIGEST), item.tags.get(TAG_VARIANT, "eager")) == wanted
    ]
    return str(max((int(item.version) for item in found), default="")) or None


def _by_alias(client: Any, name: str) -> Any:
    model = or_none(lambda: client.get_registered_model(name))
    return client.get_model_version(name, model.aliases[CHAMPION]) if model and CHAMPION in model.aliases else None
