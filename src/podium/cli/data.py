"""`podium data`: a look at all rows of a data set, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import LabelColumn, Output, Overrides, Task, TextColumn
from podium.config.form import RunForm
from podium.errors import DataError, InputError


def data(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A file, folder or URI, or the name of a shipped data set.")
    ],
    overrides: Overrides = None,
    task: Task = "",
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    output: Annotated[Literal["text", "json"], Output] = "text",
) -> None:
    """Read and check every row of a data set as a run would, and show what was found; nothing is trained."""
    from podium.stages.look import as_json, as_lines, look_at

    form = RunForm(
        run_overrides=tuple(overrides or ()),
        data_path=path,
        data_task=task,
        data_text_column=text_column,
        data_label_column=label_column,
    )
    try:
        found = look_at(form, Path.cwd())
    except InputError as error:
        if output == "json":
            typer.echo(json.dumps({"usable": False, "problem": str(error)}, ensure_ascii=False, indent=1))
            raise typer.Exit(error.exit_code) from None
        raise
    if output == "json":
        typer.echo(json.dumps(as_json(found), ensure_ascii=False, indent=1))
        raise typer.Exit(DataError.exit_code if found.problem else 0)
    for line in as_lines(found):
        typer.echo(line)
    if found.problem:
        raise DataError(found.problem)
