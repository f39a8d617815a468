"""Run directories of `podium infer`, written by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

LABELS = ("business", "sport", "tech")


def write_run(
    directory: Path,
    columns: Mapping[str, Sequence[Any]],
    answers: Sequence[Any],
    probabilities: Sequence[Any] | None = None,
    *,
    format: str = "parquet",
    **run: Any,
) -> Path:
    """A finished run with one line per row; a row without an answer is `unparseable`."""
    directory.mkdir(parents=True)
    ids = [f"rows.jsonl:{number}" for number in range(1, len(answers) + 1)]
    about = {"id": directory.name, "model": "demo@champion", "data": "rows.jsonl", "status": "finished", "key": "k"}
    about |= {"task": "text-classification", "labels": LABELS, "target": "label", "content": "text"}
    (directory / "run.json").write_text(json.dumps(about | run))
    lines = [
        {
            "id": row,
            "outcome": "ok" if answer is not None else "unparseable",
            "answer": answer,
            "probabilities": None if probabilities is None else probabilities[place],
            "seconds": 0.01,
        }
        for place, (row, answer) in enumerate(zip(ids, answers, strict=True))
    ]
    (directory / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in reversed(lines)))
    table = {**columns, "podium_id": ids, "podium_answer": answers}
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    path = directory / f"predictions.{format}"
    match format:
        case "parquet":
            pq.write_table(pa.table({name: pa.array(values) for name, values in table.items()}), path)
        case "jsonl":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        case "json":
            path.write_text(json.dumps(rows))
        case "yaml":
            path.write_text(yaml.safe_dump(rows, sort_keys=False))
        case "csv":
            with path.open("w", newline="") as file:
                written = csv.DictWriter(file, list(table))
                written.writeheader()
                plain = (str, int, float, type(None))
                written.writerows(
                    {name: value if isinstance(value, plain) else json.dumps(value) for name, value in row.items()}
                    for row in rows
                )
    return directory
