from __future__ import annotations

from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from tests.unit.tasks.conformance import TaskConformance


class TestNer(TaskConformance):
    name = "ner"
    labels = ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")
    contents = (["Ada", "Lovelace", "in", "London"], ["it", "rains"], ["New", "York", "sleeps"])
    cells = (["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"], ["B-LOC", "I-LOC", "O"])

    def test_a_sentence_without_a_valid_answer_is_one_wrong_entity(self) -> None:
        truth = [["B-PER", "O"], ["O", "O", "O"]]
        silent = Predictions("ner", self.labels, ("a", "b"), truth, [truth[0], None])
        assert all_metrics(silent) == {"f1": 2 / 3, "precision": 0.5, "recall": 1.0, "token_accuracy": 0.4}
