from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter
from podium.config.schema import DatasetConfig, EntrantConfig, PodiumConfig
from podium.display.charts import PlotChart
from podium.hpo.experiment import Space
from podium.records import StudyRecord, TrialRecord
from podium.report.search import _study, history_chart, parallel_chart, parameter_axis, slice_chart
from tests.unit.hpo.test_experiment import inside, parameters

SPACE = Space(
    parameters={
        "batch_size": CategoricalParameter(choices=(8, 16, 32)),
        "dropout": FloatParameter(low=0.0, high=0.4),
        "learning_rate": FloatParameter(low=1e-5, high=1e-3, log=True),
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
        entrant="tiny",
        metric="macro_f1",
        direction=direction,
        budget=9,
        trials=trials,
        best=best.number,
    )


def test_a_study_is_shown_over_the_space_of_its_kind():
    entrants = {"tiny": EntrantConfig(kind="linear")}
    config = PodiumConfig(dataset=DatasetConfig(name="x", path="/x", task="text-classification"), entrants=entrants)
    shown = _study(study(0.7, 0.9), config)
    assert "class weights" in " ".join(block.alt for block in shown.blocks if isinstance(block, PlotChart))


def test_history_marks_failures_the_best_and_the_spread():
    chart = history_chart(study(0.7, None, 0.9, 0.8))
    marks = chart.plots[0].marks
    assert [mark.style for mark in marks] == ["first", "failed", "best", "first"]
    best = marks[2]
    assert best.low < best.y < best.high
    assert marks[1].y is None
    assert best.y == max(mark.y for mark in marks if mark.y is not None)
    assert "2 with 0.900" in chart.alt
    assert "3 finished trials" in chart.alt


@pytest.mark.parametrize(
    ("direction", "best"), [("maximize", [0.7, 0.8, 0.8, 0.9]), ("minimize", [0.7, 0.7, 0.6, 0.6])]
)
def test_best_so_far_only_improves(direction, best):
    (line,) = history_chart(study(0.7, 0.8, 0.6, 0.9, direction=direction)).plots[0].lines
    assert dict(line.points) == dict(enumerate(best))
    assert all(x1 == x2 or y1 == y2 for (x1, y1), (x2, y2) in line.pieces), "it is drawn as steps"


def test_best_so_far_starts_at_the_first_success():
    (line,) = history_chart(study(None, 0.8, 0.7)).plots[0].lines
    assert line.points == ((1, 0.8), (2, 0.8))


def test_many_trials_keep_few_labels():
    chart = history_chart(study(*[0.5 + number / 1000 for number in range(300)]))
    assert len(chart.plots[0].x.ticks) <= 12
    assert len(chart.plots[0].marks) == 300


def test_pruned_trials_are_shown_as_such_and_the_legend_names_only_what_is_drawn():
    found = study(0.7, 0.9, 0.5)
    assert [style for style, _ in history_chart(found).legend] == ["first", "best", "steps"]
    trials = (*found.trials[:2], found.trials[2].model_copy(update={"status": "pruned"}))
    chart = history_chart(found.model_copy(update={"trials": trials}))
    mark = chart.plots[0].marks[2]
    assert mark.style == "pruned"
    assert mark.title == "trial 2: 0.500 when it was stopped early"
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
def test_every_value_has_a_place_and_an_axis_has_few_labels(parameter, share):
    for margin in (0.0, 0.5):
        number, axis = parameter_axis(parameter, margin)
        assert 0 <= axis.share(number(inside(parameter, share))) <= 1
        assert 1 <= len(axis.ticks) <= 6
        assert all(axis.low <= tick.value <= axis.high and tick.label for tick in axis.ticks)


@pytest.mark.parametrize(
    ("parameter", "labels"),
    [
        (FloatParameter(low=1e-5, high=1e-3, log=True), ["1e-05", "0.0001", "0.001"]),
        (FloatParameter(low=3e-5, high=8e-5, log=True), ["3e-05", "8e-05"]),
        (FloatParameter(low=0.0, high=0.3), ["0", "0.1", "0.2", "0.3"]),
        (FloatParameter(low=0.5, high=0.5), ["0.5"]),
        (IntParameter(low=1, high=8), ["1", "3", "5", "7"]),
        (IntParameter(low=2, high=3), ["2", "3"]),
        (FloatParameter(low=0.0, high=1.0, distribution="normal"), ["0", "0.5", "1"]),
        (CategoricalParameter(choices=("adam", "sgd", True)), ["adam", "sgd", "True"]),
        (DiscreteParameter(choices=(1, 2.5)), ["1", "2.5"]),
        (CategoricalParameter(choices=tuple(range(20))), ["0", "4", "8", "12", "16"]),
    ],
)
def test_ticks_are_values_of_the_parameter(parameter, labels):
    assert [tick.label for tick in parameter_axis(parameter)[1].ticks] == labels


def test_choices_keep_a_distance_from_the_ends_where_it_is_asked_for():
    number, axis = parameter_axis(CategoricalParameter(choices=(8, 16, 32)), margin=0.5)
    assert [axis.share(number(value)) for value in (8, 16, 32)] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    number, axis = parameter_axis(CategoricalParameter(choices=(8, 16, 32)))
    assert [axis.share(number(value)) for value in (8, 16, 32)] == [0.0, 0.5, 1.0]


def test_slices_show_the_trials_that_have_the_parameter():
    chart = slice_chart(STUDY, SPACE)
    by_name = {plot.name: plot for plot in chart.plots}
    assert {name: len(one.marks) for name, one in by_name.items()} == {
        "batch size": 3,
        "dropout": 2,
        "learning rate (log)": 3,
    }
    assert by_name["batch size"].marks[-1].style == "best"
    assert "against batch size, dropout, learning rate" in chart.alt


def test_a_line_goes_from_the_parameters_to_the_score_and_skips_what_a_trial_lacks():
    chart = parallel_chart(STUDY, SPACE)
    assert [(one.name, one.bottom, one.top) for one in chart.coordinates] == [
        ("batch size", "8", "32"),
        ("dropout", "0", "0.4"),
        ("learning rate", "1e-05", "0.001"),
        ("macro F1", "0.500", "0.520"),
    ]
    assert [tick.label for tick in chart.coordinates[0].axis.ticks] == ["16"]
    second, best = chart.paths[1:]
    assert second.values == (2, 0.4, 1e-3, 0.51)
    assert best.style == "best" and best.values == (1, None, 1e-5, 0.52)
    assert len(chart.pieces(best)) == 1
    assert chart.paths[0].strength < second.strength < best.strength


def test_only_the_best_trials_of_a_long_study_are_lines():
    one = {"batch_size": 8, "dropout": 0.1, "learning_rate": 1e-4}
    chart = parallel_chart(searched(*[one] * 130), SPACE)
    assert len(chart.paths) == 100
    assert chart.paths[-1].title == "trial 129: 1.790"
    low = parallel_chart(searched(*[one] * 130, direction="minimize", best=0), SPACE)
    assert low.paths[-1].title == "trial 0: 0.500"
