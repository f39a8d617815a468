"""Commands that look at results, and those that decide what is in use."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import (
    DEFAULT_STORE,
    DEFAULT_URI,
    Output,
    Store,
    TrackingUri,
    existing_store,
    existing_tracker,
)
from podium.errors import StepFailed

Name = Annotated[str, typer.Argument(help="A registered model.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the move.")]

EXIT_CODES = {"pass": 0, "fail": 3, "cannot judge": 4}
"""Exit code of each verdict of `podium compare`; errors have the codes of every command."""
_WIDTH = 200
"""Columns of a table that is not written to a terminal."""


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN[:MODEL] RUN[:MODEL]...",
            help="A run directory, run id, `latest`, key of a result, or registered NAME@alias; the first is the "
            "baseline. MODEL is ENTRANT or ENTRANT.VARIANT; the winner when left out.",
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


def explain(
    key: Annotated[str, typer.Argument(help="A key, or enough of its first digits.")],
    other: Annotated[str, typer.Argument(help="A second key: show which parts differ.")] = "",
    store: Store = DEFAULT_STORE,
) -> None:
    """Print the parts of a key; given two, which part differs."""
    from podium.store.explain import explain_difference, explain_key

    found = existing_store(store)
    typer.echo(explain_difference(found, key, other) if other else explain_key(found, key))


def lineage(
    model: Annotated[str, typer.Argument(help="Registered model (NAME, NAME@alias or NAME/version), run id, or key.")],
    tracking_uri: TrackingUri = DEFAULT_URI,
) -> None:
    """Walk from a model back to the digests of its data files, or from data forward to its models."""
    from podium.tracking.lineage import lineage as walk
    from podium.tracking.lineage import render

    typer.echo(render(walk(existing_tracker(tracking_uri), model)))


def replay(
    key: Annotated[str, typer.Argument(help="Key of a decision, or enough of its first digits.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Make a stored decision again from its own evidence; exit with 1 if it comes out differently."""
    from podium.selection.decision import replay as again
    from podium.stages.promotion import stored_decision

    record = stored_decision(existing_store(store), key)
    found, differences = again(record)
    if differences:
        listed = "\n  ".join(differences)
        raise StepFailed(f"decision {record.key[:12]} does not follow from its evidence:\n  {listed}")
    typer.echo(f"decision {record.key[:12]}: {found.verdict}, as recorded")
    for reason in found.reasons:
        typer.echo(f"- {reason.code}: {reason.text}")


def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="Version that becomes the champion: a number, or an alias.")],
    reason: Reason,
    tracking_uri: TrackingUri = DEFAULT_URI,
) -> None:
    """Make a registered version the champion by hand, whatever was decided on it."""
    _move(name, version, "forced", reason, tracking_uri)


def rollback(
    name: Name,
    reason: Reason,
    to: Annotated[str, typer.Option(help="Version to go back to; the champion before this one if left out.")] = "",
    tracking_uri: TrackingUri = DEFAULT_URI,
) -> None:
    """Make an earlier champion the champion again; runs no longer promote the one that is rolled back."""
    _move(name, to, "rollback", reason, tracking_uri)


def _move(name: str, version: str, how: Literal["forced", "rollback"], reason: str, tracking_uri: str) -> None:
    from podium.stages.promotion import move_by_hand

    move = move_by_hand(existing_tracker(tracking_uri), name, version, how, reason)
    before = f"version {move.before}" if move.before else "none"
    typer.echo(
        f"the champion of {name} is version {move.after}; before: {before}. Recorded for {move.by}: {move.reason}"
    )


def history(
    name: Name,
    output: Annotated[Literal["text", "json"], Output] = "text",
    tracking_uri: TrackingUri = DEFAULT_URI,
) -> None:
    """Print every move of the champion of a registered model: who, when, why, and on which decision."""
    moves = existing_tracker(tracking_uri).moves(name)
    if output == "json":
        typer.echo(json.dumps([move.model_dump(mode="json") for move in moves], indent=1))
        return
    if not moves:
        typer.echo(f"no champion of {name} was ever promoted here")
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("when (UTC)", "how", "from", "to", "by", "decision"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", min_width=40)
    for move in moves:
        when, before, decision = f"{move.at:%Y-%m-%d %H:%M:%S}", move.before or "–", move.decision[:12] or "–"
        table.add_row(when, move.how, before, move.after, escape(move.by), decision, escape(move.reason))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
