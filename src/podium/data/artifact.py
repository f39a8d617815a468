"""Reads the `data` artifact: splits, folds and labels of a prepared data set, memory-mapped."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from podium.data.index import Ints
from podium.errors import InputError

SPLITS = ("train", "validation", "test")
"""Splits of a prepared data set, by folder name."""

FOLDS_FILE = "folds.json"
"""Fold of every development row, number of folds, task and labels."""


class DataArtifact:
    """A prepared data set in the directory `path`.

    Columns of every split: `id`; the content, a text or a list of words; the target, an index into `labels` or a list
    of them. The task names content and target (`Task.content`, `Task.target`). Where rows belong to documents,
    `document` is the id of the first row of the document.

    Raises:
        InputError: the directory is not a prepared data set.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            described = json.loads((self.path / FOLDS_FILE).read_text())
            self.task: str = described["task"]
            self.labels: tuple[str, ...] = tuple(described["labels"])
            self.fold_count: int = described["count"]
            self.folds: Ints = np.array(described["folds"], dtype=np.int64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} must be a prepared data set, but its {FOLDS_FILE} is not: {error}"
            ) from error

    @cached_property
    def train(self) -> Any:
        """Rows to train on, as a `datasets.Dataset`."""
        return self._split("train")

    @cached_property
    def validation(self) -> Any:
        """Rows to validate on, as a `datasets.Dataset`."""
        return self._split("validation")

    @cached_property
    def test(self) -> Any:
        """Rows held out to the end, as a `datasets.Dataset`."""
        return self._split("test")

    @cached_property
    def development(self) -> Any:
        """Train followed by validation, as a `datasets.Dataset`: what folds are over."""
        from datasets import concatenate_datasets

        return concatenate_datasets([self.train, self.validation])

    def fold(self, k: int) -> tuple[Ints, Ints]:
        """Positions in `development` of the rows to train on and of the rows held out in fold `k`.

        Raises:
            InputError: there is no fold `k`.
        """
        if not 0 <= k < self.fold_count:
            raise InputError(f"0 <= fold < {self.fold_count} must hold, but got fold={k}")
        return np.flatnonzero(self.folds != k), np.flatnonzero(self.folds == k)

    def _split(self, name: str) -> Any:
        from datasets import load_from_disk

        return load_from_disk(str(self.path / name))
