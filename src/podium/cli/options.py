"""Options and arguments that several commands share. Importing this loads no library but typer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from podium.config.form import RunForm, description
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


def run_form(
    overrides: Overrides = None,
    preset: Preset = RunForm.run_preset,
    config_file: ConfigFile = "",
    data: Data = "",
    task: Task = "",
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    entrant: Entrants = None,
    time_limit: TimeLimit = "",
    backbone: Backbones = None,
) -> RunForm:
    """The run form that the options of the command line fill in."""
    return RunForm(
        run_preset=preset,
        run_config=config_file,
        run_time_limit=time_limit,
        run_overrides=tuple(overrides or ()),
        data_path=data,
        data_task=task,
        data_text_column=text_column,
        data_label_column=label_column,
        model_entrants=competing(entrant, backbone),
    )


def taking(name: str, made: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a function, which takes as `name` what `made` makes of its options, these options instead."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        options, own = _parameters(made), _parameters(command, name)
        first = [one for one in own if one.default is inspect.Parameter.empty]
        last = [one for one in own if one.default is not inspect.Parameter.empty]

        def call(**given: Any) -> Any:
            value = made(**{one.name: given.pop(one.name) for one in options})
            return command(**{name: value}, **given)

        call.__name__, call.__doc__ = command.__name__, command.__doc__
        signature = inspect.Signature([*first, *options, *last])
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        return call

    return decorate


def _parameters(function: Callable[..., Any], without: str = "") -> list[inspect.Parameter]:
    """The parameters of a function but one, with their annotations evaluated for typer."""
    annotations = {name: kind for name, kind in function.__annotations__.items() if name not in (without, "return")}
    kinds = get_type_hints(SimpleNamespace(__annotations__=annotations), function.__globals__, include_extras=True)
    parameters = inspect.signature(function).parameters
    return [parameters[name].replace(annotation=kind) for name, kind in kinds.items()]


@contextmanager
def stopping(said: str) -> Iterator[None]:
    """End the command with exit code 130 where Ctrl-C stops the body, after saying what that means."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(said, err=True)
        raise typer.Exit(130) from None


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
