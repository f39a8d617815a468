from __future__ import annotations

import json
from pathlib import Path

import pytest

from podium.config.schema import DatasetConfig
from podium.data.staging import read_texts
from podium.errors import DataError


def config(path: Path, **fields: object) -> DatasetConfig:
    return DatasetConfig.model_validate({"name": "x", "path": str(path), "task": "text-classification"} | fields)


def test_texts_and_the_labels_that_occur(tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\ngood,pos\nbad,neg\n,neg\nfine,pos\n")
    found = read_texts(config(file))
    assert found.rows == ["good", "bad", "fine"]
    assert found.labels == {"pos", "neg"}


def test_test_files_come_before_training_files(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name, "label": "a"}) + "\n")
    found = read_texts(config(tmp_path / "train.jsonl", test_path=str(tmp_path / "test.jsonl")))
    assert found.rows == ["test"]


def test_one_column_may_be_text_and_label(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("body\none\ntwo\n")
    found = read_texts(config(file, text_column="body", label_column="body"))
    assert (found.rows, found.labels) == (["one", "two"], frozenset())


def test_tokens_and_their_tags(tmp_path: Path) -> None:
    file = tmp_path / "sentences.conll"
    file.write_text("EU B-ORG\nrejects O\n\nPeter B-PER\n\n")
    found = read_texts(config(file, task="ner"))
    assert found.rows == [["EU", "rejects"], ["Peter"]]
    assert found.labels == {"B-ORG", "O", "B-PER"}


def test_sets_of_labels(tmp_path: Path) -> None:
    file = tmp_path / "tickets.csv"
    file.write_text('text,label\none,"b, a"\ntwo,\nthree,c\n')
    assert read_texts(config(file, task="multi-label")).labels == {"a", "b", "c"}


def test_data_without_a_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "numbers.jsonl"
    file.write_text('{"text": 1, "label": "a"}\n')
    with pytest.raises(DataError, match="must have rows with a text in column 'text', but none has"):
        read_texts(config(file))
