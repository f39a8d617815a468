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


Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[GROUP.KEY=VALUE]...", help="Config values, e.g. hpo.max_trials=20.")
]
Preset = Annotated[str, form_option("run_preset", "--preset")]
ConfigFile = Annotated[str, form_option("run_config", "--config", metavar="FILE")]
Data = Annotated[str, form_option("data_path", "--data", metavar="PATH")]
Task = Annotated[str, form_option("data_task", "--task")]
TextColumn = Annotated[str, form_option("data_text_column", "--text-column")]
LabelColumn = Annotated[str, form_option("data_label_column", "--label-column")]
Entrants = Annotated[list[str] | None, form_option("model_entrants", "--entrant")]
Backbones = Annotated[
    list[str] | None,
    typer.Option("--backbone", help="A pretrained model that competes, beside the linear model; repeatable."),
]
TimeLimit = Annotated[str, form_option("run_time_limit", "--time-limit", metavar="TIME")]
Output = typer.Option("--output", "-o", help="How it is written.")
Store = Annotated[str, typer.Option(help="Store to look in.")]
TrackingUri = Annotated[str, typer.Option(help="MLflow to ask.")]


def competing(entrants: list[str] | None, backbones: list[str] | None) -> tuple[str, ...]:
    """The models that compete: what `--entrant` names, or the linear one, and beside it what `--backbone` names."""
    return (*(entrants or (("linear",) if backbones else ())), *(backbones or ()))


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
