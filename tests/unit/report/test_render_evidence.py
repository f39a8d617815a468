"""What the report says of baselines, comparisons, variants, scenarios and the decision."""

from __future__ import annotations

import pytest

from podium.config.schema import EntrantConfig
from podium.records import CopiedRows, Evidence, Interval
from podium.report import Rendered, ReportInputs, render
from tests.unit.report.sample_keys import key
from tests.unit.report.samples import sample
from tests.unit.report.test_render import Page

THREE = ("minilm", "bert-tiny", "deberta-v3-small")


def words(rendered: Rendered, section: str) -> str:
    """The text of a section of the page."""
    found = next(part for part in rendered.html.split("<section ") if part.startswith(f'id="{section}"'))
    return " ".join(Page(f"<section {found}").text.split())


@pytest.fixture(scope="module")
def inputs() -> ReportInputs:
    return sample(entrants=THREE, linear=0.97)


@pytest.fixture(scope="module")
def rendered(inputs) -> Rendered:
    return render(inputs)


def test_a_baseline_that_is_not_beaten_is_in_the_answer(rendered, inputs):
    said = "does not beat the linear baseline"
    assert said in words(rendered, "answer")
    assert said in rendered.markdown.split("## Leaderboard")[0]
    beaten = render(sample())
    assert "baseline" not in words(beaten, "answer")


def test_the_score_without_copied_rows_is_in_the_answer(inputs):
    score = Interval(value=0.612, low=0.5, high=0.7, confidence=0.95, method="percentile bootstrap")
    evidence = inputs.decision.evidence.model_copy(
        update={"copied_rows": CopiedRows(rows=117, searched=1, score=score)}
    )
    decision = inputs.decision.model_copy(update={"evidence": evidence})
    found = render(sample(entrants=THREE, linear=0.97, decision=decision))
    assert "117 of these rows nearly repeat rows that it learned from" in words(found, "answer")
    assert "0.612" in words(found, "answer")


def test_baselines_stand_on_the_leaderboard_and_scores_beside_the_names(rendered):
    part = rendered.markdown.split("## Leaderboard")[1].split("##")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:3]] for row in part.splitlines() if row.startswith("|")]
    assert rows[0] == ["Candidate", "Test macro F1"]
    names = [name for name, _ in rows[2:]]
    assert names == ["linear (baseline)", "minilm ★ winner", "deberta-v3-small", "bert-tiny", "majority (baseline)"]
    assert "worse than linear" in words(rendered, "leaderboard")


def test_the_adjusted_p_value_decides_what_is_called_worse(inputs):
    first, *others = inputs.selection.comparisons
    interval = first.difference.model_copy(update={"value": -0.02, "low": -0.04, "high": -0.001})
    several = first.model_copy(
        update={"difference": interval, "p_value": 0.031, "p_adjusted": 0.062, "measurably_worse": False}
    )
    selection = inputs.selection.model_copy(update={"comparisons": (several, *others)})
    found = render(sample(entrants=THREE, selection=selection))
    row = next(line for line in found.markdown.splitlines() if "0.062" in line)
    assert row.split("|")[3] == " not measurably worse " and row.split("|")[6:8] == [" 0.031 ", " 0.062 "]
    said = words(found, "leaderboard")
    assert "the p-value adjusted after Holm decides what is called measurably worse, at 0.05" in said
    assert "left of zero" not in said


def test_folds_are_the_view_before_the_test(rendered, inputs):
    said = words(rendered, "leaderboard")
    assert "Corrected resampled t-test" in said
    for test in (*inputs.selection.fold_tests, *(entry.runner_up for entry in inputs.selection.leaderboard)):
        assert f"{test.challenger} − {test.reference}" in said


def test_every_variant_is_shown_with_what_became_of_it(rendered, inputs):
    page, plain = words(rendered, "variants"), rendered.markdown
    for one in inputs.benchmark.variants:
        assert f"{one.entrant} ({one.variant})" in page
        assert one.reason in page and one.reason.replace("_", "\\_") in plain
    assert "Not asked for: compile." in page
    assert "this machine shows no RAPL counter" in page and "this machine shows no RAPL counter" in plain
    assert rendered.metrics["minilm.onnx-int8.score"] < rendered.metrics["minilm.score"]


def test_a_variant_that_was_not_asked_for_is_not_said_to_have_failed(inputs):
    kept = tuple(one for one in inputs.benchmark.variants if one.variant != "bf16")
    found = render(sample(benchmark=inputs.benchmark.model_copy(update={"variants": kept})))
    assert "Not asked for: bf16, compile." in words(found, "variants")


def test_variants_that_no_champion_can_have_are_not_said_to_be_missing(inputs):
    entrants = {name: EntrantConfig(kind="linear") for name in inputs.run.config.entrants}
    run = inputs.run.model_copy(update={"config": inputs.run.config.model_copy(update={"entrants": entrants})})
    assert "Not asked for" not in words(render(sample(run=run)), "variants")


def test_the_winning_variant_says_what_it_loses(rendered):
    page = words(rendered, "answer")
    assert "minilm as onnx reaches macro F1 0.976" in page
    assert "That is −0.001 (−0.005 to +0.003) against the eager model it was made from" in page


def test_scenarios_are_shown_and_an_absent_rate_says_why(inputs):
    first, *others = inputs.benchmark.measurements
    held = first.scenarios["server"]
    absent = tuple(one.model_copy(update={"value": None, "low": None, "high": None}) for one in held.figures)
    server = held.model_copy(update={"figures": absent, "notes": ("idle, it takes 140 ms",)})
    changes = {"scenarios": {**first.scenarios, "server": server}, "unstable": True, "notes": ("medians differ",)}
    items = (first.model_copy(update=changes), *others)
    found = render(sample(entrants=THREE, benchmark=inputs.benchmark.model_copy(update={"measurements": items})))
    page = words(found, "benchmark")
    for said in (
        "p99 within 130 ms",
        "idle, it takes 140 ms",
        "Cold start",
        "Throughput by batch size and length",
        "Unstable, the reasons are below: minilm (eager).",
        "medians differ",
        "2450.012",
        "no dense peak is known of a CPU",
    ):
        assert said in page
    assert "idle, it takes 140 ms" in found.markdown


def test_a_quantile_that_one_variant_lacks_keeps_its_column(inputs):
    first, *others = inputs.benchmark.measurements
    latency = first.scenarios["latency"]
    median = latency.model_copy(update={"figures": latency.figures[:1]})
    items = (first.model_copy(update={"scenarios": {**first.scenarios, "latency": median}}), *others)
    found = render(sample(entrants=THREE, benchmark=inputs.benchmark.model_copy(update={"measurements": items})))
    assert ">p95</th>" in found.html


def test_the_decision_can_be_made_again_and_says_how_it_compared(rendered, inputs):
    page = words(rendered, "why")
    assert f"podium replay {key('decision')[:12]}" in page
    assert f"podium replay {key('decision')[:12]}" in rendered.markdown
    assert "It predicted the 425 held-out rows of this run: minilm (onnx) minus incumbent is +0.113" in page
    assert "interval wholly above 0" in page


def test_an_incumbent_that_was_not_compared_says_why(inputs):
    update = {"against_incumbent": None, "not_comparable": "it has other labels."}
    evidence = Evidence.model_validate({**dict(inputs.decision.evidence), **update})
    found = render(sample(entrants=THREE, decision=inputs.decision.model_copy(update={"evidence": evidence})))
    assert "It was not compared: it has other labels." in words(found, "why")


def test_fronts_are_drawn_and_said(rendered, inputs):
    page = words(rendered, "variants")
    assert "bert-tiny (onnx) 0.931 at 1.10 ms, then bert-tiny (eager) 0.932 at 1.83 ms, then minilm (onnx)" in page
    charts = [attributes for _, attributes in Page(rendered.html).tags if attributes.get("class") == "slices"]
    assert "bert-tiny (onnx) 0.931 at 1.10 ms" in charts[0]["aria-label"]
    titles = rendered.html.split('id="variants"')[1].split('id="benchmark"')[0].count("<title>")
    drawn = set(inputs.decision.pareto) - {"latency_p90_ms", "latency_p95_ms"}
    assert titles == len(drawn) * len(inputs.benchmark.measurements)
