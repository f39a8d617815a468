"""When there is no learning curve to train, and what the scores of one lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import PodiumConfig
from podium.records import CurvePoint, CurveRecord
from podium.stages.curve import _extrapolated, skipped_curve
from podium.stages.keys import curve_key
from podium.stages.prepare import plan_step
from podium.stages.step import StepInputs, StepRun, open_store
from podium.stages.steps import step_named
from podium.tracking import tracker_for
from tests.unit.report.samples import sample

INPUTS = sample()
STEP = step_named("curve")
SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


def config(*fractions: float, **changes: Any) -> PodiumConfig:
    part = INPUTS.run.config.learning_curve.model_copy(update={"fractions": fractions})
    return INPUTS.run.config.model_copy(update={"learning_curve": part, **changes})


def given(config: PodiumConfig, winner: str | None = "minilm") -> StepInputs:
    decision = INPUTS.decision.model_copy(update={"winner": winner})
    run = INPUTS.run.model_copy(update={"config": config})
    return StepInputs(run, (INPUTS.data, *INPUTS.studies, decision))


@pytest.mark.parametrize(
    ("fractions", "winner", "code"),
    [((), "minilm", "OFF"), ((), None, "OFF"), ((0.5,), None, "NO_WINNER"), ((0.5,), "minilm", None)],
)
def test_nothing_is_trained_that_nobody_asked_for_or_for_no_winner(
    fractions: tuple[float, ...], winner: str | None, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.stages.keys.identity_of", lambda *_: {})
    inputs = given(config(*fractions), winner)
    found = skipped_curve(inputs, curve_key(inputs))
    assert (found and (found.status, found.code)) == (("skipped", code) if code else None)
    assert found == skipped_curve(inputs, curve_key(inputs)), "a report on it is made once"


@pytest.mark.parametrize("mode", ["reuse", "force_new"])
def test_the_plan_says_that_there_is_nothing_to_do(mode: str, tmp_path: Path) -> None:
    run = INPUTS.run.model_copy(update={"config": config(store=str(tmp_path), run_mode=mode)})
    _, reason, record = plan_step(STEP, "", run, INPUTS.steps)
    assert isinstance(record, CurveRecord) and record.status == "skipped" and reason == "there is nothing to do"


def extrapolated(tmp_path: Path, shares: tuple[float, ...], test_rows: int = 425) -> CurveRecord:
    inputs = given(config(*SHARES[:-1], store=str(tmp_path)))
    decision = inputs.records[-1]
    evidence = INPUTS.decision.evidence.model_copy(update={"rows": test_rows})
    inputs = StepInputs(inputs.run, (*inputs.records[:-1], decision.model_copy(update={"evidence": evidence})))
    tracker = tracker_for(inputs.config.tracking.model_copy(update={"mode": "off"}))
    step = StepRun(**vars(inputs), store=open_store(inputs.config), tracker=tracker, key=curve_key(given(config())))
    points = tuple(
        CurvePoint(
            fraction=share,
            rows=1135 * share,
            scores=tuple(
                0.97 - 0.6 * (1135 * share) ** -0.5 + shift for shift in (-0.011, 0.001, 0.0105 - share / 1e3)
            ),
        )
        for share in shares
    )
    record = CurveRecord(key="k", status="ok", winner="minilm", metric="macro_f1", rows=1702, points=points)
    return _extrapolated(step, record)


def test_the_score_is_less_certain_than_the_gain_the_fewer_rows_are_held_out(tmp_path: Path) -> None:
    found = extrapolated(tmp_path, SHARES)
    assert found.status == "ok" and found.now and found.doubled and found.gain
    assert found.now.value < found.doubled.value and found.line[-1].rows == pytest.approx(2 * found.rows)
    assert found.doubled.high - found.doubled.low > 2 * (found.gain.high - found.gain.low)
    more = extrapolated(tmp_path, SHARES, test_rows=4 * 425).doubled
    assert more and more.high - more.low > found.doubled.high - found.doubled.low, "as wide an interval on more rows"
    assert found.figures["doubled_low"] == found.doubled.low and found.figures["rows"] == 1702


def test_a_curve_of_too_few_points_is_degraded(tmp_path: Path) -> None:
    found = extrapolated(tmp_path, SHARES[2:])
    assert (found.status, found.code, found.doubled, found.line) == ("degraded", "TOO_FEW_POINTS", None, ())
    assert list(found.figures) == ["rows"]
