"""`podium explain` and `podium lineage`: what a result was made from."""

from __future__ import annotations

from typing import Annotated

import typer

from podium.cli.options import DEFAULT_STORE, DEFAULT_URI, Store, TrackingUri, existing_store, existing_tracker


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
