"""The data of `podium infer`: rows in the shape of the task, whether they are labelled or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from podium.local.inference_data import DataCommand, open_data
from tests.unit.data.test_label_exports import task


def read(path: Path, kind: str, labels: tuple[str, ...], given: str = "") -> tuple[tuple[str, ...], list[Any]]:
    """The columns, and what each row has in that of the labels."""
    found = open_data(DataCommand(path.name, label_column=given), path.parent, kind, labels)
    assert found.target is not None
    return found.source.reader.columns(), [row.values.get(found.target) for row in found.source]


def test_columns_of_zero_and_one_are_one_column_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,toxic,threat\n" + "".join(f"a text {n},{n % 2},{n % 3 // 2}\n" for n in range(9)) + "new,,\n")
    columns, labels = read(path, "multi-label", ("threat", "toxic"), "toxic,threat")
    assert columns == ("text", "toxic", "threat", "toxic,threat")
    assert labels[:3] == [[], ["toxic"], ["threat"]] and labels[-1] is None


def test_rows_that_nobody_has_labelled_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([*(task(n, ["ab"[n % 2]]) for n in range(6)), task(6)]))
    columns, labels = read(path, "text-classification", ("a", "b"))
    assert (
        "annotations.sentiment" in columns and labels[:2] == [["a"], ["b"]] and labels[-1] is None and len(labels) == 7
    )
