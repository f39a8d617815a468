"""`podium compare`: runs side by side, and a check for continuous integration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import DEFAULT_STORE, DEFAULT_URI, Output, existing_store, existing_tracker

EXIT_CODES = {"pass": 0, "fail": 3, "cannot judge": 4}
"""Exit code of each verdict; errors have the codes of every command."""


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN[:MODEL] RUN[:MODEL]...",
            help="A run directory, run id, `latest`, key of a result, or registered NAME@alias; the first is the "
            "baseline. MODEL is BACKBONE or BACKBONE.VARIANT; the winner when left out.",
        ),
    ],
    output: Annotated[Literal["text", "json", "html"], Output] = "text",
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", metavar="EXPR", help='A regression, as "p95 > 1.1 * baseline"; repeatable.'),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File to write to; standard output if left out.")] = None,
    store: Annotated[str, typer.Option(help="Store to look in; runs lie beside it.")] = DEFAULT_STORE,
    tracking_uri: Annotated[str, typer.Option(help="MLflow to ask for registered models.")] = DEFAULT_URI,
) -> None:
    """Show quality, latency and cost of runs, and which differences are real.

    Exit code 3 when a --fail-if holds, 4 when one cannot be judged on what was measured.
    """
    from podium.report.comparison import as_html, as_text
    from podium.selection.run_comparison import compare_runs
    from podium.stages.compared_models import find_models

    models = find_models(
        runs, existing_store(store), Path(store).parent / "runs", lambda: existing_tracker(tracking_uri)
    )
    compared = compare_runs(models, fail_if or ())
    match output:
        case "text":
            written = as_text(compared, terminal=file is None and sys.stdout.isatty())
        case "json":
            written = compared.model_dump_json(indent=1) + "\n"
        case "html":
            written = as_html(compared, models)
    if file is not None:
        file.write_text(written, encoding="utf-8")
    else:
        typer.echo(written, nl=False)
    raise typer.Exit(EXIT_CODES[compared.verdict])
