"""Rows that a training is scored on, and how a trainer's output becomes predictions of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from podium.config.schema import Task
from podium.data.artifact import documents_of
from podium.evaluation.predictions import Predictions
from podium.training.tokenization import IGNORED, OUTSIDE, restore_tags


@dataclass(frozen=True)
class HeldOut:
    """Rows to predict, longest first, so that batches hold little padding and memory peaks at once.

    Attributes:
        tokens: tokenised rows.
        ids: row ids, in the order of `tokens`; as are
        truth: label index of each row, or for `ner` of each word of each row.
        documents: document of each row, for `ner` where there are any.
        ascending: positions in `tokens` that bring the rows into the order of their split.
    """

    task: Task
    labels: tuple[str, ...]
    tokens: Dataset
    ids: list[str]
    truth: list[Any]
    documents: tuple[str, ...] | None
    ascending: NDArray[np.int64]

    @classmethod
    def of(cls, task: Task, labels: tuple[str, ...], source: Dataset, tokens: Dataset, rows: NDArray[np.int64]) -> Self:
        """Hold out `rows` of a split, given as it is and tokenised."""
        lengths = np.asarray(tokens["length"])[rows]
        chosen = rows[np.argsort(-lengths, kind="stable")]
        target = "tags" if task == "ner" else "label"
        short = [name for name in ("id", target, "document") if name in source.column_names]
        held = source.select_columns(short).select(chosen)
        return cls(
            task=task,
            labels=labels,
            tokens=tokens.select(chosen),
            ids=list(held["id"]),
            truth=list(held[target]),
            documents=documents_of(held),
            ascending=np.argsort(chosen),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def predictions(self, outputs: Any, marks: Any) -> Predictions:
        """Predictions in the order of the split.

        Args:
            outputs: for `text-classification` probabilities (rows, labels); for `ner` label indices (rows, tokens).
            marks: the labels the trainer saw, in the shape of the tokens; `IGNORED` where nothing is predicted.
        """
        ids = tuple(self.ids[row] for row in self.ascending)
        if self.task == "text-classification":
            truth = np.array([self.truth[row] for row in self.ascending])
            probabilities = np.asarray(outputs, dtype=np.float64)[self.ascending]
            return Predictions(self.task, self.labels, ids, truth, probabilities.argmax(axis=1), probabilities)
        words = list(self.tokens["words"])
        truths, predicted = [], []
        for row in self.ascending:
            tags = self.truth[row]
            truths.append([self.labels[tag] for tag in tags])
            seen = outputs[row][marks[row] != IGNORED]
            predicted.append(restore_tags(seen, words[row], len(tags), self.labels))
        labels = self.labels if OUTSIDE in self.labels else (*self.labels, OUTSIDE)
        documents = None if self.documents is None else tuple(self.documents[row] for row in self.ascending)
        return Predictions(self.task, labels, ids, truths, predicted, documents=documents)
