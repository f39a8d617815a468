"""The lines that a user reads at the end of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.config.schema import EntrantConfig
from podium.keys import Key
from podium.records import Measurement, Reason, Verdict
from podium.report import render
from podium.selection.decision import FEW_TEST_ROWS
from podium.stages import report as module
from podium.stages.report import _latency_text, _summary, compute
from podium.stages.step import StepRun
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from tests.unit.profiling.samples import profile_record
from tests.unit.report.samples import failed_entrant, sample


def test_the_verdict_says_how_many_entrants_competed_and_each_failure_its_remedy_and_log() -> None:
    inputs = sample()
    assert _summary(inputs)["lines"]["Verdict"].startswith("PROMOTE\n")
    assert "Failed" not in _summary(inputs)["lines"]
    entrants = {**inputs.run.config.entrants, "large": EntrantConfig(path="pkg:large/model")}
    run = inputs.run.model_copy(update={"config": inputs.run.config.model_copy(update={"entrants": entrants})})
    found = _summary(sample(run=run, failed=(failed_entrant("large"),)))
    assert found["lines"]["Verdict"].startswith("PROMOTE (2 of 3 entrants competed; large failed)\n- ")
    assert found["lines"]["Failed"] == (
        "hpo-large: a training must fit into memory, but it ran out; lower training.batch_size\n"
        "  log: /runs/1/steps/hpo-x/log.txt"
    )
    assert found["failed"] == {"large": failed_entrant("large").error}


def test_the_verdict_says_what_the_plan_left_out() -> None:
    given = sample()
    plan = given.steps["plan"].model_copy(update={"left_out": {"large": "it does not fit; raise plan.time_limit"}})
    inputs = replace(given, steps={**given.steps, "plan": plan})
    assert _summary(inputs)["lines"]["Verdict"].startswith("PROMOTE (2 of 3 entrants competed; large left out by the")
    page = render(inputs).html
    assert "large was left out by the plan: it does not fit" in page and "2 of 3 entrants competed" in page


def test_the_verdict_ends_with_the_cautions_of_the_data() -> None:
    data = sample().data.model_copy(update={"cautions": ("texts that name their own label: 8 of 9",)})
    found = _summary(sample(data=data))["lines"]["Verdict"]
    assert found.startswith("PROMOTE, with caution\n")
    assert found.endswith("\n- Caution: texts that name their own label: 8 of 9.")
    page, usual = render(sample(data=data)).html, render(sample()).html
    assert "Read the caution first." in page and "Read the caution first." not in usual
    assert 'class="headline is-PROMOTE careful"' in page and 'class="headline is-PROMOTE"' in usual


@pytest.mark.parametrize(("verdict", "said"), [("PROMOTE", "PROMOTE, with caution"), ("HOLD", "HOLD")])
def test_a_promotion_whose_score_may_not_hold_is_one_with_caution(verdict: Verdict, said: str) -> None:
    reason = Reason(code=FEW_TEST_ROWS, text="Only 12 rows.")
    decision = sample().decision.model_copy(update={"verdict": verdict, "reasons": (reason,)})
    assert _summary(sample(decision=decision))["lines"]["Verdict"] == f"{said}\n- Only 12 rows."


def test_one_duplicate_is_no_plural() -> None:
    one = sample(data=sample().data.model_copy(update={"duplicates": 1}))
    assert "; 1 duplicate dropped" in _summary(one)["lines"]["Data"]


def test_less_than_a_millisecond_has_two_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = sample().winner_measurement
    assert measured is not None
    median = measured.latency[0]
    for value, text in ((0.0798, "p50 0.08 ms at"), (12.34, "p50 12.3 ms at")):
        shown = (median.model_copy(update={"value_ms": value}),)
        monkeypatch.setattr(Measurement, "latency", property(lambda _, shown=shown: shown))
        assert _latency_text(measured).startswith(text)


def test_the_registered_version_names_the_profile_of_the_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, tagged, profile = sample(), [], profile_record()
    report = SimpleNamespace(save=lambda folder: (folder.mkdir(parents=True), (folder / "report.html").touch()))
    monkeypatch.setattr(module, "render", lambda shown: report)
    monkeypatch.setattr(module, "_summary", lambda shown: {})
    monkeypatch.setattr(module, "_texts", lambda step: {})

    class Tags(Tracker):
        def tag_version(self, *what: Any) -> None:
            tagged.append(what)

    for one in (given.profile, profile):
        steps, store = {**given.steps, "profile": one}, ArtifactStore(str(tmp_path / one.status))
        compute(StepRun(given.run, tuple(steps.values()), store=store, tracker=Tags(), key=Key.of("report")))
    assert tagged == [("bbc-news", "4", {"podium.profile": profile.key})], "and none where it was skipped"
