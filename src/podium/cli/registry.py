"""`podium promote`, `rollback`, `history` and `replay`: the model registry by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from podium.cli.options import DEFAULT_STORE, DEFAULT_URI, Output, Store, TrackingUri, existing_store, existing_tracker
from podium.errors import StepFailed

if TYPE_CHECKING:
    from podium.records import Move

Name = Annotated[str, typer.Argument(help="A registered model.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the move.")]

_WIDTH = 200
"""Columns of a table that is not written to a terminal."""


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


def history(
    name: Name,
    output: Annotated[Literal["text", "json"], Output] = "text",
    tracking_uri: TrackingUri = DEFAULT_URI,
) -> None:
    """Print every move of the champion of a registered model: who, when, why, and on which decision."""
    moves = existing_tracker(tracking_uri).moves(name)
    if output == "json":
        typer.echo(json.dumps([move.model_dump(mode="json") for move in moves], indent=1))
    elif not moves:
        typer.echo(f"no champion of {name} was ever promoted here")
    else:
        _print_table(moves)


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


def _move(name: str, version: str, how: Literal["forced", "rollback"], reason: str, tracking_uri: str) -> None:
    from podium.stages.promotion import move_by_hand

    move = move_by_hand(existing_tracker(tracking_uri), name, version, how, reason)
    before = f"version {move.before}" if move.before else "none"
    typer.echo(
        f"the champion of {name} is version {move.after}; before: {before}. Recorded for {move.by}: {move.reason}"
    )


def _print_table(moves: Sequence[Move]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("when (UTC)", "how", "from", "to", "by", "decision"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", min_width=40)
    for move in moves:
        when = f"{move.at:%Y-%m-%d %H:%M:%S}"
        versions = (move.before or "–", move.after)
        table.add_row(when, move.how, *versions, escape(move.by), move.decision[:12] or "–", escape(move.reason))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
