"""The base classes of records, values that several of them share, and moves of the alias `champion`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from podium.errors import InputError

Scalar = bool | int | float | str

_MARK = "+"


def identity(model_digest: str, variant: str) -> str:
    """The name of a deployable model: the digest of the refit, and the variant unless it is eager."""
    return model_digest if variant == "eager" else f"{model_digest}{_MARK}{variant}"


def refit_of(identity: str) -> str:
    """The digest of the refit that a model of this identity was made from."""
    return identity.partition(_MARK)[0]


class Frozen(BaseModel):
    """Base of every value in a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ArtifactRef(Frozen):
    """A tree of files in the store, named by the digest of its manifest."""

    name: str
    digest: str
    files: int
    size_bytes: int


class Interval(Frozen):
    """A figure with the bounds of its confidence interval; `method` names how they were found."""

    value: float
    low: float
    high: float
    confidence: float
    method: str


class Record(Frozen):
    """Base of every step's result.

    Attributes:
        key: digest of the result's key; empty for a record that is never stored (a run).
        parents: keys of the results this one was made from, by name: the lineage.
        artifacts: payloads in the store, by role.
        mlflow_run_id: the MLflow run that computed this result; null when tracking is off.
        seconds: wall time the computation took.
    """

    kind: ClassVar[str]

    schema_version: Literal[1] = 1
    key: str
    parents: dict[str, str] = {}
    artifacts: dict[str, ArtifactRef] = {}
    mlflow_run_id: str | None = None
    seconds: float = 0.0
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record.

        Raises:
            InputError: the text is not a record of this kind and schema version.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(f"not a {cls.kind} record of schema version 1: {error}") from error

    @classmethod
    def read(cls, path: str | Path) -> Self:
        return cls.from_json(Path(path).read_bytes())

    def save(self, path: str | Path) -> dict[str, str]:
        """Write the record as JSON, and return what its KFP artifact's metadata carries: the lineage."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(self.to_json())
        metadata = {"podium_kind": self.kind, "podium_key": self.key, "mlflow_run_id": self.mlflow_run_id or ""}
        metadata |= {f"podium_parent_{name}": digest for name, digest in self.parents.items()}
        return metadata | {f"podium_artifact_{role}": ref.digest for role, ref in self.artifacts.items()}


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
