"""Held-out predictions: what a model answered for each row, kept so that every later figure can be recomputed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.tasks import TASKS
from podium.tasks.base import Decoded

FILE = "predictions.parquet"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The truth and one model's answers, row by row.

    Attributes:
        task: name of the task, which decides what `truth` and `predicted` hold (`Task.checked`).
        labels: names of the labels, in the order of the model's outputs.
        ids: unique row ids, which pair the predictions of two models.
        predicted: the model's answer for each row; a row can be without a valid answer, see `answered`.
        probabilities: (rows, labels) where the task and the model have them; 0 in rows without a valid answer.
        documents: name of the document of each row; None where each row stands alone.

    Raises:
        InputError: there are no rows, or shapes, ids, labels, probabilities or documents contradict each other.
    """

    task: str
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    truth: Any
    predicted: Any
    probabilities: NDArray[np.float64] | None = None
    documents: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        task, rows = TASKS.get(self.task), (len(self.ids), len(self.truth), len(self.predicted))
        labels, ids = tuple(self.labels), tuple(str(row) for row in self.ids)
        if rows[0] == 0 or len(set(rows)) != 1:
            raise InputError(f"ids, truth and predicted must have the same number of rows, at least 1, but got {rows}")
        if len(set(ids)) != len(ids):
            raise InputError(f"row ids must be unique, but {len(ids) - len(set(ids))} repeat")
        documents = None if self.documents is None else tuple(str(name) for name in self.documents)
        if documents is not None and len(documents) != rows[0]:
            raise InputError(f"documents must have one name for each of {rows[0]} rows, but got {len(documents)}")
        truth = task.checked(self.truth, labels, ids)
        predicted = task.checked(self.predicted, labels, ids, truth)
        checked = {"labels": labels, "ids": ids, "documents": documents, "truth": truth, "predicted": predicted}
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.probabilities is not None:
            given, shape = np.asarray(self.probabilities, dtype=np.float64), (len(ids), len(labels))
            if given.shape != shape:
                raise InputError(f"probabilities must have shape (rows, labels) = {shape}, but got {given.shape}")
            task.check_probabilities(given, self.answered)
            object.__setattr__(self, "probabilities", given)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, task: str, labels: Sequence[str], rows: Any, answers: Decoded) -> Self:
        """The predictions for rows of a prepared data set, by column as `podium.data.artifact` has them."""
        kind = TASKS.get(task)
        documents = tuple(rows["document"]) if "document" in rows.column_names else None
        truth = kind.truth(rows[kind.target], labels)
        return cls(task, tuple(labels), tuple(rows["id"]), truth, *answers, documents)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Whether the model gave a valid answer for each row, shape (rows,)."""
        return np.array([answer is not None for answer in self.named("predicted")], dtype=np.bool_)

    def named(self, what: str) -> list[Any]:
        """`truth` or `predicted` by the names of the labels, see `Task.named`."""
        return TASKS.get(self.task).named(getattr(self, what), self.labels)

    def aligned_to(self, ids: Sequence[str]) -> Self:
        """The same predictions with rows in the order of `ids`.

        Raises:
            InputError: `ids` are not exactly the ids of these predictions.
        """
        if tuple(ids) == self.ids:
            return self
        place = {row: number for number, row in enumerate(self.ids)}
        missing = [row for row in ids if row not in place]
        if missing or len(ids) != len(self.ids):
            raise InputError(
                "predictions must be for the same rows to be compared, but "
                f"{len(missing)} of {len(ids)} ids are missing among {len(self.ids)} (first: {missing[:1]}); "
                "predict both models on the same test split"
            )
        return self.at([place[row] for row in ids])

    def at(self, places: Sequence[int]) -> Self:
        """The predictions of the rows at these places, of which there is at least one, in this order."""
        return type(self)(
            self.task,
            self.labels,
            tuple(self.ids[row] for row in places),
            [self.truth[row] for row in places],
            [self.predicted[row] for row in places],
            None if self.probabilities is None else self.probabilities[list(places)],
            None if self.documents is None else tuple(self.documents[row] for row in places),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of several predictions, one after the other; all of one task, its labels, and the same columns."""
        first = parts[0]

        def joint(values: Sequence[Any]) -> Any:
            return np.concatenate(values) if isinstance(values[0], np.ndarray) else list(chain(*values))

        return cls(
            first.task,
            first.labels,
            joint([one.ids for one in parts]),
            joint([one.truth for one in parts]),
            joint([one.predicted for one in parts]),
            None if first.probabilities is None else joint([one.probabilities for one in parts]),
            None if first.documents is None else joint([one.documents for one in parts]),
        )

    def save(self, directory: Path) -> None:
        """Write `predictions.parquet` into `directory`.

        Columns: `id`; `truth` and `predicted` by the names of the labels, null where there is no valid answer;
        `probabilities` and `document` where there are any. Task and labels are in the schema.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {"id": pa.array(self.ids, pa.string())}
        for name in ("truth", "predicted"):
            columns[name] = pa.array(self.named(name))
        if self.probabilities is not None:
            columns["probabilities"] = pa.array(list(self.probabilities), pa.list_(pa.float64()))
        if self.documents is not None:
            columns["document"] = pa.array(self.documents, pa.string())
        metadata = {"podium.task": self.task, "podium.labels": json.dumps(self.labels)}
        directory.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), directory / FILE)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: there is no such file, or it was not written by `save`.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = directory / FILE
        if not path.is_file():
            raise InputError(f"predictions must lie at {path}, but there is no such file")
        try:
            table = pq.read_table(path)
        except pa.ArrowInvalid as error:
            raise InputError(f"{path} must be a Parquet file, but it cannot be read: {error}") from error
        metadata = table.schema.metadata or {}
        if b"podium.task" not in metadata or b"podium.labels" not in metadata:
            raise InputError(f"{path} must be written by Podium, but it names no task and labels")
        task = metadata[b"podium.task"].decode()
        labels = tuple(json.loads(metadata[b"podium.labels"]))
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        truth, predicted = (TASKS.get(task).numbered(columns[name], labels) for name in ("truth", "predicted"))
        probabilities = np.array(columns["probabilities"]) if "probabilities" in columns else None
        documents = tuple(columns["document"]) if "document" in columns else None
        return cls(task, labels, tuple(columns["id"]), truth, predicted, probabilities, documents)
