"""The `podium` command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from podium.cli.benchmark import benchmark
from podium.cli.compare import compare
from podium.cli.hpo import app as hpo_app
from podium.cli.hpo import must_exist
from podium.cli.registry import history, promote, replay, rollback
from podium.errors import PodiumError, disk_full_message, is_disk_full

app = typer.Typer(
    name="podium",
    help="Given a labelled data set, which model do I ship? Answered with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at the configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(hpo_app, name="hpo")
for command in (benchmark, compare, promote, rollback, history, replay):
    app.command()(command)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[GROUP.KEY=VALUE]...", help="Config values, e.g. hpo.max_trials=20.")
]
Preset = Annotated[str, typer.Option(help="Preset to start from.")]
Data = Annotated[str, typer.Option(help="Your own data: a file or a folder.", metavar="PATH")]
Task = Annotated[str, typer.Option(help="What the rows are labelled for, such as ner; inferred when left out.")]
TextColumn = Annotated[str, typer.Option(help="Column of the text; inferred when left out.")]
LabelColumn = Annotated[str, typer.Option(help="Column of the label; inferred when left out.")]
Backbones = Annotated[
    list[str] | None, typer.Option("--backbone", help="A model that competes: path or hub id; repeatable.")
]
ConfigFile = Annotated[
    str, typer.Option("--config", help="YAML file of config values, applied over the preset.", metavar="FILE")
]


@app.command()
def run(
    overrides: Overrides = None,
    preset: Preset = "quickstart",
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
    from podium.stages.run_form import RunForm, resolve_form

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
    resolved = resolve_form(form, Path.cwd())
    for line in resolved.inferred:
        typer.echo(line)
    config = resolved.composed.config
    # A search that contradicts itself, and a device or thread count that this machine lacks, are told before anything
    # is trained.
    for name in config.backbones:
        experiment_of(config, name)
    fingerprint(config.benchmark.device, config.benchmark.threads)
    if dry_run:
        from podium.stages.plan import plan, render_plan

        typer.echo(render_plan(plan(config)))
        return
    from podium.local.run import run_locally

    try:
        run_locally(form, config, Console(file=sys.stdout), shlex.join(["podium", *sys.argv[1:]]))
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command again to go on from what is stored", err=True)
        raise typer.Exit(130) from None


@config_app.command("show")
def config_show(overrides: Overrides = None, preset: Preset = "quickstart", config_file: ConfigFile = "") -> None:
    """Print the resolved config, and where each value came from."""
    from podium.config.show import render_config
    from podium.stages.run_form import RunForm, resolve_form

    form = RunForm(run_preset=preset, run_config=config_file, run_overrides=tuple(overrides or ()))
    typer.echo(render_config(resolve_form(form, Path.cwd()).composed))


@config_app.command("explain")
def config_explain(
    name: Annotated[str, typer.Argument(help="A field or section, e.g. training.epochs; all when left out.")] = "",
) -> None:
    """Say what config fields mean, their defaults, and whether they change keys."""
    from podium.config.describe import explain_fields

    typer.echo(explain_fields(name))


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="A key, or enough of its first digits.")],
    other: Annotated[str, typer.Argument(help="A second key: show which parts differ.")] = "",
    store: Annotated[str, typer.Option(help="Store to look in.")] = "podium-out/store",
) -> None:
    """Print the parts of a key; given two, which part differs."""
    from podium.store.explain import explain_difference, explain_key
    from podium.store.store import ArtifactStore

    must_exist(store, "--store")
    found = ArtifactStore(store)
    typer.echo(explain_difference(found, key, other) if other else explain_key(found, key))


@app.command()
def lineage(
    model: Annotated[str, typer.Argument(help="Registered model (NAME, NAME@alias or NAME/version), run id, or key.")],
    tracking_uri: Annotated[str, typer.Option(help="MLflow to ask.")] = "sqlite:///podium-out/mlflow.db",
) -> None:
    """Walk from a model back to the digests of its data files, or from data forward to its models."""
    from podium.config.schema import TrackingConfig
    from podium.tracking import tracker_for
    from podium.tracking.lineage import lineage as walk
    from podium.tracking.lineage import render

    must_exist(tracking_uri.removeprefix("sqlite:///"), "--tracking-uri")
    typer.echo(render(walk(tracker_for(TrackingConfig(uri=tracking_uri)), model)))


def main() -> None:
    """Run the command: exit code 0 done, 1 a step failed, 2 bad input, 130 stopped."""
    try:
        app(standalone_mode=True)
    except PodiumError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if not is_disk_full(error):
            raise
        typer.echo(f"error: {disk_full_message(error, elsewhere='choose another place with output=DIR')}", err=True)
        sys.exit(1)
