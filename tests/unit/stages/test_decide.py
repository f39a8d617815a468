"""When a stored decision is still in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.records import Incumbent
from podium.stages import steps as rules
from podium.stages.keys import decision_key
from podium.stages.step import StepInputs, open_store
from podium.stages.steps import still_holds
from podium.tracking import RegistryState
from tests.unit.report.samples import sample

INPUTS = sample()
PROMOTED = INPUTS.decision.model_copy(
    update={"verdict": "PROMOTE", "registered": {"name": "m", "version": "1", "alias": "champion"}}
)


def champion(decision_key: str) -> Incumbent:
    return Incumbent(
        name="m", version="1", model_digest="d", model_key="k", metric="macro_f1", score=0.5, decision_key=decision_key
    )


@pytest.mark.parametrize(
    ("began_with", "now", "holds"),
    [
        (champion(PROMOTED.key), None, True),
        (None, champion(PROMOTED.key), True),
        (None, None, False),
        (None, champion("another"), False),
    ],
    ids=["in place", "put in place by a run beside this one", "lost by the registry", "replaced"],
)
def test_a_promotion_holds_while_its_champion_is_in_place(
    began_with: Incumbent | None, now: Incumbent | None, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "registry_state", lambda *_: RegistryState(now))
    run = INPUTS.run.model_copy(update={"incumbent": began_with})
    assert still_holds(run, PROMOTED) is holds


@pytest.mark.parametrize(("verdict", "same"), [("PROMOTE", True), ("HOLD", False)])
def test_a_champion_that_won_on_this_very_evidence_is_judged_as_it_was_then(
    verdict: str, same: bool, tmp_path: Path
) -> None:
    """One that people promoted after a HOLD is the incumbent like any other."""
    config = INPUTS.run.config.model_copy(update={"store": str(tmp_path)})
    run = INPUTS.run.model_copy(update={"config": config})
    key = decision_key(run, INPUTS.selection, INPUTS.benchmark, None)
    stored = INPUTS.decision.model_copy(update={"key": key.digest, "verdict": verdict, "incumbent": None})
    open_store(config).put(key, stored)
    began = run.model_copy(update={"incumbent": champion(key.digest)})
    found = rules.judged_against(StepInputs(began, (INPUTS.selection, INPUTS.benchmark)))
    assert found == (None if same else began.incumbent)


def test_a_rollback_is_evidence_where_it_concerns_a_champion() -> None:
    entry = INPUTS.selection.leaderboard[0]

    def key(**withdrawn: str) -> str:
        run = INPUTS.run.model_copy(update={"withdrawn": withdrawn})
        return decision_key(run, INPUTS.selection, INPUTS.benchmark, None).digest

    assert key(another="x") == key()
    assert len({key(), key(**{entry.model_digest: "x"}), key(**{entry.model_digest: "y"})}) == 3


def test_a_decision_that_promoted_nothing_always_holds() -> None:
    assert still_holds(INPUTS.run, PROMOTED.model_copy(update={"verdict": "HOLD"}))
