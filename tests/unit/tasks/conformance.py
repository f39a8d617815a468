"""What holds for every task: each test file of a task subclasses `TaskConformance`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from podium.entrants.linear import LinearConfig
from podium.entrants.linear_training import fit, load
from podium.errors import InputError
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.metrics import all_metrics, details, metrics_of
from podium.evaluation.predictions import Predictions
from podium.models.onnx_package import answer
from podium.tasks import TASKS
from podium.tasks.base import Task, Training

ROWS = 40


class TaskConformance:
    """Subclasses give the task, labels, and rows whose answers are all right and not all alike.

    Attributes:
        name: of the task.
        labels: of a data set.
        contents: of a few rows.
        cells: targets of these rows as a file holds them.
    """

    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    contents: ClassVar[Sequence[Any]]
    cells: ClassVar[Sequence[Any]]

    @property
    def task(self) -> Task:
        return TASKS.get(self.name)

    def named(self) -> list[Any]:
        """Right answers for `ROWS` rows."""
        options = {name: option.default for name, option in self.task.options.items()}
        rows = zip(self.contents, self.cells, strict=True)
        read = [self.task.read_target(cell, content, options)[0] for content, cell in rows]
        return [read[row % len(read)] for row in range(ROWS)]

    def predictions(self, answers: Sequence[Any]) -> Predictions:
        """Predictions without probabilities, from answers by name; None is no valid answer."""
        truth, predicted = (self.task.numbered(rows, self.labels) for rows in (self.named(), answers))
        return Predictions(self.name, self.labels, tuple(map(str, range(ROWS))), truth, predicted)

    def certain(self, answers: Sequence[Any]) -> Predictions:
        """The same with probabilities where the task has them: nearly 1 for what is answered."""
        return self.predictions(answers)

    def half_wrong(self) -> list[Any]:
        """The answers of every second row are those of the next one with another answer, as far as lengths allow."""
        right = self.named()
        for row in range(0, ROWS, 2):
            others = [one for one in right if one != right[row] and isinstance(one, type(right[row]))]
            if isinstance(right[row], list) and self.task.words:
                others = [[self.labels[0]] * len(right[row])]
            right[row] = others[0]
        return right

    def targets(self) -> list[Any]:
        index = self.labels.index
        return [[index(one) for one in row] if self.task.several else index(row) for row in self.named()]

    def test_truth_is_made_of_the_targets_of_a_prepared_data_set(self) -> None:
        truth = self.task.checked(self.task.truth(self.targets(), self.labels), self.labels, [""] * ROWS)
        assert self.task.named(truth, self.labels) == self.named()

    def test_labels_of_a_model_follow_from_the_kinds_that_rows_have(self) -> None:
        kinds = set().union(*(self.task.kinds(row) for row in self.named()))
        assert self.task.label_space(kinds) == self.labels

    def test_a_right_answer_is_the_best_one_in_every_metric(self) -> None:
        found = all_metrics(self.certain(self.named()))
        best = {one.name: 0.0 if one.better == "lower" else 1.0 for one in self.task.metrics}
        assert found == pytest.approx({name: best[name] for name in found}, abs=1e-3)

    def test_metrics_are_functions_of_sums_over_rows(self) -> None:
        for answers in (self.named(), self.half_wrong(), [None, *self.half_wrong()[1:]]):
            given = self.certain(answers)
            for name, metric in metrics_of(given).items():
                sums = metric.sums(given)
                assert sums.statistic(sums.table[sums.group].sum(axis=0)) == pytest.approx(metric.value(given)), name

    @pytest.mark.parametrize("silent", [1, ROWS])
    def test_a_row_without_a_valid_answer_counts_as_wrong_in_every_metric(self, silent: int) -> None:
        right = self.certain(self.named())
        given = self.certain([None] * silent + self.named()[silent:])
        assert (~given.answered).sum() == silent and right.answered.all()
        for name, metric in metrics_of(right).items():
            change = metric.value(given) - metric.value(right)
            assert change > 0 if metric.better == "lower" else change < 0, name
            if silent == ROWS and metric.better == "higher":
                assert metric.value(given) == 0, name

    def test_rows_without_a_valid_answer_are_stored_and_counted(self, tmp_path: Path) -> None:
        given = self.certain([None, *self.half_wrong()[1:-1], None])
        given.save(tmp_path)
        read = Predictions.load(tmp_path)
        assert read.named("predicted") == given.named("predicted") and read.named("truth") == self.named()
        assert all_metrics(read) == all_metrics(given)
        assert details(read)["no_answer"] == 2 and "no_answer" not in details(self.certain(self.named()))
        turned = read.aligned_to(read.ids[::-1])
        assert turned.answered.tolist() == given.answered.tolist()[::-1]

    def test_predictions_of_which_none_is_valid_are_stored(self, tmp_path: Path) -> None:
        self.predictions([None] * ROWS).save(tmp_path)
        assert not Predictions.load(tmp_path).answered.any()

    def test_a_truth_cannot_be_missing(self) -> None:
        values = self.task.numbered([None, *self.named()[1:]], self.labels)
        with pytest.raises(InputError, match="truth must"):
            Predictions(self.name, self.labels, tuple(map(str, range(ROWS))), values, values)

    def test_models_are_compared_where_one_gives_no_valid_answers(self) -> None:
        silent, right = self.certain([None] * 10 + self.named()[10:]), self.certain(self.named())
        for name, metric in metrics_of(right).items():
            difference, p_value = paired_difference(silent, right, name, 0.95, 200, 1)
            assert difference.value == pytest.approx(metric.value(silent) - metric.value(right))
            assert difference.value * (1 if metric.better == "lower" else -1) > 0 and p_value < 0.1
            interval = bootstrap_interval(silent, name, 0.95, 200, 1)
            assert interval.low <= interval.value <= interval.high

    def test_details_are_json_and_have_a_table_of_scores(self) -> None:
        found = details(self.certain([None, *self.half_wrong()[1:]]))
        assert json.loads(json.dumps(found)) == found
        assert found["scores_of"] and set(found["scores"]) <= {
            kind for label in self.labels for kind in (label, label[2:])
        }
        assert all(set(row) == {"precision", "recall", "f1", "support"} for row in found["scores"].values())

    def test_an_exported_package_answers_what_the_task_does(self) -> None:
        random = np.random.default_rng(3)
        shapes = [(3, len(self.labels)) if self.task.words else (len(self.labels),)] * 20
        logits = [random.normal(size=shape).astype(np.float32) for shape in shapes]
        if self.task.words:
            logits[0][1:] = np.nan  # cut off
        decoded = self.task.decode([self.task.reduce(row) for row in logits], self.labels)
        values = self.task.checked(decoded.predicted, self.labels, [""] * 20)
        own = [answer(row, self.labels, self.task.decoding) for row in logits]
        assert self.task.named(values, self.labels) == own

    def test_a_trainer_and_a_predictor_decode_alike(self) -> None:
        import torch

        logits = np.random.default_rng(4).normal(
            size=(5, 4, len(self.labels)) if self.task.words else (5, len(self.labels))
        )
        batch = self.task.reduce(torch.tensor(logits, dtype=torch.float32)).numpy()
        rows = [self.task.reduce(row) for row in logits.astype(np.float32)]
        assert np.asarray(batch) == pytest.approx(np.asarray(rows), abs=1e-12)

    def test_equal_arguments_give_equal_baselines(self) -> None:
        contents = [self.contents[row % len(self.contents)] for row in range(ROWS)]
        rows = Training(contents, self.targets())
        one, other = (self.task.baseline(rows, contents, self.labels) for _ in range(2))
        assert np.array_equal(np.asarray(one.predicted, dtype=object), np.asarray(other.predicted, dtype=object))
        assert len(self.task.named(self.task.checked(one.predicted, self.labels, contents), self.labels)) == ROWS

    def test_a_linear_model_learns_the_rows_that_it_was_shown(self, tmp_path: Path) -> None:
        targets = self.targets()
        contents = [self.contents[row % len(self.contents)] for row in range(ROWS)]
        fit(self.task, self.labels, Training(contents, targets), LinearConfig(), seed=5).save(tmp_path)
        logits = load(tmp_path, self.name, self.labels).logits(contents)
        answers = self.task.decode([self.task.reduce(row) for row in logits], self.labels)
        truth = self.task.truth(targets, self.labels)
        learned = Predictions(self.name, self.labels, tuple(map(str, range(ROWS))), truth, *answers)
        assert all_metrics(learned)[self.task.objectives[0]] == 1.0
