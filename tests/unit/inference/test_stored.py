from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from podium.errors import InputError
from podium.inference.stored import load_run
from tests.unit.inference.stored_run import write_run

COLUMNS = {
    "text": ["shares fell", "a match", "a chip", "a goal"],
    "label": ["business", "sport", "tech", "sport"],
    "source": ["web", "print", "web", "print"],
}
ANSWERS = ["business", "tech", None, "sport"]
PROBABILITIES = [[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], None, [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("format", ["parquet", "jsonl", "json", "csv", "yaml"])
def test_a_run_gives_its_predictions_and_columns_in_the_order_of_the_data(tmp_path: Path, format: str) -> None:
    write_run(tmp_path / "r1", COLUMNS, ANSWERS, PROBABILITIES, format=format)
    run = load_run("r1", tmp_path)
    found = run.predictions()
    assert list(run.columns) == ["text", "label", "source"]
    assert list(run.column("source")) == COLUMNS["source"]
    assert found.ids == ("rows.jsonl:1", "rows.jsonl:2", "rows.jsonl:3", "rows.jsonl:4")
    assert found.named("truth") == COLUMNS["label"]
    assert found.named("predicted") == ANSWERS
    assert found.probabilities is not None
    assert found.probabilities.tolist() == [one or [0.0, 0.0, 0.0] for one in PROBABILITIES]


def test_a_directory_is_found_by_its_path_and_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "r1", COLUMNS, ANSWERS)
    with (directory / "journal.jsonl").open("a") as file:
        file.write('{"id": "rows.jsonl:1", "outcome": "ok", "ans')
    found = load_run(directory, tmp_path / "elsewhere").predictions()
    assert found.named("predicted") == ANSWERS
    assert found.probabilities is None


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "r1", COLUMNS | {"label": ["business", None, "tech", ""]}, ANSWERS, PROBABILITIES)
    assert load_run("r1", tmp_path).predictions().ids == ("rows.jsonl:1", "rows.jsonl:3")


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_lists_of_labels_and_of_words(tmp_path: Path, format: str) -> None:
    texts, several = ["one", "two"], [["a", "b"], ["b"]]
    about = {"task": "multi-label", "labels": ["a", "b"], "target": "labels", "format": format}
    write_run(tmp_path / "m", {"text": texts, "labels": several}, [["a"], None], [[0.9, 0.1], None], **about)
    found = load_run("m", tmp_path).predictions()
    assert np.asarray(found.truth).tolist() == [[1, 1], [0, 1]]
    assert found.named("predicted") == [["a"], None]
    words = {"tokens": [["Ann", "ran"], ["Rome"]], "tags": [["B-PER", "O"], ["B-LOC"]]}
    about = {"task": "ner", "labels": ["O", "B-LOC", "B-PER", "I-LOC", "I-PER"], "target": "tags", "format": format}
    write_run(tmp_path / "n", words, [["B-PER", "O"], None], **about, content=None)
    assert load_run("n", tmp_path).predictions().named("predicted") == [["B-PER", "O"], None]


@pytest.mark.parametrize(
    ("run", "columns", "said"),
    [
        ({"status": "running"}, {}, "must be finished to be evaluated, but r1 is running"),
        ({"target": None}, {}, "name it with --label-column, one of: text, label, source"),
        ({"target": "lable"}, {}, "but got 'lable'; did you mean \"label\"?"),
        ({}, {"label": [None] * 4}, "none has a value in column 'label'"),
        ({}, {"label": ["business", "sport", "tech", "arts"]}, "column 'label' also has arts"),
        ({"labels": ["business", "sport"]}, {"label": ["sport"] * 4}, "must fit the task text-classification"),
        ({"task": None}, {}, "give --task, one of: text, text-classification, ner, multi-label"),
        ({"task": "ner", "content": None}, {}, "must have a column with tokens for ner"),
    ],
)
def test_what_cannot_be_evaluated_is_said(tmp_path: Path, run: dict, columns: dict, said: str) -> None:
    write_run(tmp_path / "r1", COLUMNS | columns, ANSWERS, **run)
    with pytest.raises(InputError) as refused:
        load_run("r1", tmp_path).predictions()
    assert said in str(refused.value)


def test_damaged_and_missing_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be the directory or the id of a run"):
        load_run("r9", tmp_path)
    directory = write_run(tmp_path / "r1", COLUMNS, ANSWERS)
    journal = directory / "journal.jsonl"
    journal.write_text("\n".join(journal.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(InputError, match=r"must be in its journal, but 1 are not \(rows.jsonl:4\)"):
        load_run("r1", tmp_path)
    (directory / "predictions.parquet").unlink()
    with pytest.raises(InputError, match="as one of parquet, jsonl"):
        load_run("r1", tmp_path)
