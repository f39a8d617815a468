from __future__ import annotations

from dataclasses import replace

from podium.records import ModelRecord
from podium.report.leaderboard import _prompted, comparison_chart, leaderboard_chart
from podium.report.measurements import latency_chart
from tests.unit.report.samples import sample


def test_champions_and_baselines_are_drawn_in_the_order_of_their_scores():
    inputs = sample()
    chart = leaderboard_chart(inputs.selection.leaderboard, inputs.selection.baselines, "macro_f1")
    first, baseline, second = (row.ranges[-1] for row in chart.rows)
    assert [row.label for row in chart.rows] == ["minilm", "linear baseline", "bert-tiny"]
    assert (first.style, baseline.style) == ("first", "second")
    assert first.low < first.value < first.high
    assert second.value < baseline.value < first.value


def test_a_baseline_far_below_is_said_and_not_drawn():
    inputs = sample()
    chart = leaderboard_chart(inputs.selection.leaderboard, inputs.selection.baselines, "macro_f1")
    assert "majority baseline 0.194" in chart.alt
    assert chart.axis.low > 0.7


def test_no_difference_is_marked():
    chart = comparison_chart(sample().selection.comparisons)
    assert chart.zero_line
    assert chart.rows[0].ranges[0].value < 0 <= chart.axis.high


def test_latency_shows_only_supported_quantiles():
    measurement = sample().benchmark.measurements[0]
    found = measurement.scenarios["latency"]
    median = found.model_copy(update={"figures": found.figures[:1]})
    chart = latency_chart([measurement.model_copy(update={"scenarios": {"latency": median}})])
    assert [item.style for item in chart.rows[0].ranges] == ["first"]
    assert chart.rows[0].figures == "9.47 ms"
    assert [style for style, _ in chart.legend] == ["first"]


def test_what_asking_a_prompted_model_costs_stands_below_the_leaderboard():
    inputs = sample()
    assert _prompted(inputs) == []
    place, model = next((place, one) for place, one in inputs.steps.items() if isinstance(one, ModelRecord))
    facts = {"tokens_per_1000_rows": 474_580, "precision": "bf16", "refused_examples": 3, "at_chance": True}
    for price in ({}, {"price_per_1000_rows": 0.95}):
        details = {"training": {"facts": {**facts, "flip_rate": 0.1, **price}}}
        steps = {**inputs.steps, place: model.model_copy(update={"details": details})}
        (table,) = _prompted(replace(inputs, steps=steps))
        assert [*table.rows] == [
            (model.entrant, "474,580", *(["0.950"] if price else []), "10.5 s", "–", "bf16", "3", "10%", "yes"),
        ]
