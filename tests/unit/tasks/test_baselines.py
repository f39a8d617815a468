from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from podium.config.schema import DatasetConfig
from podium.data.artifact import DataArtifact
from podium.data.prepare import prepare
from podium.evaluation.metrics import score
from podium.evaluation.predictions import Predictions
from podium.tasks import TASKS
from podium.tasks.base import Training

WORDS = {"sport": "match goal team coach league win", "money": "bank market price share profit tax"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> DataArtifact:
    """Two classes, told apart by any of their words; twice as many rows of `sport`."""
    folder = tmp_path_factory.mktemp("texts")
    rows = [
        f'{{"text": "{text.split()[row % 6]} number {row}", "label": "{label}"}}'
        for label, text in WORDS.items()
        for row in range(80 if label == "sport" else 40)
    ]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    return prepared(folder, folder / "rows.jsonl", "text-classification")


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> DataArtifact:
    """`Ada` is always a person; what follows `in` is a place, though never twice the same one."""
    folder = tmp_path_factory.mktemp("sentences")
    lines = [f"Ada B-PER\nlives O\nin O\nTown{row:03} B-LOC\nsince O\n{row} O\n" for row in range(90)]
    (folder / "rows.conll").write_text("\n".join(lines))
    return prepared(folder, folder / "rows.conll", "ner")


def prepared(folder: Path, path: Path, task: str) -> DataArtifact:
    prepare(DatasetConfig(name="x", path=str(path), task=task), 13, folder / "data")
    return DataArtifact(folder / "data")


def predict(data: DataArtifact) -> Predictions:
    """The baseline on the test rows."""
    task, development = TASKS.get(data.task), data.development
    rows = Training(list(development[task.content]), list(development[task.target]))
    answers = task.baseline(rows, list(data.test[task.content]), data.labels)
    return Predictions.of(data.task, data.labels, data.test, answers)


def test_the_majority_class_is_said_of_every_text(texts: DataArtifact) -> None:
    found = predict(texts)
    assert {texts.labels[row] for row in found.predicted} == {"sport"}
    assert found.probabilities[0] == pytest.approx([1 / 3, 2 / 3], abs=0.02)
    assert found.ids == tuple(texts.test["id"]) and list(found.truth) == list(texts.test["label"])


def test_the_most_frequent_tag_of_each_token_knows_no_unseen_one(sentences: DataArtifact) -> None:
    found = predict(sentences)
    assert {(row[0], row[3]) for row in found.predicted} == {("B-PER", "O")}
    assert score(found, "recall") == 0.5 and score(found, "precision") == 1.0


def test_equal_arguments_give_equal_answers(texts: DataArtifact, sentences: DataArtifact) -> None:
    for data in (texts, sentences):
        first, second = (predict(data) for _ in range(2))
        assert np.array_equal(np.asarray(first.predicted), np.asarray(second.predicted))
        assert first.labels == data.labels


def test_predictions_know_the_documents_of_the_test_sentences(tmp_path: Path) -> None:
    sentences = (f"Ada{row} B-PER\nlives O\n\nin O\nTown{row} B-LOC\n" for row in range(12))
    (tmp_path / "rows.conll").write_text("\n".join(f"-DOCSTART- O\n\n{text}" for text in sentences))
    data = prepared(tmp_path, tmp_path / "rows.conll", "ner")
    found = predict(data).documents
    assert found == tuple(data.test["document"]) and len(found) == 2 * len(set(found))
