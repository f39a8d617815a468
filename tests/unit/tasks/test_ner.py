from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from seqeval import metrics
from seqeval.metrics.sequence_labeling import get_entities

from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.tasks import TASKS
from podium.tasks.ner import invalid_tag, to_bio2
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

    @given(st.lists(st.lists(st.tuples(*[st.sampled_from(labels)] * 2), min_size=1, max_size=6), min_size=1))
    def test_scores_are_those_of_seqeval_to_the_last_digit(self, rows: list[list[tuple[str, str]]]) -> None:
        truth, predicted = ([[pair[side] for pair in row] for row in rows] for side in (0, 1))
        found = all_metrics(Predictions(self.name, self.labels, tuple(map(str, range(len(rows)))), truth, predicted))
        assert found == {
            "f1": metrics.f1_score(truth, predicted, zero_division=0),
            "precision": metrics.precision_score(truth, predicted, zero_division=0),
            "recall": metrics.recall_score(truth, predicted, zero_division=0),
            "token_accuracy": metrics.accuracy_score(truth, predicted),
        }


TAGS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=12)


@given(TAGS)
def test_the_entities_stay_as_conlleval_counts_them(tags: list[str]) -> None:
    converted, rewritten = to_bio2(tags)
    assert get_entities(converted) == get_entities(tags)
    assert rewritten == sum(before != after for before, after in zip(tags, converted, strict=True))


@given(TAGS)
def test_bio2_stays_as_it_is(tags: list[str]) -> None:
    once, _ = to_bio2(tags)
    assert to_bio2(once) == (once, 0)


def test_an_entity_that_changes_its_type_midway_is_two() -> None:
    assert to_bio2(["B-PER", "I-LOC", "I-LOC"]) == (["B-PER", "B-LOC", "I-LOC"], 1)


def test_other_schemes_are_refused() -> None:
    assert invalid_tag(["O", "B-PER", "I-PER"]) is None
    for tag in ("S-PER", "E-PER", "L-PER", "U-PER", "PER", "B", "b-PER", "", "B-"):
        assert repr(tag) in (invalid_tag(["O", tag]) or "")


def test_the_tag_list_starts_outside() -> None:
    assert TASKS.get("ner").label_space({"PER", "LOC"}) == ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")


@given(TAGS)
def test_every_entity_of_the_result_begins_with_b(tags: list[str]) -> None:
    converted, _ = to_bio2(tags)
    assert sum(tag[0] == "B" for tag in converted) == len(get_entities(converted))
