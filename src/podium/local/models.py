"""Finding the models that a user names: a directory, `pkg:NAME/PATH`, a hub id, or a version in the registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from podium.config.paths import resolve
from podium.config.schema import BackboneConfig, TrackingConfig
from podium.errors import InputError, ModelError
from podium.keys import digest_tree
from podium.models.backbone import locate_backbone
from podium.models.inspection import ModelFacts, inspect_model

REGISTRY = "models:/"

_VERSION = re.compile(r"models:/+([^/@]+)(?:@(.+)|/(\d+))")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class LocatedModel:
    """A model on this machine.

    Attributes:
        name: how messages and files call it.
        digest: digest of all its files.
    """

    name: str
    path: Path
    digest: str
    facts: ModelFacts


def locate_model(reference: str, directory: Path, tracking_uri: str, downloads: Path) -> LocatedModel:
    """The model that `reference` names; a registered one is downloaded below `downloads`.

    Raises:
        InputError: there is no such model, or it cannot be measured.
        TrackingError: the registry cannot be asked.
    """
    if reference.startswith(REGISTRY):
        name, path = _registered(reference, tracking_uri, downloads)
    else:
        path = _located(reference, directory)
        name = Path(reference.removeprefix("pkg:")).name or path.name
    return LocatedModel(_UNSAFE.sub("-", name).strip("-.") or "model", path, digest_tree(path), inspect_model(path))


def _located(reference: str, directory: Path) -> Path:
    resolved = resolve(reference, directory, hub=True)
    try:
        return locate_backbone(BackboneConfig(path=resolved))
    except ModelError as error:
        here = (
            "" if Path(resolved).is_absolute() else f"there is no directory {directory / reference}, and as a hub id: "
        )
        raise ModelError(f"{reference} must name a model, but {here}{error}") from error


def _registered(reference: str, tracking_uri: str, downloads: Path) -> tuple[str, Path]:
    from podium.tracking import tracker_for

    match = _VERSION.fullmatch(reference)
    if match is None:
        raise InputError(f"a registered model is models:/NAME@alias or models:/NAME/VERSION, but got {reference!r}")
    name, selector = match[1], match[2] or match[3]
    if tracking_uri.startswith("sqlite:///") and not Path(tracking_uri.removeprefix("sqlite:///")).exists():
        raise InputError(
            f"{tracking_uri} does not exist, so there is no {reference}; name your registry with --tracking-uri"
        )
    tracker = tracker_for(TrackingConfig(uri=tracking_uri))
    found = tracker.registered(name, selector)
    if found is None:
        raise ModelError(f"{tracking_uri} has no {reference}; `podium history {name}` lists the versions there were")
    return f"{name}-v{found.version}", tracker.download_model(name, found.version, downloads)
