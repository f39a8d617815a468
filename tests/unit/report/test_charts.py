from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from podium.report.charts import HEIGHT, Axis, comparison_chart, latency_chart, leaderboard_chart
from tests.unit.report.samples import sample


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
    chart = leaderboard_chart(inputs.selection.leaderboard, inputs.selection.baselines, "macro_f1")
    first, baseline, second = (row.ranges[-1] for row in chart.rows)
    assert [row.label for row in chart.rows] == ["minilm", "linear baseline", "bert-tiny"]
    assert (first.style, baseline.style) == ("first", "second")
    assert first.low < first.at < first.high
    assert second.at < first.at


def test_a_baseline_far_below_is_said_and_not_drawn():
    inputs = sample()
    chart = leaderboard_chart(inputs.selection.leaderboard, inputs.selection.baselines, "macro_f1")
    assert "majority baseline 0.194" in chart.alt
    assert float(chart.ticks[0].label) > 0.7


def test_no_difference_is_marked():
    chart = comparison_chart(sample().selection.comparisons)
    assert chart.zero is not None
    assert chart.rows[0].ranges[0].at < chart.zero


def test_latency_shows_only_supported_quantiles():
    measurement = sample().benchmark.measurements[0]
    chart = latency_chart([measurement.model_copy(update={"latency": measurement.latency[:1]})])
    assert [item.style for item in chart.rows[0].ranges] == ["first"]
    assert chart.rows[0].value == "9.47 ms"
    assert [style for style, _ in chart.legend] == ["first"]
