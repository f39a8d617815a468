"""Moves of the alias `champion` of a registered model: who moved it, when, why, and on which decision."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from podium.records.base import Frozen

How = Literal["decided", "forced", "rollback"]
"""`decided` by a run, `forced` by its policy or by hand, or a `rollback`."""


class Move(Frozen):
    """One move of the alias.

    Attributes:
        before: version that held the alias; empty when none did. `before_model` is its `identity`.
        after: version that the alias was given to. `after_model` is its `identity`.
        by: `user@host`, or the run of Kubeflow Pipelines.
        decision: key of the decision that caused the move; empty when a person made it.
        state: `begun` until every alias is in its place; `abandoned` when the alias never moved.
    """

    how: How
    before: str = ""
    before_model: str = ""
    after: str
    after_model: str
    by: str
    reason: str
    decision: str = ""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    state: Literal["begun", "done", "abandoned"] = "begun"


def withdrawn(moves: Iterable[Move]) -> dict[str, str]:
    """Models that were rolled back and not promoted since: a sentence that says by whom, by the model's `identity`."""
    found: dict[str, str] = {}
    for move in moves:
        found.pop(move.after_model, None)
        if move.how == "rollback" and move.before_model:
            found[move.before_model] = (
                f"version {move.before} was rolled back by {move.by} on {move.at:%Y-%m-%d %H:%M} UTC: {move.reason}"
            )
    return found


def rollback_target(moves: Iterable[Move]) -> Move | None:
    """The latest move to a champion other than the present one that was not rolled back."""
    made = list(moves)
    if not made:
        return None
    refused = {*withdrawn(made), made[-1].after_model}
    return next((move for move in reversed(made) if move.after_model not in refused), None)
