"""`podium evaluate`: metrics of stored answers, without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import DEFAULT_STORE, DEFAULT_URI, Output, existing_store, existing_tracker

DEFAULT_FOLDER = Path("podium-out/inference")


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run of `podium infer` (its directory or id), any model that `podium compare` can name, or a file "
            "with results of OpenAI's batch interface.",
        ),
    ],
    against: Annotated[
        str, typer.Option(metavar="RUN", help="A second run: compare on the rows that both answered.")
    ] = "",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Slice the rows by a column, or by `length` or `label`; repeatable."),
    ] = None,
    positive: Annotated[
        str, typer.Option(metavar="LABEL", help="Also give precision, recall and F1 of this label.")
    ] = "",
    task: Annotated[str, typer.Option(help="The task of the answers, or `text`; that of the run when left out.")] = "",
    label_column: Annotated[
        str, typer.Option(help="Column with the right answers; that of the run when left out.")
    ] = "",
    data: Annotated[
        str, typer.Option(metavar="PATH", help="The data behind a model of `podium run`, or the rows of batch results.")
    ] = "",
    output: Annotated[Literal["text", "json", "html"], Output] = "text",
    name: Annotated[str, typer.Option(help="Name of the evaluation's directory; made of the run when left out.")] = "",
    folder: Annotated[Path, typer.Option(help="Folder of the runs of `podium infer`.")] = DEFAULT_FOLDER,
    store: Annotated[str, typer.Option(help="Store to look in; runs lie beside it.")] = DEFAULT_STORE,
    tracking_uri: Annotated[str, typer.Option(help="MLflow to ask for registered models.")] = DEFAULT_URI,
) -> None:
    """Evaluate stored answers: metrics, slices, calibration, and what changed against another run."""
    from podium.report.evaluation_text import as_text
    from podium.stages.evaluate import HTML_FILE, JSON_FILE, evaluate_run
    from podium.stages.evaluated_models import Places, Reading
    from podium.store.files import check_name

    if name:
        check_name(name, "--name")
    places = Places(
        folder,
        Path(store).parent / "runs",
        lambda: existing_store(store),
        lambda: existing_tracker(tracking_uri),
    )
    reading = Reading(task, label_column, positive, tuple(by or ()), data)
    found, directory = evaluate_run(run, against, places, reading, folder.parent / "evaluations", name)
    if output != "text":
        file = directory / {"json": JSON_FILE, "html": HTML_FILE}[output]
        typer.echo(file.read_text(encoding="utf-8"), nl=False)
        return
    typer.echo(as_text(found, terminal=sys.stdout.isatty()), nl=False)
    typer.echo(f"\nreport: {directory / HTML_FILE}")
