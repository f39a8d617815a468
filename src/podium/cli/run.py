"""`podium run`: from a labelled data set to a proven champion."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from podium.cli.options import Backbones, ConfigFile, Data, LabelColumn, Overrides, Preset, Task, TextColumn
from podium.config.form import RunForm


def run(
    overrides: Overrides = None,
    preset: Preset = RunForm.run_preset,
    config_file: ConfigFile = "",
    data: Data = "",
    task: Task = "",
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    backbone: Backbones = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what would be reused.")] = False,
) -> None:
    """Take a labelled data set to a proven champion, on this machine."""
    from podium.devices.hardware import fingerprint
    from podium.stages.hpo import experiment_of
    from podium.stages.prepare import resolve_form

    form = RunForm(
        run_preset=preset,
        run_config=config_file,
        run_overrides=tuple(overrides or ()),
        data_path=data,
        data_task=task,
        data_text_column=text_column,
        data_label_column=label_column,
        model_backbones=tuple(backbone or ()),
    )
    composed = resolve_form(form, Path.cwd())
    for line in composed.inferred:
        typer.echo(line)
    config = composed.config
    # A search that contradicts itself, and a device or thread count that this machine lacks, are reported before
    # anything is trained.
    for name in config.backbones:
        experiment_of(config, name)
    fingerprint(config.benchmark.device, config.benchmark.threads)
    if dry_run:
        from podium.stages.plan import plan
        from podium.stages.prepare import new_run

        typer.echo(plan(new_run(config, "dry-run")))
        return
    from rich.console import Console

    from podium.local.run import run_locally

    try:
        run_locally(config, Console(file=sys.stdout), shlex.join(["podium", *sys.argv[1:]]))
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command again to go on from what is stored", err=True)
        raise typer.Exit(130) from None
