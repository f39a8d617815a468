"""The rows of a transformer's training: tokenised once and shared, and held out to be scored."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import tokenizers
from datasets import Dataset
from filelock import FileLock
from numpy.typing import NDArray

from podium.evaluation.predictions import Predictions
from podium.keys import Key
from podium.tasks import TASKS

_FILE = "rows.arrow"
_log = logging.getLogger(__name__)


def tokenised(
    dataset: Dataset,
    *,
    tokenizer: Any,
    tokenizer_digest: str,
    data_digest: str,
    split: str,
    task: str,
    labels: int,
    max_length: int,
    cache: Path,
) -> Dataset:
    """The tokenised form of one split of a data set with so many `labels`, row for row, memory-mapped from `cache`.

    One process makes it on first use while others wait; a damaged file is made again. Columns: see `Task.encode`.
    """
    key = Key.of(
        "tokens",
        tokenizer=tokenizer_digest,
        library=tokenizers.__version__,
        data=data_digest,
        split=split,
        task=task,
        max_length=max_length,
    )
    folder, kind = cache / key.digest, TASKS.get(task)
    cache.mkdir(parents=True, exist_ok=True)
    if (ready := _open(folder, len(dataset))) is not None:
        return ready

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return kind.encode(tokenizer, batch[kind.content], batch[kind.target], labels, max_length)

    with FileLock(cache / f"{key.digest}.lock"):
        if (ready := _open(folder, len(dataset))) is not None:
            return ready
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as partial:
            written = Path(partial) / "rows"
            written.mkdir()
            dataset.map(
                encode,
                batched=True,
                remove_columns=dataset.column_names,
                cache_file_name=str(written / _FILE),
                load_from_cache_file=False,
                new_fingerprint=key.digest[:16],
            )
            written.rename(folder)
    return Dataset.from_file(str(folder / _FILE))


def _open(folder: Path, rows: int) -> Dataset | None:
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        dataset = Dataset.from_file(str(path))
    except (pa.ArrowInvalid, OSError) as error:
        _log.warning("tokenised data in %s is damaged and is made again: %s", folder, error)
        return None
    if len(dataset) != rows:
        _log.warning("tokenised data in %s has %d rows instead of %d and is made again", folder, len(dataset), rows)
        return None
    return dataset


@dataclass(frozen=True)
class HeldOut:
    """Rows to predict, longest first: batches then hold little padding, and a lack of memory shows at once.

    Attributes:
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
