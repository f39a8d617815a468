"""What a dry run says of studies; the whole plan is tested with a real run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import PodiumConfig
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import LEDGERS
from podium.stages import keys, steps
from podium.stages.prepare import plan_step
from podium.stages.steps import step_named
from podium.store.store import ArtifactStore
from tests.unit.report.samples import sample

INPUTS = sample()
BACKBONE = INPUTS.studies[0].backbone


def config(tmp_path: Path, **changes: Any) -> PodiumConfig:
    found = INPUTS.run.config
    return found.model_copy(update={"store": str(tmp_path), "hpo": found.hpo.model_copy(update=changes)})


@pytest.fixture(autouse=True)
def backbone_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_backbone_digest", lambda _: "digest")


def reason(asked: PodiumConfig) -> str:
    run = INPUTS.run.model_copy(update={"config": asked})
    return plan_step(step_named("hpo"), BACKBONE, run, {"prepare": INPUTS.data})[1]


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    key = keys.study_key(config(tmp_path), INPUTS.data, BACKBONE, "digest")
    return TrialLedger(ArtifactStore(str(tmp_path)).documents(f"{LEDGERS}/{key.digest}/main"))


def fill(ledger: TrialLedger, ended: int, failed: int = 0, running: int = 0) -> None:
    for number in range(ended + running):
        claim = ledger.begin(number, {"learning_rate": 1e-4})
        if number < failed:
            ledger.fail(claim, "OutOfMemory", "full")
        elif number < ended:
            ledger.finish(claim, 0.5)


def test_a_study_without_trials_is_new(tmp_path: Path) -> None:
    assert reason(config(tmp_path)) == "no study is stored"


def test_a_killed_study_goes_on(tmp_path: Path, ledger: TrialLedger) -> None:
    fill(ledger, 3, running=2)
    assert reason(config(tmp_path)) == "its ledger has 3 of 8 trials and 2 that were cut off; it would go on from there"
    assert reason(config(tmp_path).model_copy(update={"run_mode": "force_new"})) == "run_mode=force_new"


def test_a_failed_study_says_what_lets_it_go_on(tmp_path: Path, ledger: TrialLedger) -> None:
    fill(ledger, 4, failed=4)
    assert reason(config(tmp_path)) == (
        "its ledger has 4 of 8 trials, and 4 failed; it would fail again unless hpo.max_failed_trials is raised"
    )
    assert reason(config(tmp_path, max_failed_trials=4)) == "its ledger has 4 of 8 trials; it would go on from there"


def test_a_stored_study_is_extended_by_a_larger_budget_or_a_higher_goal(tmp_path: Path, ledger: TrialLedger) -> None:
    fill(ledger, 8)
    key = keys.study_key(config(tmp_path), INPUTS.data, BACKBONE, "digest")
    ArtifactStore(str(tmp_path)).put(
        key, INPUTS.studies[0].model_copy(update={"key": key.digest, "trials": ledger.trials(), "best": 0})
    )
    assert reason(config(tmp_path)).startswith("stored ")
    assert reason(config(tmp_path, max_trials=9)) == "its ledger has 8 of 9 trials; it would go on from there"
    assert reason(config(tmp_path, max_trials=9, goal=0.5)).startswith("stored ")
    assert reason(config(tmp_path, max_trials=9, goal=0.6)).endswith("it would go on from there")
