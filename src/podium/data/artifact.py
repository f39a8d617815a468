"""The `data` artifact: splits, folds and labels of a prepared data set.

Every split has the layout that `datasets.Dataset.save_to_disk` writes, so `load_from_disk` memory-maps it. It is
written here because that library would copy the rows once more and draw fingerprints at random: the same data must
give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from podium.data.index import Ints
from podium.data.partition import Partition
from podium.data.sources import ROLES, Role
from podium.data.staging import Staged, row_schema

FOLDS_FILE = "folds.json"
"""Fold of every development row, number of folds, task and labels."""

_DATA_FILE = "data-00000-of-00001.arrow"


class DataArtifact:
    """A prepared data set in the directory `path`.

    Its splits `train`, `validation` and `test`, and `development`, which is train followed by validation and what folds
    are over, are of class `datasets.Dataset`. Their columns: `id`; the content, a text or a list of words; the target,
    an index into `labels` or a list of them. The task names content and target (`Task.content`, `Task.target`). Where
    rows belong to documents, `document` is the id of the first row of the document.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        described = json.loads((self.path / FOLDS_FILE).read_text())
        self.task: str = described["task"]
        self.labels: tuple[str, ...] = tuple(described["labels"])
        self.fold_count: int = described["count"]
        self.folds: Ints = np.array(described["folds"], dtype=np.int64)

    @cached_property
    def train(self) -> Any:
        return self._split("train")

    @cached_property
    def validation(self) -> Any:
        return self._split("validation")

    @cached_property
    def test(self) -> Any:
        return self._split("test")

    @cached_property
    def development(self) -> Any:
        from datasets import concatenate_datasets

        return concatenate_datasets([self.train, self.validation])

    def fold(self, k: int) -> tuple[Ints, Ints]:
        """Positions in `development` of the rows to train on and of the rows held out in fold `k`."""
        return np.flatnonzero(self.folds != k), np.flatnonzero(self.folds == k)

    def _split(self, name: str) -> Any:
        from datasets import load_from_disk

        return load_from_disk(str(self.path / name))


def contents_of(path: Path, split: Role) -> Iterator[Any]:
    """The texts, or lists of words, of a split of the prepared data set in `path`, read a batch at a time."""
    return (content for content, _ in rows_of(path, split))


def rows_of(path: Path, split: Role) -> Iterator[tuple[Any, Any]]:
    """Content and target, a label index or a list of them, of every row of a split, read as by `contents_of`."""
    import pyarrow as pa

    with pa.OSFile(str(path / split / _DATA_FILE), "rb") as file, pa.ipc.open_stream(file) as batches:
        for batch in batches:
            yield from zip(batch.column(1).to_pylist(), batch.column(2).to_pylist(), strict=True)


def write_artifact(
    staged: Staged, parts: Partition, labels: tuple[str, ...], output: Path, documents: Ints | None = None
) -> dict[str, dict[str, int]]:
    """Stream the staged rows into `train/`, `validation/` and `test/`, and write `folds.json`.

    Returns how often each label occurs in each split. `documents` are of all rows, as `podium.data.index.documents`
    gives them; they are written where there are any.
    """
    import pyarrow as pa

    index = staged.index
    position = {label: number for number, label in enumerate(labels)}
    # Position in `labels` of every provisional number; -1 for a label that no split has.
    numbers = np.array([position.get(label, -1) for label in index.vocabulary], dtype=np.int64)
    schema = row_schema(index.task, pa.int64())
    if documents is not None:
        schema = schema.append(pa.field("document", pa.string()))
    rows_of: dict[Role, Ints] = {split: getattr(parts, split) for split in ROLES}
    counts = {split: np.zeros(len(labels), dtype=np.int64) for split in ROLES}
    with ExitStack() as stack:
        writers = {}
        for split in ROLES:
            (output / split).mkdir(parents=True, exist_ok=True)
            sink = stack.enter_context(pa.OSFile(str(output / split / _DATA_FILE), "wb"))
            writers[split] = stack.enter_context(pa.ipc.new_stream(sink, schema))
        file = stack.enter_context(pa.OSFile(str(staged.path), "rb"))
        start = 0
        for batch in stack.enter_context(pa.ipc.open_stream(file)):
            end = start + batch.num_rows
            for split, rows in rows_of.items():
                chosen = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)]
                if len(chosen):
                    content = batch.take(pa.array(chosen - start))
                    target, flat = _renumbered(content.column(2), numbers)
                    columns = [*content.columns[:2], target]
                    if documents is not None:
                        columns.append(pa.array(index.ids(documents[chosen]), pa.string()))
                    writers[split].write_batch(pa.record_batch(columns, schema=schema))
                    counts[split] += np.bincount(flat, minlength=len(labels))
            start = end
    for split, rows in rows_of.items():
        hasher = hashlib.sha256(json.dumps(labels).encode())
        hasher.update(index.digests[rows].tobytes() + index.targets[rows].tobytes())
        _describe(output / split, schema, hasher.hexdigest())
    folds = {"task": index.task, "labels": labels, "count": int(parts.folds.max()) + 1, "folds": parts.folds.tolist()}
    (output / FOLDS_FILE).write_text(json.dumps(folds, ensure_ascii=False))
    return {split: dict(zip(labels, counts[split].tolist(), strict=True)) for split in ROLES}


def _renumbered(provisional: Any, numbers: Ints) -> tuple[Any, Ints]:
    """The target column of some rows in final numbers, and these numbers in one flat array."""
    import pyarrow as pa

    if not pa.types.is_list(provisional.type):
        flat = numbers[provisional.to_numpy()]
        return pa.array(flat), flat
    flat = numbers[provisional.flatten().to_numpy()]
    offsets = np.concatenate([[0], np.cumsum(provisional.value_lengths().to_numpy())]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)), flat


def _describe(directory: Path, schema: Any, digest: str) -> None:
    """Write what `load_from_disk` needs beside the rows."""
    state: dict[str, Any] = {
        "_data_files": [{"filename": _DATA_FILE}],
        "_fingerprint": digest[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    features = {field.name: _feature(field.type) for field in schema}
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    (directory / "state.json").write_text(json.dumps(state, indent=1))
    (directory / "dataset_info.json").write_text(json.dumps(info, indent=1))


def _feature(kind: Any) -> dict[str, Any]:
    """An Arrow type as `datasets` describes it."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    return {"dtype": str(kind), "_type": "Value"}
