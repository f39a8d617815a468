"""What a model that a user names to `infer`, `benchmark` or `profile` is, and the files behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from podium.config.benchmark import VariantName
from podium.config.paths import is_uri, resolve
from podium.config.schema import TrackingConfig
from podium.errors import InputError, ModelError
from podium.keys import digest_tree
from podium.models.backbone import ModelFacts, inspect_model, locate_backbone
from podium.stages.found_models import REGISTERED, FoundModel, find_model, names_stored
from podium.store.store import ArtifactStore
from podium.text import file_name, redact
from podium.tracking import Tracker, tracker_for
from podium.tracking.base import TAG_CODE, TAG_VARIANT


@dataclass(frozen=True)
class LocatedModel:
    """A model on this machine.

    Attributes:
        name: for run ids, messages and files.
        said: what it is and where it came from, for people.
        digest: of all its files.
        variant: the form in which it is run.
        trust_remote_code: whether its training was allowed to run the code that came with its backbone.
    """

    name: str
    said: str
    path: Path
    digest: str
    variant: VariantName
    facts: ModelFacts
    trust_remote_code: bool = False


def locate(text: str, directory: Path, store: str, tracking_uri: str, downloads: Path) -> LocatedModel:
    """The model that a user names: a registered version, a model of a run, a directory, a URI, or a hub id.

    Args:
        directory: where relative paths start.
        downloads: a registered version whose files the store lacks is downloaded below it.

    Raises:
        InputError: there is no such model, or it cannot be loaded.
        TrackingError: the registry cannot be asked.
    """
    runs = Path(store).parent / "runs"
    match = None if (directory / text).is_dir() else REGISTERED.fullmatch(text)
    if text.startswith("models:/") and not match:
        raise InputError(f"a registered model is NAME@alias or NAME/VERSION, but got {text!r}")
    text = text.removeprefix("models:/")
    if match and (match[2] or not no_registry(tracking_uri)):
        return _registered(text, match, store, tracking_uri, downloads)
    if names_stored(text, runs):
        found = find_model(
            text, text, ArtifactStore(store), runs, lambda: tracker_for(TrackingConfig(uri=tracking_uri))
        )
        return _of_result(found, text)
    resolved = resolve(text, directory, hub=True)
    try:
        path = locate_backbone(resolved, patterns=())
    except ModelError as error:
        tried = (
            f"there is no directory {directory / text}, no run or registered version of this name, and as a hub id: "
        )
        here = "" if Path(resolved).is_absolute() or is_uri(resolved) else tried
        raise ModelError(f"{redact(text)} must name a model, but {here}{error}") from error
    facts = inspect_model(path)
    name = Path(text.removeprefix("pkg:")).name or path.name
    return LocatedModel(tidy(name), f"{redact(text)} ({path})", path, digest_tree(path), facts.variants[0], facts)


def no_registry(tracking_uri: str) -> bool:
    """Whether the file of the registry is missing, so that NAME/VERSION can only be a hub id."""
    return tracking_uri.startswith("sqlite:///") and not Path(tracking_uri.removeprefix("sqlite:///")).exists()


def _registered(text: str, match: re.Match[str], store: str, tracking_uri: str, downloads: Path) -> LocatedModel:
    if no_registry(tracking_uri):
        raise InputError(
            f"{tracking_uri} does not exist, so there is no {text}; run `podium run` first, or name your registry with "
            "--tracking-uri"
        )
    tracker: Tracker = tracker_for(TrackingConfig(uri=tracking_uri))
    name, selector = match[1], match[2] or match[3]
    version = tracker.registered(name, selector)
    if version is None:
        raise InputError(
            f"{tracker.uri} has no version or alias {selector!r} of a registered model {name!r}; "
            f"`podium history {name}` lists the versions there were"
        )
    said = f"version {version.version} of {name} in {tracker.uri}"
    exact = f"{name}-v{version.version}"
    try:
        found = find_model(f"{name}/{version.version}", text, ArtifactStore(store), downloads, lambda: tracker)
        return _of_result(found, exact, said)
    except InputError:  # the store is another one, or was cleared: the registry has the files as well
        path = tracker.download_model(name, version.version, downloads)
    facts = inspect_model(path)
    tag = version.tags.get(TAG_VARIANT, "")
    variant = next((one for one in facts.variants if one == tag), facts.variants[0])
    trusted = version.tags.get(TAG_CODE) == "true"
    return LocatedModel(tidy(exact), said, path, digest_tree(path), variant, facts, trusted)


def _of_result(found: FoundModel, text: str, said: str = "") -> LocatedModel:
    reference = found.artifact("model")
    if reference is None:
        raise InputError(
            f"{text} must have files in the store {found.store.uri}, but it has none; run the pipeline again"
        )
    path = found.store.fetch(reference)
    facts = inspect_model(path)
    variant = next((one for one in facts.variants if one == found.variant), facts.variants[0])
    name = text if said else f"{text.rstrip('/').rsplit('/', 1)[-1].partition(':')[0]}-{found.entrant}"
    what = said or f"{text}: {found.entrant} ({variant})"
    trusted = found.refit is not None and found.refit.trust_remote_code
    return LocatedModel(tidy(name), what, path, digest_tree(path), variant, facts, trusted)


def tidy(name: str) -> str:
    """The name of a model as runs and files have it."""
    return file_name(name) or "model"
