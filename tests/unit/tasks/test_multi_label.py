from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from podium.config.schema import DatasetConfig
from podium.data.artifact import DataArtifact
from podium.data.infer import infer
from podium.data.prepare import PreparedData, prepare
from podium.errors import DataError, InputError
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.tasks.base import NO_ANSWER, Training
from podium.tasks.multi_label import TASK
from tests.unit.tasks.conformance import TaskConformance

LABELS = ("economy", "sport", "world")


class TestMultiLabel(TaskConformance):
    name = "multi-label"
    labels = LABELS
    contents = ("shares of a football club rose", "a match abroad", "nothing happened", "taxes fell", "a war abroad")
    cells = ("sport,economy", ["world", "sport"], [], '["economy"]', "world")

    def certain(self, answers: Sequence[Any]) -> Predictions:
        plain = self.predictions(answers)
        probabilities = np.where(plain.predicted == 1, 0.99, 0.01) * plain.answered[:, None]
        return Predictions(plain.task, plain.labels, plain.ids, plain.truth, plain.predicted, probabilities)


def predictions(truth: Any, predicted: Any) -> Predictions:
    return Predictions("multi-label", LABELS, tuple(map(str, range(len(truth)))), truth, predicted)


def test_scores_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(5)
    truth, predicted = random.integers(2, size=(2, 200, 3))
    assert all_metrics(predictions(truth, predicted)) == pytest.approx(
        {
            "micro_f1": f1_score(truth, predicted, average="micro"),
            "macro_f1": f1_score(truth, predicted, average="macro"),
            "subset_accuracy": accuracy_score(truth, predicted),
        }
    )


def test_a_label_that_never_occurs_is_no_part_of_the_mean() -> None:
    assert all_metrics(predictions([[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]]))["macro_f1"] == 1


def test_a_text_without_labels_and_without_a_valid_answer_is_wrong() -> None:
    truth = [[1, 0, 0], [0, 0, 0]]
    found = all_metrics(predictions(truth, [[1, 0, 0], [NO_ANSWER] * 3]))
    assert found["subset_accuracy"] == 0.5 and found["micro_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "bad", [[[1, 0]], [[1, 0, 2]], [[0.5, 0, 0]], [[NO_ANSWER, 0, 0]], [1, 0, 0], [[1, 0, 0], [0, 0, 0]]]
)
def test_answers_that_are_no_sets_of_labels_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match="predicted"):
        predictions([[1, 0, 0]], bad)


@pytest.mark.parametrize("bad", [[[0.5, -0.1, 0]], [[0.5, 1.1, 0]], [[float("nan"), 0, 0]], [[1, 0]]])
def test_probabilities_lie_between_0_and_1(bad: Any) -> None:
    with pytest.raises(InputError, match="probabilities"):
        Predictions("multi-label", LABELS, ("a",), [[1, 0, 0]], [[1, 0, 0]], np.array(bad))


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("b, a,b", ["a", "b"]),
        (["b", "a"], ["a", "b"]),
        ('["b", "a, or c"]', ["a, or c", "b"]),
        ([1, 2.0, True], ["1", "2", "true"]),
        ("", []),
        ([], []),
        (7, ["7"]),
        ("[no json", ["[no json"]),
    ],
)
def test_cells_are_read(cell: Any, labels: list[str]) -> None:
    assert TASK.read_target(cell, "text", {"label_separator": ","}) == (labels, 0)


@pytest.mark.parametrize(
    ("cell", "message"),
    [(None, "is missing"), (float("nan"), "is missing"), ({"a": 1}, "got dict"), (["a", None], "is missing")],
)
def test_cells_without_labels_are_bad_rows(cell: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.read_target(cell, "text", {"label_separator": ","})


def rows(count: int = 120) -> list[dict[str, Any]]:
    """Labels of which `rare` is on every tenth row, and every seventh row has none."""
    made = []
    for row in range(count):
        labels = (
            [] if row % 7 == 0 else [name for name, every in (("a", 2), ("b", 3), ("rare", 10)) if row % every == 0]
        )
        made.append({"text": f"text number {row} about {' and '.join(labels) or 'nothing'}", "label": labels})
    return made


def prepared(folder: Path, **fields: Any) -> tuple[PreparedData, DataArtifact]:
    config = DatasetConfig.model_validate({"name": "x", "task": "multi-label", **fields})
    return prepare(config, 13, folder / "data"), DataArtifact(folder / "data")


def write(path: Path, made: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in made))
    return str(path)


def test_splits_and_folds_are_stratified_by_the_rarest_label(tmp_path: Path) -> None:
    found, data = prepared(tmp_path, path=write(tmp_path / "rows.jsonl", rows()), folds=3)
    assert data.labels == ("a", "b", "rare") and sum(found.rows.values()) == 120
    assert data.test.column_names == ["id", "text", "labels"]
    rare = [counts["rare"] for counts in found.label_counts.values()]
    assert sum(rare) == 10 and min(rare) >= 1, "every split has its share of the rarest label"
    development = data.development["labels"][:]
    of_fold = [sum(2 in development[row] for row in data.fold(k)[1]) for k in range(3)]
    assert sum(of_fold) == rare[0] + rare[1] and max(of_fold) - min(of_fold) <= 1
    sizes = [len(data.fold(k)[1]) for k in range(3)]
    assert max(sizes) - min(sizes) <= 1


def test_a_label_too_rare_for_every_split_is_warned_of(tmp_path: Path) -> None:
    made = [*rows(), {"text": "the only one", "label": ["a", "unique"]}]
    found, data = prepared(tmp_path, path=write(tmp_path / "rows.jsonl", made))
    assert any("labels in fewer than 4 rows" in warning and "'unique' has 1" in warning for warning in found.warnings)
    assert "unique" in data.labels


def test_rows_of_which_all_have_one_label_teach_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"text": f"text {row}", "label": ["only"]} for row in range(30)])
    with pytest.raises(DataError, match="a data set for multi-label classification must have at least two labels"):
        prepared(tmp_path, path=path)


def test_duplicates_whose_labels_are_in_another_order_agree(tmp_path: Path) -> None:
    made = [*rows(), {"text": "one more", "label": ["a", "b"]}, {"text": "one more", "label": ["b", "a"]}]
    found, _ = prepared(tmp_path, path=write(tmp_path / "rows.jsonl", made))
    assert found.duplicates == 1 and not any("different labels" in warning for warning in found.warnings)


def test_a_separator_can_be_declared(tmp_path: Path) -> None:
    lines = "".join(f'text number {row},"{"a|b, or c" if row % 2 else "a"}"\n' for row in range(40))
    (tmp_path / "rows.csv").write_text(f"text,labels\n{lines}")
    _, data = prepared(tmp_path, path=str(tmp_path / "rows.csv"), options={"label_separator": "|"})
    assert data.labels == ("a", "b, or c")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match="its options are label_separator; did you mean"):
        DatasetConfig(name="x", path="x", task="multi-label", options={"label_seperator": "|"})
    with pytest.raises(ValueError, match="must be of type str, but got 3"):
        DatasetConfig(name="x", path="x", task="multi-label", options={"label_separator": 3})


def inferred_task(path: Path) -> str:
    (task,) = (one.value for one in infer(path).given.assignments if one.path == ("dataset", "task"))
    return task


def test_lists_of_labels_are_recognised(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", [{"id": row, **made} for row, made in enumerate(rows())])
    found = infer(tmp_path / "rows.jsonl")
    assert inferred_task(tmp_path / "rows.jsonl") == "multi-label"
    assert "labels column: 'label' (lists of labels)" in found.lines and "labels seen: a, b, rare" in found.lines


def test_text_cells_are_multi_label_where_the_user_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f'text {n},"a,{n % 2}"\n' for n in range(20)))
    assert inferred_task(tmp_path / "rows.csv") == "text-classification"
    assert "labels seen: 0, 1, a" in infer(tmp_path / "rows.csv", task="multi-label").lines


def test_tagged_tokens_with_their_text_are_no_label_sets(tmp_path: Path) -> None:
    sentence = {"text": "Ada ran", "tokens": ["Ada", "ran"], "tags": ["B-PER", "O"]}
    path = write(tmp_path / "rows.jsonl", [sentence] * 5)
    assert inferred_task(Path(path)) == "ner"


def test_the_loss_is_binary_cross_entropy_of_every_label() -> None:
    logits, labels = torch.randn(4, 3), torch.tensor(TASK.encode_targets([[0], [1, 2], [], [0, 1, 2]], 3))
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    assert TASK.loss(logits, labels, None, 0.0).item() == pytest.approx(plain.item())
    smoothed = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels * 0.9 + 0.05, reduction="sum")
    assert TASK.loss(logits, labels, None, 0.1).item() == pytest.approx(smoothed.item())


def test_balanced_weights_make_rows_with_and_without_a_label_weigh_alike() -> None:
    encoded = TASK.encode_targets([[0], [0], [0, 1], [0]], 3)
    assert TASK.balanced_weights(encoded, 3).tolist() == [1.0, 3.0, 1.0]


def test_the_majority_baseline_answers_the_most_frequent_set() -> None:
    found = TASK.baseline(Training(["x"] * 3, [[0, 2], [0, 2], [1]]), ["y"], LABELS)
    assert found.predicted.tolist() == [[1, 0, 1]]
