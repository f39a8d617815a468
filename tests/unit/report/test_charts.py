from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podium.records import StudyRecord, TrialRecord
from podium.report.charts import HEIGHT, Axis, comparison_chart, history_chart, latency_chart, leaderboard_chart
from tests.unit.report.samples import sample


def study(*scores: float | None, direction: str = "maximize") -> StudyRecord:
    trials = tuple(
        TrialRecord(
            number=number,
            params={},
            status="failed" if score is None else "succeeded",
            score=score,
            fold_scores={} if score is None else {"0": score - 0.01, "1": score + 0.01},
        )
        for number, score in enumerate(scores)
    )
    done = [trial for trial in trials if trial.score is not None]
    best = (max if direction == "maximize" else min)(done, key=lambda trial: trial.score or 0)
    return StudyRecord(
        key="k",
        family="f",
        backbone="tiny",
        metric="macro_f1",
        direction=direction,
        budget=9,
        trials=trials,
        best=best.number,
    )


@example([1.4e-05, -50051.0])
@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), min_size=1, max_size=20))
def test_an_axis_covers_its_values_with_few_distinct_ticks(values):
    axis = Axis.over(values)
    slack = 2e-9 * (axis.values[1] - axis.values[0])
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    assert 2 <= len(axis.values) <= 9
    assert len(set(axis.labels)) == len(axis.labels)
    assert all(0 <= axis.x(value) <= 100 and 0 <= axis.y(value) <= HEIGHT for value in values)


def test_ticks_are_round():
    assert Axis.over([0.912, 0.968]).labels == ("0.90", "0.92", "0.94", "0.96", "0.98")
    assert Axis.over([0.0, 13.2]).labels == ("0", "5", "10", "15")
    assert Axis.over([0.9]).low < 0.9 < Axis.over([0.9]).high


def test_places_keep_the_order_of_values():
    inputs = sample()
    chart = leaderboard_chart(inputs.selection.leaderboard, "macro_f1")
    first, second = (row.ranges[-1] for row in chart.rows)
    assert [row.label for row in chart.rows] == ["minilm", "bert-tiny"]
    assert first.low < first.at < first.high
    assert second.at < first.at


def test_no_difference_is_marked():
    chart = comparison_chart(sample().selection.comparisons)
    assert chart.zero is not None
    assert chart.rows[0].ranges[0].at < chart.zero


def test_latency_shows_only_supported_quantiles():
    measurement = sample().benchmark.measurements[0]
    chart = latency_chart([measurement.model_copy(update={"latency": measurement.latency[:1]})])
    assert [item.style for item in chart.rows[0].ranges] == ["first"]
    assert chart.rows[0].value == "9.47 ms"


def test_history_marks_failures_the_best_and_the_spread():
    chart = history_chart(study(0.7, None, 0.9, 0.8))
    assert [mark.style for mark in chart.marks] == ["first", "failed", "best", "first"]
    best = chart.marks[2]
    assert best.top < best.y < best.bottom
    assert best.y == min(mark.y for mark in chart.marks)
    assert "2 with 0.900" in chart.alt
    assert "3 finished trials" in chart.alt


@pytest.mark.parametrize(("direction", "rises"), [("maximize", [0.8, 0.9]), ("minimize", [0.6])])
def test_best_so_far_only_improves(direction, rises):
    chart = history_chart(study(0.7, 0.8, 0.6, 0.9, direction=direction))
    flat = [line for line in chart.best if line.y1 == line.y2]
    upright = [line for line in chart.best if line.x1 == line.x2]
    assert len(upright) == len(rises)
    assert flat[-1].x2 == chart.marks[-1].x
    assert all((line.y2 < line.y1) == (direction == "maximize") for line in upright)


def test_best_so_far_starts_at_the_first_success():
    chart = history_chart(study(None, 0.8, 0.7))
    assert [(line.x1, line.x2) for line in chart.best] == [(chart.marks[1].x, chart.marks[2].x)]


def test_many_trials_keep_few_labels():
    chart = history_chart(study(*[0.5 + number / 1000 for number in range(300)]))
    assert len(chart.columns) <= 12
    assert len(chart.marks) == 300
