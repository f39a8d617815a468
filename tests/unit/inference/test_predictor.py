"""The one way from a predictor and rows to predictions, with predictors made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from podium.config.schema import DatasetConfig
from podium.data.artifact import DataArtifact
from podium.data.prepare import prepare
from podium.errors import ModelError
from podium.evaluation.predictions import Predictions
from podium.inference.predictor import predict

LABELS = ("ham", "spam")
TAGS = ("B-PER", "O")


class ByLength:
    """Says spam of a text with an odd number of characters; knows only the first two words of a sentence."""

    generates = False

    def __init__(self, task: str, labels: tuple[str, ...] = LABELS):
        self.task, self.labels = task, labels

    def logits(self, rows: list[Any]) -> list[Any]:
        if self.task != "ner":
            return [np.array([1.0, 3.0 * (len(row) % 2)], dtype=np.float32) for row in rows]
        words = [[[len(word), 2.0] if at < 2 else [np.nan, np.nan] for at, word in enumerate(row)] for row in rows]
        return [np.array(row, dtype=np.float32) for row in words]


def predicted(predictor: Any, rows: Any, labels: tuple[str, ...] = LABELS) -> Predictions:
    return predict(predictor, predictor.task, labels, rows)


def texts() -> Any:
    contents = ["x" * (7 * number % 50 + 1) for number in range(70)]
    ids = [f"r{number}" for number in range(70)]
    return Dataset.from_dict({"id": ids, "text": contents, "label": [0] * 70})


def test_predictions_are_in_the_order_of_the_rows_with_probabilities() -> None:
    rows = texts()
    found = predicted(ByLength("text-classification"), rows)
    assert list(found.predicted) == [len(text) % 2 for text in rows["text"]]
    assert found.ids == tuple(rows["id"])
    assert found.probabilities is not None
    assert found.probabilities[0, 1] == pytest.approx(1 / (1 + np.exp(1.0 - 3.0)))


def test_a_model_with_its_labels_in_another_order_answers_the_same() -> None:
    turned = ("spam", "ham")
    given = predicted(ByLength("text-classification"), texts())
    found = predicted(ByLength("text-classification"), texts(), turned)
    assert found.labels == turned and found.named("predicted") == given.named("predicted")
    assert np.array_equal(found.probabilities[:, ::-1], given.probabilities)


def test_a_model_with_other_labels_is_refused() -> None:
    with pytest.raises(ModelError, match="it has ham, spam and the data eggs, spam"):
        predicted(ByLength("text-classification"), texts(), ("eggs", "spam"))


def test_a_word_that_is_cut_off_is_outside() -> None:
    columns = {"id": ["a", "b"], "tokens": [["I", "Peter", "Paul"], ["Mary"]], "tags": [[1, 1, 1], [1]]}
    found = predicted(ByLength("ner", TAGS), Dataset.from_dict(columns), TAGS)
    assert found.predicted == (("O", "B-PER", "O"), ("B-PER",))


def test_predictions_know_the_documents_of_the_rows(tmp_path: Path) -> None:
    sentences = [f"-DOCSTART- O\n\nAda{row} B-PER\n\nin O\nTown{row} B-PER\n\n" for row in range(12)]
    (tmp_path / "rows.conll").write_text("".join(sentences))
    prepare(DatasetConfig(name="x", path=str(tmp_path / "rows.conll"), task="ner"), 13, tmp_path / "data")
    artifact = DataArtifact(tmp_path / "data")
    assert artifact.labels == ("O", "B-PER", "I-PER")
    found = predicted(ByLength("ner", TAGS), artifact.test, TAGS)
    assert found.documents == tuple(artifact.test["document"])
