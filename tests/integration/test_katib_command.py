"""Commands of Katib trials, run as processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from podium.errors import (
    ComputationFailed,
    MetricsUnavailable,
    NonFiniteLoss,
    PodiumError,
    ProcessKilled,
    TimeLimitExceeded,
)
from podium.hpo.engines import TrialResult
from podium.hpo.ledger import TrialLedger
from podium.katib.experiment import from_katib
from podium.katib_local.runner import CommandRunner
from podium.records import Observed, StoppingRule
from podium.store.store import ArtifactStore

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[1] / "unit" / "katib" / "examples"
PARAMS = {"lr": 0.02, "momentum": 0.7}
SECOND_REPORT = StoppingRule(algorithm="medianstop", direction="minimize", compared="best", thresholds={2: 0.5})
"""Stops a trial whose loss is above 0.5 at its second report."""


class Room:
    """One trial in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        name: str = "random",
        job: Any = None,
        pod: Any = None,
        **container: Any,
    ):
        source = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
        spec = source["spec"]["trialTemplate"]["trialSpec"]["spec"]
        spec.update(job or {})
        spec["template"]["spec"].update(pod or {})
        spec["template"]["spec"]["containers"][0].update(container)
        self.trial = CommandRunner(from_katib(source), directory / "logs", directory / "metrics")
        self.ledger = TrialLedger(ArtifactStore(str(directory / "store")).documents("ledger"))
        self.log = directory / "logs" / "trial-000000.log"

    def run(self, rule: StoppingRule | None = None) -> TrialResult:
        claim = self.ledger.begin(0, PARAMS, rule=rule)
        result: TrialResult = in_a_session(self.trial, claim, self.ledger)
        return result

    def reports(self) -> list[float]:
        return [report.value for report in self.ledger.trials()[0].reports]


def in_a_session(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a process that leads a session, as the workers of a pool do."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_lead, args=(theirs, function, args))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    if isinstance(result, Exception):
        raise result
    return result


def _lead(answer: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.setsid()
    try:
        answer.send(function(*args))
    except Exception as error:
        answer.send(error)


def shell(script: str) -> dict[str, Any]:
    """A command that runs a script, and names the parameters as the template has to."""
    return {"command": ["sh", "-c", script, "${trialParameters.learningRate}", "${trialParameters.momentum}"]}


def running(marker: str) -> list[int]:
    """Processes whose command line has the marker."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if marker in shlex.join(process.info["cmdline"] or []):
            found.append(process.info["pid"])
    return found


def test_metrics_are_collected_and_reported(tmp_path: Path) -> None:
    room = Room(tmp_path, **shell("echo loss=$0; echo noise; echo 'loss=0.5 accuracy=1' >&2; printf loss=$1"))
    result = room.run()
    assert result == TrialResult(0.02, {"loss": Observed(min=0.02, max=0.7, latest=0.7)})
    assert room.reports() == [0.02, 0.5, 0.7]
    assert room.log.read_text() == "loss=0.02\nnoise\nloss=0.5 accuracy=1\nloss=0.7"


def test_a_strategy_chooses_the_value(tmp_path: Path) -> None:
    room = Room(tmp_path, "metric-strategies", **shell("echo accuracy=0.9 loss=3; echo accuracy=0.8 loss=2"))
    result = room.run()
    assert result.score == 0.8
    assert result.metrics["loss"] == Observed(min=2.0, max=3.0, latest=2.0)


def test_the_command_sees_its_environment_and_directory(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    environment = [{"name": "LOSS", "value": "0.25"}]
    script = "pwd; echo $KATIB_TRIAL_NAME; read line || echo no input; echo loss=$LOSS"
    room = Room(tmp_path, env=environment, workingDir=str(tmp_path / "work"), **shell(script))
    assert room.run().score == 0.25
    directory, name, nothing, _ = room.log.read_text().splitlines()
    assert (directory, nothing) == (str(tmp_path / "work"), "no input")
    assert name.startswith("random-")


def test_a_file_of_text_is_collected(tmp_path: Path) -> None:
    line = "{metricName: %s, metricValue: %s}\\n"
    script = (
        f"printf '{line}' accuracy 0.5 loss 3 >/metrics/train.log; printf '{line}' accuracy 0.9 >>/metrics/train.log"
    )
    room = Room(tmp_path, "file-collector", **shell(script))
    assert room.run().metrics == {"accuracy": Observed(min=0.5, max=0.9, latest=0.9), "loss": Observed.of([3.0])}
    assert room.reports() == [0.5, 0.9]
    (file,) = (tmp_path / "metrics").glob("*/train.log")
    assert "accuracy" in file.read_text()


def test_a_file_that_the_variable_names_is_collected(tmp_path: Path) -> None:
    script = """echo '{"accuracy": "0.8"}' >$PODIUM_METRICS_FILE; echo '{"accuracy": "0.9"}' >>$PODIUM_METRICS_FILE"""
    room = Room(tmp_path, "file-collector-json", **shell(script))
    assert room.run().metrics["accuracy"] == Observed(min=0.8, max=0.9, latest=0.9)


def test_a_file_that_is_written_anew_counts_as_it_is_in_the_end(tmp_path: Path) -> None:
    script = """for value in 0.5 0.6; do echo "{\\"accuracy\\": \\"$value\\"}" >/metrics/train.json; sleep 0.2; done"""
    room = Room(tmp_path, "file-collector-json", **shell(script))
    assert room.run().metrics["accuracy"] == Observed.of([0.6])


def test_a_json_file_that_is_none_fails_the_trial(tmp_path: Path) -> None:
    room = Room(tmp_path, "file-collector-json", **shell("echo accuracy=1 >/metrics/train.json"))
    with pytest.raises(ComputationFailed, match=r"line of /metrics/train.json must be a JSON object, but line 1"):
        room.run()


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("echo loss=1; echo no such bank >&2; exit 3", ComputationFailed, "ended with exit code 3: no such bank$"),
        ("exit 4", ComputationFailed, "ended with exit code 4, and no output"),
        ("echo dying; kill -SEGV $$$$", ProcessKilled, "was ended by SIGSEGV: dying"),
        ("kill -KILL $$$$", ProcessKilled, "was ended by SIGKILL"),
        ("echo accuracy=1", MetricsUnavailable, "must report its objective 'loss', but the output has 1 lines"),
        ("true", MetricsUnavailable, "the output has 0 lines"),
        ("echo loss=1; echo loss=nan; exit 3", NonFiniteLoss, "line 2 of the output reports loss=nan"),
    ],
)
def test_how_a_trial_fails(tmp_path: Path, script: str, kind: type[PodiumError], message: str) -> None:
    with pytest.raises(PodiumError, match=message) as caught:
        Room(tmp_path, **shell(script)).run()
    assert type(caught.value) is kind


def test_a_program_that_is_missing_fails_the_trial(tmp_path: Path) -> None:
    command = ["${trialParameters.learningRate}", "${trialParameters.momentum}"]
    with pytest.raises(ComputationFailed, match=r"the command: '0.02' cannot be run: .*No such file"):
        Room(tmp_path, command=command).run()


def test_a_trial_is_stopped_while_it_runs(tmp_path: Path) -> None:
    marker = f"marker-{os.getpid()}"
    script = f"echo loss=0.9; echo loss=0.8; echo loss=0.1; sleep 600 & exec sleep 601 {marker}"
    room = Room(tmp_path, command=["sh", "-c", script.replace(f" {marker}", ""), *shell("")["command"][3:], marker])
    result = room.run(SECOND_REPORT)
    assert result == TrialResult(
        0.8,
        {"loss": Observed(min=0.8, max=0.9, latest=0.8)},
        pruned="medianstop: at report 2 the best value was worse than 0.5",
    )
    assert room.reports() == [0.9, 0.8]
    assert not running(marker)


def test_a_command_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    script = "trap '' TERM; echo loss=0.9; echo loss=0.8; while true; do sleep 0.1; done"
    room = Room(tmp_path, pod={"terminationGracePeriodSeconds": 1}, **shell(script))
    started = time.monotonic()
    assert room.run(SECOND_REPORT).pruned is not None
    assert time.monotonic() - started >= 1


def test_a_command_may_end_in_good_order_when_it_is_stopped(tmp_path: Path) -> None:
    script = "trap 'echo saved; exit 0' TERM; echo loss=0.9; echo loss=0.8; while true; do sleep 0.05; done"
    room = Room(tmp_path, **shell(script))
    assert room.run(SECOND_REPORT).pruned is not None
    assert room.log.read_text().endswith("saved\n")


def test_a_trial_that_is_better_than_its_rule_runs_to_its_end(tmp_path: Path) -> None:
    result = Room(tmp_path, **shell("echo loss=0.9; echo loss=0.4; echo loss=0.8")).run(SECOND_REPORT)
    assert result == TrialResult(0.4, {"loss": Observed(min=0.4, max=0.9, latest=0.8)})


def test_a_deadline_ends_the_trial(tmp_path: Path) -> None:
    room = Room(tmp_path, job={"activeDeadlineSeconds": 1, "backoffLimit": 3}, **shell("echo loss=1; sleep 600"))
    with pytest.raises(TimeLimitExceeded, match="must end within activeDeadlineSeconds=1, but did not"):
        room.run()


def test_a_failed_command_is_run_again_up_to_the_backoff_limit(tmp_path: Path) -> None:
    count = f"echo x >>{tmp_path}/runs; test $(wc -l <{tmp_path}/runs) -gt"
    room = Room(tmp_path, job={"backoffLimit": 2}, **shell(f"echo loss=0.5; {count} 2 && echo loss=0.4"))
    result = room.run()
    assert result.metrics["loss"] == Observed(min=0.4, max=0.5, latest=0.4)
    assert room.reports() == [0.5, 0.5, 0.5, 0.4]
    (tmp_path / "again").mkdir()
    with pytest.raises(ComputationFailed, match="exit code 1"):
        Room(tmp_path / "again", job={"backoffLimit": 2}, **shell(f"{count} 9")).run()
    assert len((tmp_path / "runs").read_text().splitlines()) == 6


@pytest.mark.parametrize(("line", "error"), [("nothing", MetricsUnavailable), ("loss=nan", NonFiniteLoss)])
def test_a_command_that_ended_well_is_not_run_again(tmp_path: Path, line: str, error: type[PodiumError]) -> None:
    room = Room(tmp_path, job={"backoffLimit": 2}, **shell(f"echo {line}"))
    with pytest.raises(error):
        room.run()
    assert room.log.read_text() == f"{line}\n"


def test_many_reports_are_kept_in_order(tmp_path: Path) -> None:
    room = Room(tmp_path, **shell("for i in $(seq 2000); do echo loss=$i; done"))
    assert room.run().score == 1.0
    assert room.reports() == [float(number) for number in range(1, 2001)]


def test_a_worker_loads_nothing_heavy(tmp_path: Path) -> None:
    room = Room(tmp_path, **shell("echo loss=1"))
    (tmp_path / "job").write_bytes(pickle.dumps((room.trial, room.ledger.begin(0, PARAMS), room.ledger)))
    script = (
        "import os, pickle, sys; os.setsid(); trial, *rest = pickle.load(open('job', 'rb')); trial(*rest); "
        "print(*{'torch', 'optuna', 'mlflow', 'kubeflow_katib_api', 'kfp'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert room.reports() == [1.0]
