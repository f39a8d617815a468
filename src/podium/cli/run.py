"""`podium run`, `podium benchmark` and `podium config`: what is computed on this machine, and with which values."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import (
    DEFAULT_STORE,
    DEFAULT_URI,
    ConfigFile,
    Output,
    Overrides,
    Preset,
    run_form,
    stopping,
    taking,
)
from podium.config.form import RunForm
from podium.errors import ConfigError, DataError

config = typer.Typer(help="Look at the configuration.", no_args_is_help=True)


@taking("form", run_form)
def run(
    form: RunForm,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what would be reused.")] = False,
) -> None:
    """Take a labelled data set to a proven champion, on this machine."""
    from podium.devices.hardware import fingerprint
    from podium.stages.hpo import experiment_of
    from podium.stages.look import look_before_planning
    from podium.stages.prepare import new_run, plan, resolve_form

    composed = resolve_form(form, Path.cwd())
    for line in composed.inferred:
        typer.echo(line)
    resolved = composed.config
    # A search that contradicts itself, and a device or thread count that this machine lacks, are reported before
    # anything is trained.
    for name in resolved.entrants:
        try:
            experiment_of(resolved, name)
        except ConfigError as error:
            raise ConfigError(f"entrants.{name}: {error}") from error
    fingerprint(resolved.benchmark.device, resolved.benchmark.threads)
    if dry_run:
        planned = new_run(resolved, "dry-run")
        lines, problem = look_before_planning(planned)
        for line in lines:
            typer.echo(line)
        if problem:
            raise DataError(problem)
        typer.echo(plan(planned))
        return
    from rich.console import Console

    from podium.local.run import run_locally

    with stopping("stopped; run the same command again to go on from what is stored"):
        run_locally(resolved, Console(file=sys.stdout), shlex.join(["podium", *sys.argv[1:]]))


def benchmark(
    models: Annotated[
        list[str],
        typer.Argument(help="Directories, URIs, pkg:NAME/PATH, hub ids, runs, NAME@alias or NAME/VERSION."),
    ],
    data: Annotated[str, typer.Option(help="Texts to measure with: a file, folder or URI.", metavar="PATH")] = "",
    dataset: Annotated[str, typer.Option(help="A shipped data set instead; by default one that fits the model.")] = "",
    text_column: Annotated[str, typer.Option(help="Column of the text; inferred when left out.")] = "",
    label_column: Annotated[str, typer.Option(help="Column of the label; inferred when left out.")] = "",
    variant: Annotated[
        list[str] | None, typer.Option(help="Deployable form (podium config explain benchmark.variants); repeatable.")
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Beside latency and throughput (podium config explain benchmark.scenarios); repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Field of the config's benchmark section, as samples=500."),
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(help="Causal models: prompts are cut to so many tokens.")] = 128,
    output_tokens: Annotated[int, typer.Option(help="Causal models: tokens to generate per prompt.")] = 32,
    output: Annotated[Literal["text", "json"], Output] = "text",
    store: Annotated[str, typer.Option(help="Store that keeps the results.")] = DEFAULT_STORE,
    tracking_uri: Annotated[str, typer.Option(help="MLflow to ask for models:/NAME.")] = DEFAULT_URI,
    force: Annotated[bool, typer.Option("--force", help="Measure again what is stored.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the models.")
    ] = False,
) -> None:
    """Measure models on this machine; what was measured here before is reused."""
    from rich.console import Console

    from podium.local.benchmark import BenchmarkCommand, as_json, benchmark_models, print_results

    chosen = [f"device={device}", f"scenarios=[{','.join(scenario or ())}]"]
    chosen += [f"variants=[{','.join(variant)}]"] if variant else []
    lengths = {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    chosen += [f"settings.generation.{name}={value}" for name, value in lengths.items()]
    command = BenchmarkCommand(
        models=models,
        any_variant=not variant,
        settings=(*chosen, *(setting or ())),
        store=store,
        tracking_uri=tracking_uri,
        data=data,
        dataset=dataset,
        text_column=text_column,
        label_column=label_column,
        force=force,
        trust_remote_code=trust_remote_code,
    )
    as_text = output == "text"
    with stopping("stopped; what was measured is stored, the rest is measured when you call it again"):
        results = benchmark_models(command, Path.cwd(), Console(file=sys.stdout if as_text else sys.stderr))
    if as_text:
        print_results(results, Console())
    else:
        typer.echo(json.dumps(as_json(results), indent=1))


@config.command()
def show(overrides: Overrides = None, preset: Preset = RunForm.run_preset, config_file: ConfigFile = "") -> None:
    """Print the resolved config, and where each value came from."""
    from podium.config.describe import render_config
    from podium.stages.prepare import resolve_form

    form = RunForm(run_preset=preset, run_config=config_file, run_overrides=tuple(overrides or ()))
    typer.echo(render_config(resolve_form(form, Path.cwd())))


@config.command()
def explain(
    name: Annotated[str, typer.Argument(help="A field or section, e.g. training.epochs; all when left out.")] = "",
) -> None:
    """Say what config fields mean, their defaults, and whether they change keys."""
    from podium.config.describe import explain_fields

    typer.echo(explain_fields(name))
