"""`podium config`: the resolved configuration, and what its fields mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from podium.cli.options import ConfigFile, Overrides, Preset
from podium.config.form import RunForm

app = typer.Typer(help="Look at the configuration.", no_args_is_help=True)


@app.command()
def show(overrides: Overrides = None, preset: Preset = RunForm.run_preset, config_file: ConfigFile = "") -> None:
    """Print the resolved config, and where each value came from."""
    from podium.config.show import render_config
    from podium.stages.prepare import resolve_form

    form = RunForm(run_preset=preset, run_config=config_file, run_overrides=tuple(overrides or ()))
    typer.echo(render_config(resolve_form(form, Path.cwd())))


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A field or section, e.g. training.epochs; all when left out.")] = "",
) -> None:
    """Say what config fields mean, their defaults, and whether they change keys."""
    from podium.config.describe import explain_fields

    typer.echo(explain_fields(name))
