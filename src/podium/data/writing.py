"""Second pass: the staged rows stream into one Arrow file per split.

The layout is what `datasets.Dataset.save_to_disk` writes, so `load_from_disk` memory-maps it. It is written here
because that library would copy the rows once more and draw fingerprints at random: the same data must give the same
bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from podium.data.artifact import FOLDS_FILE, SPLITS
from podium.data.index import Ints, RowIndex
from podium.data.partition import Partition
from podium.data.staging import Staged, row_schema
from podium.tasks import TASKS

_DATA_FILE = "data-00000-of-00001.arrow"


def write_artifact(
    staged: Staged, parts: Partition, labels: tuple[str, ...], output: Path, documents: Ints | None = None
) -> dict[str, dict[str, int]]:
    """Write `train/`, `validation/`, `test/` and `folds.json`; return how often each label occurs in each split.

    `documents` are of all rows, as `podium.data.documents.documents` gives them; they are written where there are any.
    """
    import pyarrow as pa

    numbers = _final_numbers(staged.index, labels)
    schema = row_schema(TASKS.get(staged.index.task), pa.int64())
    if documents is not None:
        schema = schema.append(pa.field("document", pa.string()))
    counts = {split: np.zeros(len(labels), dtype=np.int64) for split in SPLITS}
    with ExitStack() as stack:
        writers = {}
        for split in SPLITS:
            (output / split).mkdir(parents=True, exist_ok=True)
            sink = stack.enter_context(pa.OSFile(str(output / split / _DATA_FILE), "wb"))
            writers[split] = stack.enter_context(pa.ipc.new_stream(sink, schema))
        for start, batch in _batches(staged.path):
            for split in SPLITS:
                rows: Ints = getattr(parts, split)
                chosen = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + batch.num_rows)]
                if len(chosen):
                    content = batch.take(pa.array(chosen - start))
                    target, flat = _target(content.column(2), numbers)
                    columns = [*content.columns[:2], target]
                    if documents is not None:
                        columns.append(pa.array(staged.index.ids(documents[chosen]), pa.string()))
                    writers[split].write_batch(pa.record_batch(columns, schema=schema))
                    counts[split] += np.bincount(flat, minlength=len(labels))
    for split in SPLITS:
        _describe(output / split, schema, _split_digest(staged.index, getattr(parts, split), labels))
    folds = {
        "task": staged.index.task,
        "labels": labels,
        "count": int(parts.folds.max()) + 1,
        "folds": parts.folds.tolist(),
    }
    (output / FOLDS_FILE).write_text(json.dumps(folds, ensure_ascii=False))
    return {split: dict(zip(labels, counts[split].tolist(), strict=True)) for split in SPLITS}


def _batches(path: Path) -> Iterator[tuple[int, Any]]:
    """Batches of the staged file with the number of their first row, read one at a time."""
    import pyarrow as pa

    start = 0
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield start, batch
            start += batch.num_rows


def _final_numbers(index: RowIndex, labels: tuple[str, ...]) -> Ints:
    """Position in `labels` of every provisional number; -1 for a label that no split has."""
    position = {label: number for number, label in enumerate(labels)}
    return np.array([position.get(label, -1) for label in index.vocabulary], dtype=np.int64)


def _target(provisional: Any, numbers: Ints) -> tuple[Any, Ints]:
    """The target column of some rows in final numbers, and these numbers in one flat array."""
    import pyarrow as pa

    if not pa.types.is_list(provisional.type):
        flat = numbers[provisional.to_numpy()]
        return pa.array(flat), flat
    flat = numbers[provisional.flatten().to_numpy()]
    offsets = np.concatenate([[0], np.cumsum(provisional.value_lengths().to_numpy())]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)), flat


def _split_digest(index: RowIndex, rows: Ints, labels: tuple[str, ...]) -> str:
    hasher = hashlib.sha256(json.dumps(labels).encode())
    values: tuple[npt.NDArray[np.uint64], ...] = (index.digests[rows], index.targets[rows])
    for part in values:
        hasher.update(np.ascontiguousarray(part).tobytes())
    return hasher.hexdigest()


def _describe(directory: Path, schema: Any, digest: str) -> None:
    """Write what `load_from_disk` needs beside the rows."""
    features = {field.name: _feature(field.type) for field in schema}
    state: dict[str, Any] = {
        "_data_files": [{"filename": _DATA_FILE}],
        "_fingerprint": digest[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    (directory / "state.json").write_text(json.dumps(state, indent=1))
    (directory / "dataset_info.json").write_text(json.dumps(info, indent=1))


def _feature(kind: Any) -> dict[str, Any]:
    """An Arrow type as `datasets` describes it."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    return {"dtype": str(kind), "_type": "Value"}
