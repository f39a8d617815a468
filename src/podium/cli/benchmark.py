"""`podium benchmark`: any model measured alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import DEFAULT_STORE, DEFAULT_URI, Output


def benchmark(
    models: Annotated[
        list[str],
        typer.Argument(help="Directories, pkg:NAME/PATH, hub ids, models:/NAME@alias or models:/NAME/VERSION."),
    ],
    data: Annotated[str, typer.Option(help="Texts to measure with: a file or a folder.", metavar="PATH")] = "",
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
) -> None:
    """Measure models on this machine; what was measured here before is reused."""
    from rich.console import Console

    from podium.errors import InputError
    from podium.local.benchmark import BenchmarkCommand, Inputs, benchmark_models
    from podium.local.benchmark_table import as_json, print_results

    if data and dataset:
        raise InputError(f"--data and --dataset exclude each other, but got {data!r} and {dataset!r}")
    chosen = [f"device={device}", f"scenarios=[{','.join(scenario or ())}]"]
    chosen += [f"variants=[{','.join(variant)}]"] if variant else []
    lengths = {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    chosen += [f"settings.generation.{name}={value}" for name, value in lengths.items()]
    command = BenchmarkCommand(
        models=models,
        inputs=Inputs(data, dataset, text_column, label_column),
        any_variant=not variant,
        settings=(*chosen, *(setting or ())),
        store=store,
        tracking_uri=tracking_uri,
        force=force,
    )
    as_text = output == "text"
    try:
        results = benchmark_models(command, Path.cwd(), Console(file=sys.stdout if as_text else sys.stderr))
    except KeyboardInterrupt:
        typer.echo("stopped; what was measured is stored, the rest is measured when you call it again", err=True)
        raise typer.Exit(130) from None
    if as_text:
        print_results(results, Console())
    else:
        typer.echo(json.dumps(as_json(results), indent=1))
