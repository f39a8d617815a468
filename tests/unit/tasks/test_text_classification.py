from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
