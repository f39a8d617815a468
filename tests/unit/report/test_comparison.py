"""What a comparison says in a terminal and on its page."""

from __future__ import annotations

import re
from typing import Any

from podium.report.comparison import as_html, as_text, change_chart, latency_plot, quality_plot, throughput_plot
from podium.selection.estimates import ComparedModel
from podium.selection.run_comparison import compare_runs
from tests.unit.selection.simulated import HARDWARE, made_up, measurement, repetitions


def runs(**changes: Any) -> list[ComparedModel]:
    return [made_up("old", 1, accuracy=0.8), made_up("runs/new", 2, 1.2, 0.9, **changes)]


def test_the_text_has_figures_findings_and_verdicts() -> None:
    given = runs(notes=("the warm-up did not settle",))
    said = as_text(compare_runs(given, ["p50 > 1.05 * baseline", "energy > baseline"]), terminal=False)
    assert re.search(r"latency p50, ms +\d\.\d\d \(\d\.\d\d to \d\.\d\d\)", said)
    assert re.search(r"latency p50, ms +\+\d+\.\d % \(.*\) +really worse", said)
    assert re.search(r"accuracy +\+0\.\d+ \(.*\) +really better", said)
    assert re.search(r"size on disk, MB +\+0\.0 % +the same", said)
    assert "runs/new: the warm-up did not settle" in said
    assert "FAIL  runs/new: p50 > 1.05 * baseline" in said
    assert "CANNOT JUDGE  runs/new: energy > baseline" in said


def test_the_page_needs_nothing_but_itself() -> None:
    given = [made_up("<b>old</b>", 1), *runs()]
    page = as_html(compare_runs(given, ["p50 > baseline"]), given)
    assert "<b>old</b>" not in page
    assert "&lt;b&gt;old&lt;/b&gt;" in page
    assert not re.search(r"<script|https?://|url\(|@import", page)
    assert "default-src 'none'" in page
    for section in ("checks", "figures", "latency", "throughput", "cost", "hardware"):
        assert f'<section id="{section}"' in page


def test_the_page_says_what_was_not_measured() -> None:
    bare = {"measurement": None, "repetitions": (), "hardware": None}
    given = [made_up("old", 1, **bare), made_up("new", 2, **bare)]
    page = as_html(compare_runs(given, ()), given)
    for said in ("No run has raw samples", "it takes benchmark.scenarios=[grid]", "Fewer than two runs"):
        assert said in page
    assert "No run was measured" in page
    assert '<section id="checks"' not in page


def test_differing_hardware_is_marked() -> None:
    given = runs(hardware={**HARDWARE, "threads": "2"})
    page = as_html(compare_runs(given, ()), given)
    assert page.count('<span class="tag">differs</span>') == 1
    assert change_chart(compare_runs(given, ())) is None


def test_the_front_leaves_out_what_another_run_beats() -> None:
    given = [made_up("good", 1, accuracy=0.95), made_up("slow", 2, 1.5, 0.8), made_up("fast", 3, 0.5, 0.7)]
    chart = quality_plot(compare_runs(given, ()))
    assert chart is not None
    assert "on the front of latency p50: fast, good" in chart.alt
    beaten = [mark.style for mark in chart.plots[0].marks if "beaten" in mark.style]
    assert beaten == ["run-1 beaten"]


def test_distributions_rise_to_the_99th_percentile() -> None:
    chart = latency_plot(runs())
    assert chart is not None
    for line in chart.plots[0].lines:
        assert all(x1 <= x2 and y1 <= y2 for (x1, y1), (x2, y2) in line.pieces)
    assert "old p50" in chart.alt


def test_throughput_is_not_drawn_without_a_grid() -> None:
    found = measurement(repetitions(2))
    without = {name: one for name, one in found.scenarios.items() if name != "grid"}
    assert throughput_plot([made_up("new", 2, measurement=found.model_copy(update={"scenarios": without}))]) is None


def test_throughput_is_drawn_for_runs_with_a_grid() -> None:
    chart = throughput_plot([made_up("new", 2, measurement=measurement(repetitions(2)))])
    assert chart is not None
    plot = chart.plots[0]
    places = [plot.x.x(mark.x) for mark in plot.marks]
    assert places[1] - places[0] > places[2] - places[1], "batch sizes are on a scale of logarithms"
