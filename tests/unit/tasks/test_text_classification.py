from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from tests.unit.tasks.conformance import ROWS, TaskConformance


class TestTextClassification(TaskConformance):
    name = "text-classification"
    labels = ("ham", "spam", "tofu")
    contents = ("a plain text", "win money now", "nothing but beans", "money for nothing now")
    cells = ("ham", "spam", "tofu", "spam")

    def certain(self, answers: Sequence[Any]) -> Predictions:
        plain = self.predictions(answers)
        probabilities = np.full((ROWS, 3), 1e-4)
        probabilities[np.arange(ROWS), plain.predicted] = 1 - 2e-4
        probabilities[~plain.answered] = 0
        return Predictions(plain.task, plain.labels, plain.ids, plain.truth, plain.predicted, probabilities)

    def test_scores_are_those_of_scikit_learn_to_the_last_digit(self) -> None:
        from sklearn.metrics import accuracy_score, f1_score

        draw = np.random.default_rng(7)
        labels = tuple(f"label {number:02}" for number in range(20))
        for rows in range(1, 200, 4):
            truth, predicted = draw.integers(0, 20, rows), draw.integers(-1, 20, rows)
            found = all_metrics(Predictions(self.name, labels, tuple(map(str, range(rows))), truth, predicted))
            occurring = np.setdiff1d(np.union1d(truth, predicted), [-1])
            assert found == {
                "macro_f1": f1_score(truth, predicted, labels=occurring, average="macro", zero_division=0),
                "accuracy": accuracy_score(truth, predicted),
            }
