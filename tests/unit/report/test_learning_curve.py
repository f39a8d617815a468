"""What the report says of more rows."""

from __future__ import annotations

import pytest

from podium.records import CurveRecord
from podium.report import ReportInputs, render
from podium.stages.report import _summary
from tests.unit.report.samples import sample
from tests.unit.report.test_render_evidence import words

FULL = sample().curve
SKIPPED = CurveRecord(key="c", status="skipped", code="OFF", reason="learning_curve.fractions is empty")


def degraded() -> CurveRecord:
    failed = FULL.points[0].model_copy(update={"scores": (), "error": "OutOfMemory: none is left"})
    gone = {"now": None, "doubled": None, "gain": None, "line": ()}
    why = {"status": "degraded", "code": "NO_GAIN", "reason": "more rows are not shown to raise the score"}
    return FULL.model_copy(update={**gone, **why, "points": (failed, *FULL.points[1:])})


def with_curve(record: CurveRecord) -> ReportInputs:
    return sample(curve=record)


def test_the_answer_is_one_sentence_with_its_intervals() -> None:
    rendered = render(with_curve(FULL))
    said = "Twice the rows (3,404) would probably raise macro F1 from 0.962 to 0.965 (0.954 to 0.976), a gain of 0.003"
    assert said in words(rendered, "learning-curve") and said in rendered.markdown
    assert said in _summary(with_curve(FULL))["lines"]["Data"]
    assert "1,135 rows: 0.959" in rendered.html and "3,404 rows: 0.965 expected" in rendered.html
    assert "| 100% | 1,135 | 0.959 | 0.012 |" in rendered.markdown


def test_tools_find_the_figures() -> None:
    figures = render(with_curve(FULL)).metrics
    assert figures["learning_curve.rows"] == 1702
    assert figures["learning_curve.gain_low"] == 0.0009 and figures["learning_curve.doubled"] == pytest.approx(
        0.96494, abs=1e-4
    )
    assert _summary(with_curve(FULL))["learning_curve"]["gain"] == 0.0031


def test_what_cannot_be_extrapolated_is_said_with_the_reason_beside_the_points() -> None:
    rendered = render(with_curve(degraded()))
    text = words(rendered, "learning-curve")
    assert "What twice the rows would bring is not known: more rows are not shown to raise the score." in text
    assert "failed (OutOfMemory: none is left)" in rendered.markdown and "expected" not in text
    assert "learning_curve.gain" not in rendered.metrics


def test_a_run_without_a_learning_curve_says_how_to_have_one() -> None:
    text = words(render(with_curve(SKIPPED)), "learning-curve")
    assert "This run has no learning curve: learning_curve.fractions is empty; with learning_curve.fractions=[" in text
    assert "rows" not in _summary(with_curve(SKIPPED))["lines"]["Data"].splitlines()[-1].partition("rows used")[2]
    assert _summary(with_curve(SKIPPED))["learning_curve"] == {}
