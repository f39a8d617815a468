"""The tracker in processes of its own: silent, quick to start, and side by side on one sqlite file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium.config.schema import TrackingConfig
from podium.tracking import tracker_for
from podium.tracking.base import TAG_KEY

pytestmark = pytest.mark.integration

TELL = """
import logging, sys
from podium.config.schema import TrackingConfig
from podium.tracking import tracker_for
from tests.unit.tracking.support import data_record, model_record, trial_record
uri, count = sys.argv[1], int(sys.argv[2])
tracker = tracker_for(TrackingConfig(uri=uri))
run = tracker.open_run("run", {})
step = tracker.open_step(run, "hpo", {"podium.key": sys.argv[3] * 64, "podium.kind": "study"})
for number in range(count):
    tracker.log_trial(step, trial_record(number))
tracker.log_input(step, data_record(files=500), "data.csv")
tracker.log_model(step, model_record(), "store")
tracker.close(step, "FINISHED")
tracker.close(run, "FINISHED")
"""


def start(uri: str, count: int, letter: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TELL, uri, str(count), letter],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
    )


def test_processes_share_a_new_sqlite_file_and_say_nothing(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    processes = [start(uri, 5, letter) for letter in "ab"]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs == ["", ""]
    tracker = tracker_for(TrackingConfig(uri=uri))
    for letter in "ab":
        trials = tracker.runs({"podium.parent.study": letter * 64, "podium.kind": "trial"})
        folds = tracker.runs({"podium.parent.study": letter * 64, "podium.kind": "fold"})
        assert (len(trials), len(folds)) == (5, 15)
        assert {run.status for run in tracker.runs({TAG_KEY: letter * 64})} == {"FINISHED"}


def test_a_killed_process_leaves_a_database_that_others_can_use(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = tracker_for(TrackingConfig(uri=uri))
    tracker.open_run("first", {})
    process = start(uri, 1000, "c")
    while len(tracker.runs({"podium.parent.study": "c" * 64, "podium.kind": "trial"})) < 2:
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run = tracker.open_run("second", {})
    tracker.close(run, "FINISHED")
    found = tracker.run(run)
    assert found is not None and found.status == "FINISHED"
