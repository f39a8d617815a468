"""Options and arguments that several commands share. Importing this loads no library but typer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from podium.config.form import description
from podium.errors import InputError

if TYPE_CHECKING:
    from podium.store.store import ArtifactStore
    from podium.tracking import Tracker

DEFAULT_STORE = "podium-out/store"
DEFAULT_URI = "sqlite:///podium-out/mlflow.db"


def form_option(field: str, name: str, **settings: Any) -> Any:
    """The option of the command line that fills in a field of the run form, with the form's own description."""
    return typer.Option(name, help=description(field), **settings)


Output = typer.Option("--output", "-o", help="How it is written.")
Store = Annotated[str, typer.Option(help="Store to look in.")]
TrackingUri = Annotated[str, typer.Option(help="MLflow to ask.")]


def must_exist(place: str, option: str) -> None:
    """Refuse to look into a local place that is not there, rather than make an empty one."""
    if "://" not in place and not Path(place).exists():
        raise InputError(f"{place} does not exist; run `podium run` first, or name another place with {option}")


def existing_store(place: str) -> ArtifactStore:
    """The store at `place`, which must be there."""
    from podium.store.store import ArtifactStore

    must_exist(place, "--store")
    return ArtifactStore(place)


def existing_tracker(uri: str) -> Tracker:
    """The tracker of an MLflow that is there."""
    from podium.config.schema import TrackingConfig
    from podium.tracking import tracker_for

    must_exist(uri.removeprefix("sqlite:///"), "--tracking-uri")
    return tracker_for(TrackingConfig(uri=uri))
