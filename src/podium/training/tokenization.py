"""Tokenised data: made once per tokenizer, data set and length, kept as Arrow on disk, shared by all processes."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import tokenizers
from datasets import Dataset
from filelock import FileLock

from podium.keys import Key
from podium.tasks import TASKS
from podium.tasks.base import Task

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
    """The tokenised form of one split, memory-mapped from `cache`, row for row with `dataset`.

    One process makes it on first use while others wait; a damaged file is made again. Columns: see `Task.encode`.

    Args:
        labels: number of labels of the data set.
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
    folder = cache / key.digest
    cache.mkdir(parents=True, exist_ok=True)
    ready = _open(folder, len(dataset))
    if ready is not None:
        return ready
    with FileLock(cache / f"{key.digest}.lock"):
        ready = _open(folder, len(dataset))
        if ready is not None:
            return ready
        shutil.rmtree(folder, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache))
        try:
            _write(dataset, tokenizer, TASKS.get(task), labels, max_length, partial / _FILE, key.digest)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Dataset.from_file(str(folder / _FILE))


def _write(
    dataset: Dataset, tokenizer: Any, task: Task, labels: int, max_length: int, path: Path, fingerprint: str
) -> None:
    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return task.encode(tokenizer, batch[task.content], batch[task.target], labels, max_length)

    dataset.map(
        encode,
        batched=True,
        remove_columns=dataset.column_names,
        cache_file_name=str(path),
        load_from_cache_file=False,
        new_fingerprint=fingerprint[:16],
    )


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
