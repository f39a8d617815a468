"""`podium hpo run` killed with all that it started, and run again."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from podium.hpo.ledger import TrialLedger
from podium.katib.experiment import from_katib
from podium.katib_local.study import LocalStudy
from podium.records import TrialRecord

from .harness import Marked

pytestmark = pytest.mark.integration

TRIALS = 9

SCRIPT = """
import os, sys, time
rate = float(sys.argv[1])
with open("journal.txt", "a") as journal:
    journal.write(os.environ["KATIB_TRIAL_NAME"] + "\\n")
for epoch in range(1, 4):
    time.sleep(0.1)
    print(f"loss={(rate - 0.03) ** 2 + 1 / epoch}", flush=True)
"""

EXPERIMENT: dict[str, Any] = {
    "apiVersion": "kubeflow.org/v1beta1",
    "kind": "Experiment",
    "metadata": {"name": "chaos"},
    "spec": {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "parallelTrialCount": 2,
        "maxTrialCount": TRIALS,
        "maxFailedTrialCount": 0,
        "parameters": [
            {"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.01", "max": "0.05"}},
        ],
        "trialTemplate": {
            "primaryContainerName": "main",
            "trialParameters": [{"name": "rate", "reference": "lr"}],
            "trialSpec": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [
                                {
                                    "name": "main",
                                    "image": "example.org/train:1",
                                    "command": [sys.executable, "train.py", "${trialParameters.rate}"],
                                }
                            ],
                        }
                    },
                },
            },
        },
    },
}


def command(folder: Path) -> Marked:
    return Marked([sys.executable, "-m", "podium", "hpo", "run", "experiment.yaml", "--seed", "5"], folder, folder)


def room(folder: Path) -> Path:
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return folder


def ledger(folder: Path) -> TrialLedger:
    katib = from_katib((folder / "experiment.yaml").read_text(), 5)
    return LocalStudy(katib, folder / "podium-out", fresh=False).ledger


def begun(folder: Path) -> list[str]:
    journal = folder / "journal.txt"
    return journal.read_text().splitlines() if journal.exists() else []


def outcomes(trials: tuple[TrialRecord, ...]) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.params, trial.status, trial.score, trial.metrics) for trial in trials]


def to_the_end(folder: Path) -> tuple[TrialRecord, ...]:
    process = command(folder)
    assert process.process.wait(200) == 0, (folder / "output.txt").read_text()[-4000:]
    process.assert_gone()
    return ledger(folder).finished()


@pytest.mark.slow
def test_the_command_goes_on_from_where_its_process_group_was_killed(tmp_path: Path) -> None:
    folder, chance = room(tmp_path / "disturbed"), random.Random(7)
    kept: dict[int, TrialRecord] = {}
    for _ in range(2):
        running, target = command(folder), len(begun(folder)) + chance.randint(1, 3)
        while len(begun(folder)) < target and running.process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.1))
        os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()
        running.assert_gone()
        ended = {trial.number: trial for trial in ledger(folder).finished()}
        assert {number: ended.get(number) for number in kept} == kept
        kept = ended
    executed = Counter(begun(folder))
    trials = to_the_end(folder)
    assert {trial.number: trial for trial in trials if trial.number in kept} == kept
    repeated = sum(count > executed[name] for name, count in Counter(begun(folder)).items())
    assert repeated == TRIALS - len(kept)
    assert outcomes(trials) == outcomes(to_the_end(room(tmp_path / "undisturbed")))


def session_of_a_script(running: Marked) -> int | None:
    """The worker that runs a trial's command: it leads the session."""
    with suppress(psutil.Error, ProcessLookupError):
        for process in running.living():
            if "train.py" in process.cmdline():
                return os.getsid(process.pid)
    return None


@pytest.mark.slow
def test_a_killed_worker_of_the_command_is_replaced(tmp_path: Path) -> None:
    folder = room(tmp_path / "disturbed")
    running = command(folder)
    worker = None
    while worker is None:
        assert running.process.poll() is None
        worker = session_of_a_script(running)
    assert worker != running.process.pid
    os.kill(worker, signal.SIGKILL)
    assert running.process.wait(200) == 0, (folder / "output.txt").read_text()[-4000:]
    running.assert_gone()
    trials = ledger(folder).finished()
    assert [trial.kills for trial in trials if trial.kills] == [1]
    assert outcomes(trials) == outcomes(to_the_end(room(tmp_path / "undisturbed")))
