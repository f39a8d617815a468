"""The section `What each champion gets wrong`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from podium.display import numbers
from podium.display.blocks import Block, Cell, Columns, Section, Table, Text
from podium.records import LeaderboardEntry
from podium.report.inputs import ReportInputs
from podium.report.leaderboard import WINNER

MATRIX_LIMIT = 30
"""A confusion matrix of more labels is replaced by the most frequent confusions."""
SHOWN_CONFUSIONS = 10
_WIDE_MATRIX = 10
"""Matrices of more labels are set one below the other."""


def errors_section(given: ReportInputs) -> Section:
    """The errors and all metrics of every champion."""
    champions = [_champion(entry, given) for entry in given.selection.leaderboard]
    if not champions:
        return Section("What each champion gets wrong", [Text("There is no champion.")])
    wide = _WIDE_MATRIX < len(given.data.labels) <= MATRIX_LIMIT
    return Section("What each champion gets wrong", champions if wide else [Columns(champions)])


def _champion(entry: LeaderboardEntry, given: ReportInputs) -> Section:
    model = given.model_of(entry)
    blocks: list[Block] = []
    if model:
        blocks += error_blocks(model.details, entry.backbone)
        metrics = [(numbers.metric_name(name), *_interval(value)) for name, value in model.metrics.items()]
        columns = ("Metric", "Value", "Interval")
        caption = "All metrics on held-out rows."
        blocks.append(Table(f"Metrics of {entry.backbone}", columns, "lrr", metrics, caption, style="tight"))
    return Section(entry.backbone, blocks, mark=WINNER if entry is given.winner else "")


def _interval(value: Any) -> tuple[str, str]:
    return numbers.score(value.value), numbers.bounds(value)


def error_blocks(details: Mapping[str, Any], name: str) -> list[Block]:
    """Rows without an answer, the confusion matrix or, of many labels, the most frequent confusions, and the scores.

    Args:
        details: see `podium.evaluation.metrics.details`.
        name: of the model.
    """
    labels, confusion = details.get("labels", []), details.get("confusion", [])
    blocks: list[Block] = []
    if missing := details.get("no_answer"):
        blocks.append(Text(f"No valid answer in {missing:,} rows, which count as wrong."))
    if found := _confusions(labels, confusion):
        true, predicted, rows = found[0]
        blocks.append(Text(f"Most frequent error: {true} taken for {predicted}, {rows} rows."))
    if labels and len(labels) <= MATRIX_LIMIT:
        blocks.append(_matrix(labels, confusion, name))
    elif found:
        columns, label = ("True", "Predicted", "Rows"), f"Most frequent confusions of {name}"
        blocks.append(Table(label, columns, "llr", found, "Most frequent confusions.", style="tight"))
    if scores := details.get("scores"):
        blocks.append(_scores(scores, details["scores_of"], name))
    return blocks


def _confusions(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[tuple[str, str, str]]:
    """True label, label that was predicted instead, and how many rows of how many; the most frequent first."""
    found = [
        (count, true, predicted, sum(row))
        for true, row in zip(labels, confusion, strict=True)
        for predicted, count in zip(labels, row, strict=True)
        if count and true != predicted
    ]
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [(true, predicted, f"{count:,} of {rows:,}") for count, true, predicted, rows in found[:SHOWN_CONFUSIONS]]


def _matrix(labels: Sequence[str], confusion: Sequence[Sequence[int]], name: str) -> Table:
    rows: list[tuple[Cell | str, ...]] = [
        (
            label,
            *(
                Cell(f"{count:,}", share=count / (sum(row) or 1), style="right" if column == number else "")
                for column, count in enumerate(row)
            ),
        )
        for number, (label, row) in enumerate(zip(labels, confusion, strict=True))
    ]
    caption = "Confusion matrix: rows are true labels, columns predicted ones."
    align = "l" + "r" * len(labels)
    return Table(f"Confusion matrix of {name}", ("", *labels), align, rows, caption, style="matrix")


def _scores(scores: Mapping[str, Mapping[str, float]], what: str, name: str) -> Table:
    rows: list[tuple[Cell | str, ...]] = [
        (
            *(label, numbers.score(row["precision"]), numbers.score(row["recall"])),
            *(Cell(numbers.score(row["f1"]), share=row["f1"]), f"{int(row['support']):,}"),
        )
        for label, row in scores.items()
    ]
    columns = (what.capitalize(), "Precision", "Recall", "F1", "Count")
    caption = f"Scores per {what} on held-out rows."
    return Table(f"Scores of {name} per {what}", columns, "lrrrr", rows, caption, style="tight")
