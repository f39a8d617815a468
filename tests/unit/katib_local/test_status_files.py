"""The files that show a local study while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.katib.experiment import trial_name
from podium.katib_local import status
from podium.katib_local.status import StatusWriter
from podium.records import TrialRecord

from .test_status import katib, trial


def writer(directory: Path, *trials: TrialRecord) -> StatusWriter:
    return StatusWriter(katib(), directory, trials, outcome=None)


def state(directory: Path, number: int) -> Any:
    path = directory / "trials" / f"{trial_name(katib(), number)}.yaml"
    return yaml.safe_load(path.read_text())["status"]["conditions"][0]["type"] if path.exists() else None


def test_every_change_is_shown_at_once(tmp_path: Path) -> None:
    shown = writer(tmp_path)
    shown.show(trial(0, "running"))
    assert state(tmp_path, 0) == "Running"
    shown.show(trial(0, loss=0.5))
    assert state(tmp_path, 0) == "Succeeded"
    assert yaml.safe_load((tmp_path / "experiment.yaml").read_text()) == shown.resource()
    assert shown.resource()["status"]["trialsSucceeded"] == 1


def test_trials_of_earlier_sessions_are_written_again(tmp_path: Path) -> None:
    shown = writer(tmp_path, trial(0, loss=0.5))
    shown.show(trial(0, loss=0.5))
    assert state(tmp_path, 0) is None
    shown.show(trial(1, "running"))
    assert (state(tmp_path, 0), state(tmp_path, 1)) == ("Succeeded", "Running")


def test_what_runs_when_the_study_is_over_was_killed(tmp_path: Path) -> None:
    shown = writer(tmp_path, trial(0, loss=0.5), trial(1, "running"))
    shown.write()
    shown.outcome = "goal"
    shown.write()
    assert (state(tmp_path, 0), state(tmp_path, 1)) == ("Succeeded", "Killed")


def test_a_full_disk_is_an_error_of_the_last_write_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = writer(tmp_path)

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(status, "write_text", full)
        shown.show(trial(0, loss=0.5))
        with pytest.raises(OSError, match="No space left"):
            shown.write()
    shown.write()
    assert state(tmp_path, 0) == "Succeeded"


def test_a_long_study_writes_its_experiment_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_EVERY_CHANGE", 2)
    shown = writer(tmp_path)
    counts = []
    for number in range(6):
        shown.show(trial(number, "running"))
        assert state(tmp_path, number) == "Running"
        counts.append(yaml.safe_load((tmp_path / "experiment.yaml").read_text())["status"]["trials"])
    assert counts == [1, 2, 2, 4, 4, 4]
    shown.write()
    assert yaml.safe_load((tmp_path / "experiment.yaml").read_text())["status"]["trials"] == 6
