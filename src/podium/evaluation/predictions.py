"""Held-out predictions: what a model said about each row, kept so that every later figure can be recomputed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from podium.config.schema import METRICS, Task
from podium.errors import InputError

FILE = "predictions.parquet"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The truth and one model's predictions, row by row.

    Attributes:
        task: decides the meaning of `truth` and `predicted`.
        labels: class names, or BIO tags for `ner`, in the order of the model's outputs.
        ids: unique row ids, which pair the predictions of two models.
        truth: for `text-classification` an integer array of shape (rows,), indices into `labels`; for `ner` one
            sequence of tag strings per sentence.
        predicted: as `truth`, and for `ner` of the same length per sentence: a token the model never saw (cut off by
            its maximum length) counts as predicted `O`.
        probabilities: (rows, labels) for `text-classification` when known, rows summing to 1; None for `ner`.
        documents: name of the document of each row, for `ner`; None where each row stands alone.

    Raises:
        InputError: there are no rows, or shapes, ids, labels, probabilities or documents contradict each other.
    """

    task: Task
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    truth: Any
    predicted: Any
    probabilities: NDArray[np.float64] | None = None
    documents: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.task not in METRICS:
            raise InputError(f"task must be one of {', '.join(METRICS)}, but got {self.task!r}")
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "ids", tuple(str(row) for row in self.ids))
        self._check_rows()
        if self.task == "ner":
            self._check_sentences()
        else:
            self._check_classes()

    def __len__(self) -> int:
        return len(self.ids)

    def _check_rows(self) -> None:
        rows = (len(self.ids), len(self.truth), len(self.predicted))
        if rows[0] == 0 or len(set(rows)) != 1:
            raise InputError(f"ids, truth and predicted must have the same number of rows, at least 1, but got {rows}")
        if len(set(self.ids)) != len(self.ids):
            raise InputError(f"row ids must be unique, but {len(self.ids) - len(set(self.ids))} repeat")
        if self.documents is None:
            return
        object.__setattr__(self, "documents", tuple(str(name) for name in self.documents))
        if self.task != "ner" or len(self.documents) != rows[0]:
            raise InputError(
                f"documents must be given for ner only, one name for each of {rows[0]} rows, but got "
                f"{len(self.documents)} for {self.task}"
            )

    def _check_sentences(self) -> None:
        if self.probabilities is not None:
            raise InputError("probabilities are kept for text-classification only, but were given for ner")
        for name in ("truth", "predicted"):
            object.__setattr__(self, name, tuple(tuple(str(tag) for tag in tags) for tags in getattr(self, name)))
        for row, truth, predicted in zip(self.ids, self.truth, self.predicted, strict=True):
            if len(truth) != len(predicted):
                raise InputError(
                    "truth and predicted must have one tag per token, "
                    f"but row {row} has {len(truth)} and {len(predicted)}"
                )

    def _check_classes(self) -> None:
        for name in ("truth", "predicted"):
            values = np.asarray(getattr(self, name))
            if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
                raise InputError(f"{name} must be a 1-d integer array, but got {values.dtype} of shape {values.shape}")
            if values.min() < 0 or values.max() >= len(self.labels):
                raise InputError(
                    f"{name} must lie in 0..{len(self.labels) - 1} (indices into labels), "
                    f"but spans {values.min()}..{values.max()}"
                )
            object.__setattr__(self, name, values.astype(np.int64))
        if self.probabilities is None:
            return
        given = np.asarray(self.probabilities, dtype=np.float64)
        if given.shape != (len(self.ids), len(self.labels)):
            raise InputError(
                "probabilities must have shape (rows, labels) = "
                f"{(len(self.ids), len(self.labels))}, but got {given.shape}"
            )
        if not (np.isfinite(given).all() and (given >= 0).all() and np.allclose(given.sum(axis=1), 1, atol=1e-3)):
            raise InputError("probabilities must be finite, not negative, and sum to 1 per row; apply softmax first")
        object.__setattr__(self, "probabilities", given)

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
        order = [place[row] for row in ids]
        ner = self.task == "ner"
        return type(self)(
            self.task,
            self.labels,
            tuple(ids),
            [self.truth[row] for row in order] if ner else self.truth[order],
            [self.predicted[row] for row in order] if ner else self.predicted[order],
            None if self.probabilities is None else self.probabilities[order],
            None if self.documents is None else tuple(self.documents[row] for row in order),
        )

    def save(self, directory: Path) -> None:
        """Write `predictions.parquet` into `directory`: ids and label names in columns, the rest in the schema."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {"id": pa.array(self.ids, pa.string())}
        for name in ("truth", "predicted"):
            values = getattr(self, name)
            if self.task == "ner":
                columns[name] = pa.array([list(tags) for tags in values], pa.list_(pa.string()))
            else:
                columns[name] = pa.DictionaryArray.from_arrays(pa.array(values, pa.int32()), pa.array(self.labels))
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
        task: Task = metadata[b"podium.task"].decode()
        labels = tuple(json.loads(metadata[b"podium.labels"]))
        truth, predicted = (table.column(name).to_pylist() for name in ("truth", "predicted"))
        if task != "ner":
            index = {label: number for number, label in enumerate(labels)}
            truth, predicted = (np.array([index[name] for name in names]) for names in (truth, predicted))
        known = "probabilities" in table.column_names
        probabilities = np.array(table.column("probabilities").to_pylist()) if known else None
        documents = tuple(table.column("document").to_pylist()) if "document" in table.column_names else None
        return cls(task, labels, tuple(table.column("id").to_pylist()), truth, predicted, probabilities, documents)
