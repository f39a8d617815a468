from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.hpo.space import (
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Space,
)
from podium.records import StudyRecord, TrialRecord
from podium.report.charts import HEIGHT
from podium.report.search_charts import SLICE_HEIGHT, Scale, history_chart, parallel_chart, slice_chart
from tests.unit.hpo.test_space import inside, parameters

SPACE = Space.of(
    {
        "batch_size": CategoricalParameter((8, 16, 32)),
        "dropout": FloatParameter(0.0, 0.4),
        "learning_rate": FloatParameter(1e-5, 1e-3, log=True),
    }
)


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


def test_pruned_trials_are_shown_as_such_and_the_legend_names_only_what_is_drawn():
    found = study(0.7, 0.9, 0.5)
    assert [style for style, _ in history_chart(found).legend] == ["first", "best", "steps"]
    trials = (*found.trials[:2], found.trials[2].model_copy(update={"status": "pruned"}))
    chart = history_chart(found.model_copy(update={"trials": trials}))
    assert chart.marks[2].style == "pruned"
    assert chart.marks[2].title == "trial 2: 0.500 when it was stopped early"
    assert ("pruned", "stopped early") in chart.legend
    assert "2 finished trials of tiny and 1 that were stopped early" in chart.alt


def searched(*params: dict[str, Any], **changes: Any) -> StudyRecord:
    """A study whose scores rise from trial to trial."""
    found = study(*(0.5 + number / 100 for number in range(len(params))))
    trials = tuple(trial.model_copy(update={"params": one}) for trial, one in zip(found.trials, params, strict=True))
    return found.model_copy(update={"trials": trials, **changes})


STUDY = searched(
    {"batch_size": 8, "dropout": 0.1, "learning_rate": 1e-4},
    {"batch_size": 32, "dropout": 0.4, "learning_rate": 1e-3},
    {"batch_size": 16, "learning_rate": 1e-5},
)


@given(parameter=parameters, share=st.floats(0, 1))
def test_every_value_has_a_place_and_a_scale_has_few_labels(parameter, share):
    scale = Scale(parameter)
    value = inside(parameter, share)
    assert 0 <= scale.share(value) <= 1
    assert 0 <= scale.height(value) <= 1
    assert 1 <= len(scale.ticks) <= 6
    assert all(0 <= tick.at <= 1 and tick.label for tick in scale.ticks)


@pytest.mark.parametrize(
    ("parameter", "labels"),
    [
        (FloatParameter(1e-5, 1e-3, log=True), ["1e-05", "0.0001", "0.001"]),
        (FloatParameter(3e-5, 8e-5, log=True), ["3e-05", "8e-05"]),
        (FloatParameter(0.0, 0.3), ["0", "0.1", "0.2", "0.3"]),
        (FloatParameter(0.5, 0.5), ["0.5"]),
        (IntParameter(1, 8), ["1", "3", "5", "7"]),
        (IntParameter(2, 3), ["2", "3"]),
        (NormalParameter(0.0, 1.0), ["0", "0.5", "1"]),
        (CategoricalParameter(("adam", "sgd", True)), ["adam", "sgd", "True"]),
        (DiscreteParameter((1, 2.5)), ["1", "2.5"]),
        (CategoricalParameter(tuple(range(20))), ["0", "4", "8", "12", "16"]),
    ],
)
def test_ticks_are_values_of_the_scale(parameter, labels):
    assert [tick.label for tick in Scale(parameter).ticks] == labels


def test_a_log_scale_is_drawn_as_one():
    scale = Scale(FloatParameter(1e-5, 1e-3, log=True))
    assert (scale.share(1e-5), scale.share(1e-4), scale.share(1e-3)) == pytest.approx((0.0, 0.5, 1.0))


def test_slices_show_the_trials_that_have_the_parameter():
    chart = slice_chart(STUDY, SPACE)
    by_name = {one.name: one for one in chart.slices}
    assert {name: len(one.marks) for name, one in by_name.items()} == {
        "batch_size": 3,
        "dropout": 2,
        "learning_rate": 3,
    }
    assert (by_name["learning_rate"].log, by_name["dropout"].log) == (True, False)
    assert by_name["batch_size"].marks[-1].style == "best"
    assert all(0 <= mark.y <= SLICE_HEIGHT for one in chart.slices for mark in one.marks)
    assert "against batch size, dropout, learning rate" in chart.alt


def test_a_line_goes_from_the_parameters_to_the_score_and_skips_what_a_trial_lacks():
    chart = parallel_chart(STUDY, SPACE)
    assert [(axis.name, axis.bottom, axis.top) for axis in chart.axes] == [
        ("batch size", "8", "32"),
        ("dropout", "0", "0.4"),
        ("learning rate", "1e-05", "0.001"),
        ("macro F1", "0.500", "0.520"),
    ]
    assert [tick.label for tick in chart.axes[0].between] == ["16"]
    second, best = chart.lines[1:]
    assert [(line.y1, line.y2) for line in second.segments] == [(0.0, 0.0), (0.0, 0.0), (0.0, 100.0)]
    assert best.style == "best" and len(best.segments) == 1
    assert best.segments[0].y2 == 0.0 and best.segments[0].y1 == HEIGHT
    assert chart.lines[0].strength < second.strength < best.strength


def test_only_the_best_trials_of_a_long_study_are_lines():
    one = {"batch_size": 8, "dropout": 0.1, "learning_rate": 1e-4}
    chart = parallel_chart(searched(*[one] * 130), SPACE)
    assert (len(chart.lines), chart.left_out) == (100, 30)
    assert chart.lines[-1].title == "trial 129: 1.790"
    low = parallel_chart(searched(*[one] * 130, direction="minimize", best=0), SPACE)
    assert low.lines[-1].title == "trial 0: 0.500"
