from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podium.errors import ConfigError, OutOfMemory, StudyFailed
from podium.events import ENV_FILE
from podium.hpo.engines.base import Engine, OnTrial
from podium.hpo.engines.embedded import EmbeddedEngine
from podium.hpo.experiment import Experiment, Objective
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.records import TrialRecord

from .conformance import PARAMS
from .support import InlinePool, Trial, experiment, file_ledger


class Refuses(Engine):
    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        raise AssertionError("no engine is needed")


def test_a_ledger_of_another_study_is_refused(tmp_path: Path) -> None:
    ledger = file_ledger(tmp_path)
    ledger.finish(ledger.begin(0, {**PARAMS, "learning_rate": 0.5}), 0.1)
    with pytest.raises(ConfigError, match=r"trial 0 of the ledger does not belong to study synthetic: .*learning_rate"):
        run_study(experiment(), ledger, Refuses())


def test_a_long_list_of_errors_is_cut(tmp_path: Path) -> None:
    ledger = file_ledger(tmp_path)
    for number in range(9):
        ledger.fail(ledger.begin(number, PARAMS), "OutOfMemory", f"OutOfMemory: {number}")
    with pytest.raises(StudyFailed, match="trial 4: OutOfMemory: 4; and 4 more") as error:
        run_study(experiment(max_trials=20), ledger, Refuses())
    assert "trial 5" not in str(error.value)


def test_progress_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(
        tmp_path / "executed", errors={1: OutOfMemory("full")}, scores={0: 3.0, 2: 5.0, 3: 4.0, 4: 2.0, 5: 1.0}
    )
    engine = EmbeddedEngine(trial, InlinePool(), tmp_path / "logs")
    ledger = file_ledger(tmp_path)
    objective = Objective(metric="score", direction="minimize")
    run_study(experiment(max_trials=3, parallel_trials=1, objective=objective), ledger, engine)
    monkeypatch.setenv(ENV_FILE, str(tmp_path / "events"))
    run_study(experiment(max_trials=6, parallel_trials=1, objective=objective), ledger, engine)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    started = [event for event in events if event["event"] == "trial_started"]
    ended = [event for event in events if event["event"] == "trial_finished"]
    assert [event["number"] for event in started] == [event["number"] for event in ended] == list(range(6))
    assert [event["best"] for event in ended] == [3.0, 3.0, 3.0, 3.0, 2.0, 1.0]
    assert [event["score"] for event in ended] == [3.0, None, 5.0, 4.0, 2.0, 1.0]
    assert [event["found"] for event in ended] == [True] * 3 + [False] * 3
    assert ended[1]["error"].startswith("OutOfMemory: full")
    assert ended[1]["status"] == "failed"
    new = {name: started[4][name] for name in ("backbone", "folds", "attempt")}
    assert new == {"backbone": "synthetic", "folds": 2, "attempt": 1}
    assert started[4]["params"] == ended[4]["params"] == ledger.trials()[4].params


def scored(number: int, score: float | None, status: Any = "succeeded") -> TrialRecord:
    return TrialRecord(number=number, params={}, status=status, score=score)


def test_the_best_trial_succeeded_and_has_the_lowest_number_of_equals() -> None:
    trials = [scored(4, 0.5), scored(2, 0.7), scored(1, 0.9, "pruned"), scored(3, 0.7), scored(0, None, "failed")]
    assert best_trial(trials, "maximize").number == 2
    assert best_trial(trials, "minimize").number == 4
    assert best_trial(trials[::-1], "maximize").number == 2


def test_without_a_succeeded_trial_there_is_no_best() -> None:
    with pytest.raises(StudyFailed, match="none of 0 did: no trial failed either"):
        best_trial([], "maximize")
