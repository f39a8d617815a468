"""What is shown of the errors of a model, from the details that its task gives."""

from __future__ import annotations

from typing import Any

from podium.display.blocks import Section, Table, Text
from podium.report.leaderboard import error_blocks

SCORES = {"scores": {"a": {"precision": 1.0, "recall": 0.5, "f1": 0.667, "support": 4}}, "scores_of": "label"}


def texts(details: dict[str, Any]) -> list[str]:
    return [block.text for block in error_blocks(details, "tiny") if isinstance(block, Text)]


def test_rows_without_a_valid_answer_are_counted_where_there_are_any() -> None:
    assert texts({**SCORES, "no_answer": 1200}) == ["No valid answer in 1,200 rows, which count as wrong."]
    assert texts(SCORES) == []


def test_a_task_without_a_confusion_matrix_has_its_table_of_scores() -> None:
    (table,) = error_blocks(SCORES, "tiny")
    assert isinstance(table, Table) and table.columns == ("Label", "Precision", "Recall", "F1", "Count")


def many(count: int) -> dict[str, object]:
    """Details of a model on so many labels, three rows each, of which it answers none of two right."""
    labels = [f"label {number:03}" for number in range(count)]
    confusion = [[0] * count for _ in labels]
    for number, row in enumerate(confusion):
        row[number] = 3
    scores = {
        label: {"precision": 1.0, "recall": 1.0, "f1": 0.0 if number in (7, 9) else 0.5 + number / 2000, "support": 3}
        for number, label in enumerate(labels)
    }
    return {"labels": labels, "confusion": confusion, "scores": scores, "scores_of": "label"}


def test_scores_of_many_labels_are_folded_below_the_worst() -> None:
    blocks = error_blocks(many(500), "tiny")
    worst, whole = blocks[-2:]
    assert isinstance(worst, Table) and isinstance(whole, Section)
    assert [row.all_cells[0].text for row in worst.lines[:3]] == ["label 007", "label 009", "label 000"]
    assert len(worst.rows) == 15 and "Of 500, 2 have F1 0." in worst.caption
    assert (whole.title, whole.folded) == ("All 500 scores per label", "closed")
    assert len(error_blocks(many(20), "tiny")[-1].rows) == 20  # type: ignore[union-attr]


def test_a_model_that_answers_all_alike_is_called_that() -> None:
    first = error_blocks({**SCORES, "only_answer": "gives every word the tag 'O'"}, "tiny")[0]
    assert isinstance(first, Text) and first.style == "warning" and "tiny gives every word the tag 'O':" in first.text
