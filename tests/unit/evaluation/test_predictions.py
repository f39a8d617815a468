from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow.parquet
import pytest

from podium.errors import InputError
from podium.evaluation.predictions import FILE, Predictions


def of(truth=(0, 1), predicted=(0, 1), ids=("a", "b"), probabilities=None, task="text-classification"):
    return Predictions(task, ("x", "y"), ids, truth, predicted, probabilities)


def test_classes_survive_saving(classified, tmp_path):
    given = classified()
    given.save(tmp_path)
    read = Predictions.load(tmp_path)
    assert (read.task, read.labels, read.ids) == (given.task, given.labels, given.ids)
    np.testing.assert_array_equal(read.truth, given.truth)
    np.testing.assert_array_equal(read.predicted, given.predicted)
    np.testing.assert_array_equal(read.probabilities, given.probabilities)


def test_tags_survive_saving(tagged, tmp_path):
    given = tagged()
    given.save(tmp_path)
    read = Predictions.load(tmp_path)
    assert (read.task, read.labels, read.ids) == (given.task, given.labels, given.ids)
    assert (read.truth, read.predicted) == (given.truth, given.predicted)


def test_absent_probabilities_stay_absent(classified, tmp_path):
    classified(probabilities=False).save(tmp_path)
    assert Predictions.load(tmp_path).probabilities is None


def test_equal_predictions_give_equal_bytes(classified, tmp_path):
    classified().save(tmp_path / "a")
    classified().save(tmp_path / "b")
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()


def test_the_file_names_labels_for_other_readers(classified, tmp_path):
    import pandas

    given = classified()
    given.save(tmp_path)
    frame = pandas.read_parquet(tmp_path / FILE)
    assert list(frame["truth"]) == [given.labels[row] for row in given.truth]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ("a",)}, "same number of rows"),
        ({"ids": (), "truth": (), "predicted": ()}, "at least 1"),
        ({"ids": ("a", "a")}, "unique"),
        ({"truth": (0, 2)}, "0..1"),
        ({"truth": (-1, 0)}, "0..1"),
        ({"predicted": (-2, 0)}, "0..1"),
        ({"predicted": (0.5, 0.5)}, "integer"),
        ({"probabilities": [[1.0, 0.0]]}, "shape"),
        ({"probabilities": [[3.0, -2.0], [0.5, 0.5]]}, "softmax"),
        ({"probabilities": [[float("nan"), 1.0], [0.5, 0.5]]}, "finite"),
        ({"task": "regression"}, "task must be one of"),
        ({"task": "ner", "truth": [["x"], ["x"]], "predicted": [["x"], ["x", "y"]]}, "row b has 1 and 2"),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        of(**change)


def test_rows_are_aligned_by_id():
    aligned = of(truth=(0, 1), predicted=(1, 1), probabilities=[[0.2, 0.8], [0.4, 0.6]]).aligned_to(("b", "a"))
    assert aligned.ids == ("b", "a")
    assert aligned.truth.tolist() == [1, 0]
    assert aligned.probabilities.tolist() == [[0.4, 0.6], [0.2, 0.8]]


@pytest.mark.parametrize("ids", [("a", "c"), ("a",), ("a", "b", "c")])
def test_other_rows_cannot_be_aligned(ids):
    with pytest.raises(InputError, match="same rows"):
        of().aligned_to(ids)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=FILE):
        Predictions.load(tmp_path)


def test_a_foreign_file_is_refused(tmp_path):
    import pandas

    (tmp_path / FILE).write_text("not parquet")
    with pytest.raises(InputError, match="Parquet"):
        Predictions.load(tmp_path)
    pandas.DataFrame({"id": ["a"]}).to_parquet(tmp_path / FILE)
    with pytest.raises(InputError, match="Podium"):
        Predictions.load(tmp_path)


def test_documents_survive_saving_and_aligning(tagged, tmp_path):
    given = dataclasses.replace(tagged(rows=4), documents=("x", "x", "y", "y"))
    given.save(tmp_path)
    read = Predictions.load(tmp_path)
    assert read.documents == given.documents
    assert read.aligned_to(("3", "0", "1", "2")).documents == ("y", "x", "x", "y")


def test_predictions_without_documents_are_saved_as_ever(tagged, tmp_path):
    tagged().save(tmp_path)
    assert pyarrow.parquet.read_schema(tmp_path / FILE).names == ["id", "truth", "predicted"]
    assert Predictions.load(tmp_path).documents is None


def test_every_row_has_a_document_or_none_has(tagged, classified):
    with pytest.raises(InputError, match="one name for each of 4 rows, but got 3"):
        dataclasses.replace(tagged(rows=4), documents=("x", "x", "y"))
    assert dataclasses.replace(classified(rows=2), documents=("x", "y")).documents == ("x", "y")
