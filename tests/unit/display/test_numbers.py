from __future__ import annotations

import pytest

from podium.display import numbers as text


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "–"), (0.0, "0"), (0.01234, "0.0123"), (8.126, "8.13"), (81.26, "81.3"), (812.6, "813"), (1234.5, "1,234")],
)
def test_figures_have_three_digits(value, written):
    assert text.figure(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(3.21e-5, "3.21e-05"), (0.01, "0.01"), (0.0, "0"), (16, "16"), (True, "True"), ("relu", "relu"), (None, "–")],
)
def test_parameters(value, written):
    assert text.parameter(value) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(3.14, "3.1 s"), (59.96, "60.0 s"), (75, "1 min 15 s"), (3725, "1 h 02 min")]
)
def test_durations(seconds, written):
    assert text.duration(seconds) == written


def test_signs_and_small_probabilities():
    assert text.signed(-0.0123) == "−0.012"
    assert text.signed(0.0123) == "+0.012"
    assert text.p_value(0.0004) == "< 0.001"
    assert text.p_value(0.04) == "0.040"


@pytest.mark.parametrize(
    ("name", "title"),
    [("macro_f1", "macro F1"), ("subset_accuracy", "subset accuracy"), ("accuracy", "accuracy"), ("p50_ms", "p50_ms")],
)
def test_a_metric_is_named_as_its_task_names_it(name: str, title: str) -> None:
    assert text.metric_name(name) == title


@pytest.mark.parametrize(
    ("number", "written"), [(0, "0"), (99_300, "99,300"), (999_999, "999,999"), (1_000_000, "1.00 M"), (66e6, "66.0 M")]
)
def test_counts_of_weights_are_in_millions_only_from_there_on(number, written):
    assert text.count(int(number)) == written
