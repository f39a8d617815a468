"""What is read from a trial's output: cases of Katib's own tests, properties of the parsers, differences."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import ComputationFailed, NonFiniteLoss
from podium.katib.template import MetricsCollector
from podium.katib_local.metrics import (
    DEFAULT_FILTER,
    NO_TIME,
    Collection,
    Entry,
    Filter,
    filters_of,
    parse_json,
    parse_text,
    parse_time,
    unix_time,
)
from podium.records import Observed

BRACES = r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"
DEFAULT = filters_of(MetricsCollector())
METRICS = ("accuracy", "loss")
NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)


def text_entries(line: str, filters: list[Filter] = DEFAULT) -> list[tuple[str, str]]:
    return [(entry.metric, entry.text) for entry in parse_text(line, METRICS, filters)]


class TestText:
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("loss=0.3", [("loss", "0.3")]),
            ("accuracy = .98", [("accuracy", ".98")]),
            ("loss=-7.53e-05", [("loss", "-7.53e-05")]),
            ("loss=1.23E10 accuracy=1E0", [("loss", "1.23E10"), ("accuracy", "1E0")]),
            ("epoch 3: loss=0.3, accuracy=0.9; val_loss=7", [("loss", "0.3"), ("accuracy", "0.9")]),
            ("loss: 0.3", []),
            ("my-loss=0.3", []),
            ("|loss=0.3", []),
            ("Loss=0.3", []),
            ("loss=high", [("loss", "")]),
            ("loss=888.", [("loss", "888")]),
            ("verlustfunktion=3", []),
            ("", []),
        ],
    )
    def test_the_default_filter(self, line: str, found: list[tuple[str, str]]) -> None:
        assert text_entries(line) == found

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("{metricName: accuracy, metricValue: 0.8078};{metricName: loss, metricValue: 0.5183}", [0.8078, 0.5183]),
            ("INFO {metricName: accuracy, metricValue: 100}", [100.0]),
            ("INFO {metricName: accuracy, metricValue: -0.4759}", [-0.4759]),
            ("INFO {metricName: accuracy, metricValue: .333}", []),
            ("INFO {metricName: accuracy, metricValue: - 345.333}", []),
            ("INFO {metricName: accuracy, metricValue: 888.}", []),
            ("INFO {metricName: accuracy, metricValue: 0.6752", []),
        ],
    )
    def test_a_filter_of_the_experiment(self, line: str, found: list[float]) -> None:
        filters = filters_of(MetricsCollector("File", "/m", metrics_format=(BRACES,)))
        assert [float(text) for _, text in text_entries(line, filters)] == found

    def test_several_filters_find_one_after_another(self) -> None:
        filters = filters_of(MetricsCollector(metrics_format=(r"(\w+)=(\d+)", r"(\w+):(\d+)")))
        assert text_entries("loss:1 accuracy=2 loss=3", filters) == [("accuracy", "2"), ("loss", "3"), ("loss", "1")]

    def test_a_group_that_takes_no_part_is_empty(self) -> None:
        filters = filters_of(MetricsCollector(metrics_format=(r"(loss)=(\d+)?",)))
        assert text_entries("loss=", filters) == [("loss", "")]

    def test_classes_know_ascii_only_as_in_go(self) -> None:
        assert text_entries("löss=1 loss=２ loss=3") == [("loss", ""), ("loss", "3")]

    @pytest.mark.parametrize("line", ["a" * 1_000_000 + " loss=1", "loss " + "a1-" * 300_000, "loss " + "a " * 300_000])
    def test_a_long_line_takes_no_longer_than_its_length(self, line: str) -> None:
        assert text_entries(line) == [("loss", "1")][: line.count("=")]

    @given(st.text("ab1=- .|loss", max_size=30).map(lambda text: text.replace("s", "loss")))
    def test_the_default_filter_finds_what_its_expression_finds(self, line: str) -> None:
        expected = [match.span() for match in re.finditer(DEFAULT_FILTER, line, re.ASCII)]
        assert [match.span() for match in DEFAULT[0](line)] == expected

    @pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "+Infinity"])
    def test_a_value_that_is_not_finite_is_seen(self, value: str) -> None:
        assert text_entries(f"loss={value}, accuracy=1") == [("loss", value), ("accuracy", "1")]

    @pytest.mark.parametrize("word", ["info", "nanometre", "infinite", "nan_count"])
    def test_a_word_is_no_number(self, word: str) -> None:
        assert text_entries(f"loss={word}") == [("loss", "")]

    @pytest.mark.parametrize(
        ("line", "at"),
        [
            ("2024-03-04T12:00:00Z INFO loss=1", NOON),
            ("2024-03-04T12:00:00Z loss=1", NOON),
            ("2024-03-04T12:00:00Z\tloss=1", NO_TIME),
            ("loss=1", NO_TIME),
            ("invalid INFO loss=1", NO_TIME),
            (" 2024-03-04T12:00:00Z loss=1", NO_TIME),
        ],
    )
    def test_the_first_word_is_the_time_if_it_is_one(self, line: str, at: datetime) -> None:
        assert list(parse_text(line, METRICS, DEFAULT)) == [Entry("loss", "1", at)]

    @given(st.sampled_from(METRICS), st.floats(allow_nan=False, allow_infinity=False), st.text("ab:;[]() ", max_size=9))
    def test_every_float_that_is_printed_is_read(self, metric: str, value: float, before: str) -> None:
        (entry,) = parse_text(f"{before} {metric}={value}", METRICS, DEFAULT)
        assert (entry.metric, float(entry.text)) == (metric, value)

    @given(st.text())
    def test_no_line_is_refused(self, line: str) -> None:
        for entry in parse_text(f"{line}loss={line}", METRICS, DEFAULT):
            assert entry.metric in METRICS


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("2024-03-04T12:00:00Z", NOON),
            ("2024-03-04T14:30:00+02:30", NOON),
            ("2024-03-04T9:00:00-03:00", NOON),
            ("2024-03-04T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
            ("2024-03-04T12:00:00,000035999Z", NOON + timedelta(microseconds=35)),
            ("2024-03-04", None),
            ("2024-03-04 12:00:00Z", None),
            ("2024-03-04T12:00:00", None),
            ("2024-02-30T12:00:00Z", None),
            ("2024-03-04T12:00:60Z", None),
            ("2024-03-04T24:00:00Z", None),
            ("2024-03-04t12:00:00z", None),
            ("2024-03-04T12:00:00+0200", None),
            ("0001-01-01T00:00:00+01:00", None),
            ("", None),
        ],
    )
    def test_rfc_3339(self, text: str, time: datetime | None) -> None:
        assert parse_time(text) == time

    @given(st.datetimes(min_value=datetime(2, 1, 1)))
    def test_what_is_written_is_read(self, moment: datetime) -> None:
        assert parse_time(f"{moment.isoformat()}Z") == moment.replace(tzinfo=UTC)

    @pytest.mark.parametrize(
        ("seconds", "microseconds"),
        [(1638422847, 0), (1638422847.28721, 28), (1638422847.287801, 287), (1638422847.5, 0)],
    )
    def test_digits_after_the_point_are_counted_as_nanoseconds(self, seconds: float, microseconds: int) -> None:
        assert unix_time(seconds) == datetime.fromtimestamp(1638422847, UTC) + timedelta(microseconds=microseconds)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_no_number_is_refused(self, seconds: float) -> None:
        time = unix_time(seconds)
        assert time is None or time.tzinfo is UTC


def json_entries(**fields: Any) -> list[Entry]:
    return list(parse_json(json.dumps(fields), METRICS))


class TestJson:
    def test_only_texts_are_values(self) -> None:
        assert json_entries(loss="0.22", accuracy=0.9, step="3") == [Entry("loss", "0.22")]

    def test_values_come_in_the_order_of_the_metrics(self) -> None:
        assert [entry.metric for entry in json_entries(loss="1", accuracy="2")] == ["accuracy", "loss"]

    @pytest.mark.parametrize(
        ("timestamp", "at"),
        [
            ("2024-03-04T12:00:00Z", NOON),
            (NOON.timestamp(), NOON),
            (int(NOON.timestamp()), NOON),
            ("invalid", NO_TIME),
            ("", NO_TIME),
            (True, NO_TIME),
            (None, NO_TIME),
            ([1], NO_TIME),
            (1e300, NO_TIME),
            (10**400, NO_TIME),
        ],
    )
    def test_the_timestamp(self, timestamp: Any, at: datetime) -> None:
        assert json_entries(loss="1", timestamp=timestamp) == [Entry("loss", "1", at)]

    @pytest.mark.parametrize("line", ["", "null", "{}"])
    def test_lines_without_values(self, line: str) -> None:
        assert list(parse_json(line, METRICS)) == []

    @pytest.mark.parametrize("line", ["loss=1", "[]", "3", '"loss"', '{"loss": "1"', '{"loss": NaN}'])
    def test_a_line_that_is_no_object_is_refused(self, line: str) -> None:
        with pytest.raises(ValueError):
            list(parse_json(line, METRICS))

    @given(st.dictionaries(st.sampled_from([*METRICS, "step", "timestamp"]), st.text() | st.floats(allow_nan=False)))
    def test_texts_come_back_as_they_were_written(self, fields: dict[str, Any]) -> None:
        fields = {name: value for name, value in fields.items() if not isinstance(value, float) or math.isfinite(value)}
        found = {entry.metric: entry.text for entry in json_entries(**fields)}
        assert found == {name: value for name, value in fields.items() if name in METRICS and isinstance(value, str)}


def collected(lines: list[str], collector: MetricsCollector | None = None) -> Collection:
    collection = Collection(collector or MetricsCollector(), METRICS)
    for line in lines:
        collection.take(line)
    return collection


class TestCollection:
    def test_least_greatest_and_latest(self) -> None:
        observed = collected(["accuracy=0.5 loss=3", "accuracy=0.9", "accuracy=0.7"]).observed()
        assert observed == {"accuracy": Observed(min=0.5, max=0.9, latest=0.7), "loss": Observed.of([3.0])}

    def test_the_latest_is_the_one_of_the_last_time(self) -> None:
        lines = [
            "2024-03-04T12:00:02Z accuracy=0.2",
            "2024-03-04T12:00:03Z accuracy=0.3",
            "2024-03-04T12:00:01Z accuracy=0.1",
            "accuracy=0.9",
        ]
        assert collected(lines).observed()["accuracy"] == Observed(min=0.1, max=0.9, latest=0.3)

    def test_of_equal_times_the_later_line_is_the_latest(self) -> None:
        lines = ["2024-03-04T12:00:00.0000011Z accuracy=0.2", "2024-03-04T12:00:00.0000019Z accuracy=0.1"]
        assert collected(lines).observed()["accuracy"].latest == 0.1
        assert collected(lines[::-1]).observed()["accuracy"].latest == 0.2

    def test_values_of_the_objective_are_reported(self) -> None:
        assert Collection(MetricsCollector(), METRICS).take("loss=1 accuracy=2 accuracy=3") == [2.0, 3.0]

    def test_what_is_no_number_is_left_out(self) -> None:
        observed = collected(["accuracy=0.5", "accuracy=high", "loss=nan", "accuracy=1e999"]).observed()
        assert observed == {"accuracy": Observed.of([0.5])}

    @pytest.mark.parametrize("value", ["nan", "-inf", "Infinity"])
    def test_an_objective_that_is_not_finite_is_an_error(self, value: str) -> None:
        with pytest.raises(NonFiniteLoss, match=f"line 2 of the output reports accuracy={value}"):
            collected(["accuracy=0.5", f"accuracy={value}"])

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["loss=1", ""], "its objective 'accuracy', but the output has 2 lines and no value of it$"),
            (["accuracy=high"], "no value of it that is a number: line 1 has ''"),
        ],
    )
    def test_an_objective_that_is_missing(self, lines: list[str], message: str) -> None:
        collection = collected(lines)
        assert "accuracy" not in collection.observed()
        assert re.search(message, str(collection.unavailable()))

    def test_a_json_number_is_explained(self) -> None:
        collection = collected(['{"accuracy": 0.9}'], MetricsCollector("File", "/m/log", "JSON"))
        assert "line 1 has 0.9; Katib reads it in quotes only" in str(collection.unavailable())

    def test_a_line_that_is_not_json(self) -> None:
        with pytest.raises(ComputationFailed, match=r"every line of /m/log must be a JSON object, but line 2 is 'x'"):
            collected(['{"accuracy": "1"}', "x"], MetricsCollector("File", "/m/log", "JSON"))

    @pytest.mark.parametrize(
        ("line", "shown"), [("x" * 10**6, "'x{49}\\.\\.\\.x{49}': "), ("[" * 10**6, "it is nested too deeply$")]
    )
    def test_a_line_that_is_no_json_is_shown_in_part(self, line: str, shown: str) -> None:
        with pytest.raises(ComputationFailed, match=rf"must be a JSON object, but line 1 is .*{shown}") as error:
            collected([line], MetricsCollector("File", "/m/log", "JSON"))
        assert len(str(error.value)) < 300

    @given(st.lists(st.floats(-1e9, 1e9), min_size=1))
    def test_what_is_observed_sums_up_what_was_printed(self, values: list[float]) -> None:
        assert collected([f"accuracy={value}" for value in values]).observed()["accuracy"] == Observed.of(values)
