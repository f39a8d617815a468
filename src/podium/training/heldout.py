"""Rows that a training is scored on, and how the output of a trainer becomes predictions of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from podium.evaluation.predictions import Predictions
from podium.tasks import TASKS


@dataclass(frozen=True)
class HeldOut:
    """Rows to predict, longest first: batches then hold little padding, and a lack of memory shows at once.

    Attributes:
        task: name of the task.
        tokens: tokenised rows.
        rows: the same rows with their ids, targets and documents.
        ascending: positions in `tokens` that bring the rows into the order of their split.
    """

    task: str
    labels: tuple[str, ...]
    tokens: Dataset
    rows: Dataset
    ascending: NDArray[np.int64]

    @classmethod
    def of(cls, task: str, labels: tuple[str, ...], source: Dataset, tokens: Dataset, rows: NDArray[np.int64]) -> Self:
        """Hold out `rows` of a split, given as it is and tokenised."""
        lengths = np.asarray(tokens["length"])[rows]
        chosen = rows[np.argsort(-lengths, kind="stable")]
        short = [name for name in ("id", TASKS.get(task).target, "document") if name in source.column_names]
        return cls(task, labels, tokens.select(chosen), source.select_columns(short).select(chosen), np.argsort(chosen))

    def __len__(self) -> int:
        return len(self.rows)

    def predictions(self, outputs: Any, marks: Any) -> Predictions:
        """Predictions in the order of the split.

        Args:
            outputs: what `Task.reduce` keeps of the logits of all rows, padded.
            marks: the labels that the trainer saw, padded alike.
        """
        task = TASKS.get(self.task)
        words = list(self.tokens["words"]) if "words" in self.tokens.column_names else None
        sizes = [len(target) for target in self.rows[task.target]] if task.words else []
        reduced = task.unpad(outputs, marks, words, sizes)
        answers = task.decode([reduced[row] for row in self.ascending], self.labels)
        return Predictions.of(self.task, self.labels, self.rows.select(self.ascending), answers)
