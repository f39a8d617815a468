"""What is shown of the errors of a model, from the details that its task gives."""

from __future__ import annotations

from typing import Any

from podium.display.blocks import Table, Text
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
