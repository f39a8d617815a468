"""What the report says of labels that look wrong."""

from __future__ import annotations

from dataclasses import replace

from podium.records import LabelReview
from podium.report import ReportInputs, render
from tests.unit.report.samples import sample
from tests.unit.report.test_render_evidence import words


def with_review(**changes: object) -> ReportInputs:
    selection = sample().selection
    review = selection.labels.model_copy(update=changes)
    return sample(selection=selection.model_copy(update={"labels": review}))


def test_rows_are_named_with_both_labels_and_without_their_text() -> None:
    rendered = render(sample())
    said = words(rendered, "labels")
    assert "23 of 1,702 development rows have a label that looks wrong" in said
    assert "a suspicion and no proof" in said
    assert "80% of the 340 changed ones were suspected, and 68% of all suspected ones were changed ones" in said
    assert "Texts of" not in said
    assert "bbc.csv:325" in said and "bbc.csv:342" not in said  # twenty rows
    assert rendered.metrics["suspected_labels"] == 23
    part = rendered.markdown.split("## Labels that look wrong")[1].split("## ")[0]
    assert "| business | entertainment | 14 |" in part
    assert "| bbc.csv:2 | business (0.000) | entertainment (0.970) | 1 of 2 |" in part


def test_texts_are_shown_where_they_are_given_and_are_cut() -> None:
    given = replace(sample(), texts={"bbc.csv:2": "a" * 299 + "<b>cut</b>"})
    said = words(render(given), "labels")
    assert "a" * 299 + "<" in said and "<b" not in said


def test_what_was_not_searched_says_why() -> None:
    given = sample(
        selection=sample().selection.model_copy(update={"labels": LabelReview(status="skipped", reason="no models")})
    )
    rendered = render(given)
    assert "The labels were not searched: no models." in words(rendered, "labels")
    assert "suspected_labels" not in rendered.metrics


def test_a_search_that_tells_little_warns() -> None:
    said = words(render(with_review(status="degraded", reason="they are unsure")), "labels")
    assert "They are many: they are unsure." in said


def test_nothing_suspected_needs_no_table() -> None:
    said = words(render(with_review(suspected=0, pairs=(), clearest=())), "labels")
    assert "0 of 1,702 development rows" in said and "Given" not in said
