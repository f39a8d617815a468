"""Which metrics are read from the lines of a trial."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import ComputationFailed, NonFiniteLoss
from podium.katib.template import MetricsCollector
from podium.katib_local.runner import MetricReader
from podium.records import Observed

BRACES = r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"
METRICS = ("accuracy", "loss")
JSON = MetricsCollector("File", "/m/log", "JSON")
KATIBS = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
"""Katib's default filter, which many examples write out."""


def read(lines: Sequence[str], collector: MetricsCollector | None = None) -> MetricReader:
    reader = MetricReader(collector or MetricsCollector(), METRICS)
    for line in lines:
        reader.take(line)
    return reader


def latest(line: str, *filters: str) -> dict[str, float]:
    """The last value of each metric in a line of text."""
    observed = read([line], MetricsCollector(metrics_format=filters)).observed()
    return {metric: values.latest for metric, values in observed.items()}


class TestText:
    def test_a_filter_has_the_syntax_of_go(self) -> None:
        assert latest("loss is 0.5", r"([[:alpha:]]+) is (\d\.\d)") == {"loss": 0.5}

    def test_a_filter_that_would_backtrack_takes_a_time_that_grows_with_the_line(self) -> None:
        assert latest("loss" + "a" * 10_000, r"(a+)+(b)") == {}

    @pytest.mark.parametrize("filters", [(), (KATIBS,)], ids=["implied", "written out"])
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("loss=0.3", {"loss": 0.3}),
            ("accuracy = .98", {"accuracy": 0.98}),
            ("loss=-7.53e-05", {"loss": -7.53e-05}),
            ("loss=1.23E10 accuracy=1E0", {"loss": 1.23e10, "accuracy": 1.0}),
            ("epoch 3: loss=0.3, accuracy=0.9; val_loss=7", {"loss": 0.3, "accuracy": 0.9}),
            ("2024-03-04T12:00:00Z INFO loss=1", {"loss": 1.0}),
            ("loss: 0.3", {}),
            ("my-loss=0.3", {}),
            ("|loss=0.3", {}),
            ("Loss=0.3", {}),
            ("loss=high", {}),
            ("loss=888.", {"loss": 888.0}),
            ("löss=1 loss=3", {"loss": 3.0}),
            ("", {}),
        ],
    )
    def test_the_default_filter(self, line: str, found: dict[str, float], filters: tuple[str, ...]) -> None:
        assert latest(line, *filters) == found

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            (
                "{metricName: accuracy, metricValue: 0.8078};{metricName: loss, metricValue: 0.5183}",
                {"accuracy": 0.8078, "loss": 0.5183},
            ),
            ("INFO {metricName: accuracy, metricValue: -0.4759}", {"accuracy": -0.4759}),
            ("INFO {metricName: accuracy, metricValue: .333}", {}),
            ("INFO {metricName: accuracy, metricValue: 0.6752", {}),
        ],
    )
    def test_a_filter_of_the_experiment(self, line: str, found: dict[str, float]) -> None:
        assert latest(line, BRACES) == found

    def test_several_filters_find_one_after_another(self) -> None:
        assert latest("loss:1 accuracy=2 loss=3", r"(\w+)=(\d+)", r"(\w+):(\d+)") == {"accuracy": 2.0, "loss": 1.0}

    def test_a_group_that_takes_no_part_is_no_number(self) -> None:
        assert latest("loss=", r"(loss)=(\d+)?") == {}

    @pytest.mark.parametrize("line", ["a" * 1_000_000 + " loss=1", "loss " + "a1-" * 300_000, "loss " + "a " * 300_000])
    def test_a_long_line_takes_no_longer_than_its_length(self, line: str) -> None:
        assert latest(line) == ({"loss": 1.0} if "=" in line else {})

    @given(st.sampled_from(METRICS), st.floats(allow_nan=False, allow_infinity=False), st.text("ab:;[]() ", max_size=9))
    def test_every_float_that_is_printed_is_read(self, metric: str, value: float, before: str) -> None:
        assert latest(f"{before} {metric}={value}") == {metric: value}

    @given(st.text())
    def test_no_line_without_the_objective_is_refused(self, line: str) -> None:
        assert set(latest(f"{line}loss={line}")) <= {"accuracy", "loss"}


class TestJson:
    def test_only_texts_are_values(self) -> None:
        line = json.dumps({"loss": "0.22", "accuracy": 0.9, "step": "3"})
        assert read([line], JSON).observed() == {"loss": Observed.of([0.22])}

    @pytest.mark.parametrize("line", ["", " ", "{}"])
    def test_lines_without_values(self, line: str) -> None:
        assert read([line], JSON).observed() == {}

    @pytest.mark.parametrize("line", ["loss=1", "[]", "3", '"loss"', '{"loss": "1"', "null", "[" * 10**6])
    def test_a_line_that_is_no_object_is_refused(self, line: str) -> None:
        with pytest.raises(
            ComputationFailed, match=r"every line of /m/log must be a JSON object, but line 2 is"
        ) as error:
            read(['{"accuracy": "1"}', line], JSON)
        assert len(str(error.value)) < 200

    def test_a_json_number_is_explained(self) -> None:
        assert "line 1 has 0.9; Katib reads it in quotes only" in str(read(['{"accuracy": 0.9}'], JSON).unavailable())


class TestObserved:
    def test_least_greatest_and_latest(self) -> None:
        observed = read(["accuracy=0.5 loss=3", "accuracy=0.9", "accuracy=0.7"]).observed()
        assert observed == {"accuracy": Observed(min=0.5, max=0.9, latest=0.7), "loss": Observed.of([3.0])}

    def test_values_of_the_objective_are_returned(self) -> None:
        assert MetricReader(MetricsCollector(), METRICS).take("loss=1 accuracy=2 accuracy=3") == [2.0, 3.0]

    def test_what_is_no_number_is_left_out(self) -> None:
        observed = read(["accuracy=0.5", "accuracy=high", "loss=nan"]).observed()
        assert observed == {"accuracy": Observed.of([0.5])}

    @pytest.mark.parametrize("value", ["nan", "-inf", "Infinity", "1e999"])
    def test_an_objective_that_is_not_finite_is_an_error(self, value: str) -> None:
        with pytest.raises(NonFiniteLoss, match=f"line 2 of the output reports accuracy={value}"):
            read(["accuracy=0.5", f"accuracy={value}"])

    @pytest.mark.parametrize("word", ["info", "nanometre", "infinite", "nan_count"])
    def test_a_word_is_no_number(self, word: str) -> None:
        assert read([f"accuracy={word}"]).observed() == {}

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["loss=1", ""], "its objective 'accuracy', but the output has 2 lines and no value of it$"),
            (["accuracy=high"], "no value of it that is a number: line 1 has ''"),
        ],
    )
    def test_an_objective_that_is_missing(self, lines: list[str], message: str) -> None:
        reader = read(lines)
        assert "accuracy" not in reader.observed()
        assert re.search(message, str(reader.unavailable()))

    @given(st.lists(st.floats(-1e9, 1e9), min_size=1))
    def test_what_is_observed_sums_up_what_was_printed(self, values: list[float]) -> None:
        assert read([f"accuracy={value}" for value in values]).observed()["accuracy"] == Observed.of(values)
