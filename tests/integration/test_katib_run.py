"""`podium hpo run` on files of Katib Experiments, whose trials train something real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from conftest import Finished, podium_here
from podium.strict_yaml import kubernetes_yaml
from tests.support import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[1] / "unit" / "katib" / "examples"

DESCENT = '''
"""Least squares of y = 3x by gradient descent with momentum; its loss after every epoch."""
import argparse, json, os, time
parser = argparse.ArgumentParser()
parser.add_argument("--learningRate", "--lr", type=float, dest="rate")
parser.add_argument("--momentum", type=float, default=0.0)
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--style", default="plain")
parser.add_argument("--seconds", type=float, default=0.0)
parser.add_argument("--most", type=float, default=1.0)
parser.add_argument("--free", type=int, default=1000, help="trials that do not wait for the file `go`")
options = parser.parse_args()
if options.rate > options.most:
    raise SystemExit(f"a learning rate of {options.rate} is more than {options.most}")
with open("begun.txt", "a") as begun:
    begun.write("x")
while os.path.getsize("begun.txt") > options.free and not os.path.exists("go"):
    time.sleep(0.05)
data = [(x / 10, 3 * x / 10) for x in range(-10, 11)]
weight, speed = 0.0, 0.0
for epoch in range(options.epochs):
    for x, y in data:
        speed = options.momentum * speed - options.rate * (weight * x - y) * x
        weight += speed
    loss = sum((weight * x - y) ** 2 for x, y in data) / len(data)
    accuracy = 1 / (1 + loss)
    if options.style == "plain":
        print(f"epoch={epoch} loss={loss} accuracy={accuracy}", flush=True)
    elif options.style == "json":
        with open(os.environ["PODIUM_METRICS_FILE"], "a") as stream:
            stream.write(json.dumps({"accuracy": str(accuracy), "loss": str(loss), "timestamp": time.time()}) + "\\n")
    elif options.style == "braces":
        with open(os.environ["LOG"], "a") as stream:
            stream.write(f"{{metricName: accuracy, metricValue: {accuracy:.6f}}};")
            stream.write(f"{{metricName: loss, metricValue: {loss:.6f}}}\\n")
    time.sleep(options.seconds)
'''

IRIS = '''
"""Logistic regression on iris by stochastic gradient descent; its accuracy after every epoch."""
import sys
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
rate, alpha = (float(item.partition("=")[2]) for item in sys.argv[1:3])
rows, labels = load_iris(return_X_y=True)
model = SGDClassifier("log_loss", alpha=alpha / 100, learning_rate="constant", eta0=rate, random_state=0)
for epoch in range(3):
    model.partial_fit(rows, labels, classes=[0, 1, 2])
    print(f"epoch {epoch}: loss={1 - model.score(rows, labels):.4f}")
'''


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(DESCENT)
    (tmp_path / "iris.py").write_text(IRIS)
    return tmp_path


def write(folder: Path, name: str, *options: str, script: str = "train.py", env: Any = None, **spec: Any) -> str:
    """An example without goal whose command is a script of this folder, with changes to its spec; its file name."""
    source = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    source["spec"]["objective"].pop("goal")
    source["spec"].update(spec)
    job = source["spec"]["trialTemplate"]["trialSpec"]["spec"]
    container = job["trainer"] if "trainer" in job else job["template"]["spec"]["containers"][0]
    container["command"] = [sys.executable, script, *container["command"][2:], *options]
    if env is not None:
        container["env"] = env
    (folder / f"{name}.yaml").write_text(kubernetes_yaml(source))
    return f"{name}.yaml"


def run(folder: Path, file: str, *options: str, code: int = 0) -> Finished:
    finished = podium_here(folder, "hpo", "run", file, *options)
    assert finished.code == code, finished.output
    return finished


def experiment(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / "podium-out" / "studies" / "team" / name / "experiment.yaml").read_text())


def trials(folder: Path, name: str) -> list[Any]:
    """The trials of a study by number."""
    files = (folder / "podium-out" / "studies" / "team" / name / "trials").glob("*.yaml")
    return sorted(map(yaml.safe_load, (file.read_text() for file in files)), key=number)


def number(trial: Any) -> int:
    return int(trial["metadata"]["annotations"]["podium/trial-number"])


def last(resource: Any) -> tuple[str, str]:
    (condition,) = resource["status"]["conditions"]
    return condition["type"], condition["reason"]


def assigned(trial: Any) -> dict[str, float]:
    return {item["name"]: float(item["value"]) for item in trial["spec"]["parameterAssignments"]}


def value(trial: Any, metric: str, what: str) -> float:
    return next(float(item[what]) for item in trial["status"]["observation"]["metrics"] if item["name"] == metric)


@pytest.mark.slow
def test_a_study_of_a_real_model(room: Path) -> None:
    finished = run(room, write(room, "random", script="iris.py", maxTrialCount=4, maxFailedTrialCount=1))
    assert "Outcome    Succeeded (ExperimentMaxTrialsReached)" in finished.output
    assert "not honoured: image example.org/train:1" in finished.output
    found = experiment(room, "random")
    best = min(trials(room, "random"), key=lambda trial: (value(trial, "loss", "min"), number(trial)))
    assert found["status"]["currentOptimalTrial"]["bestTrialName"] == best["metadata"]["name"]
    assert found["status"]["currentOptimalTrial"]["parameterAssignments"] == best["spec"]["parameterAssignments"]
    assert 0 <= value(best, "loss", "min") < 0.5
    assert found["status"]["trialsSucceeded"] == found["status"]["trials"] == 4


def test_the_goal_ends_a_study_and_the_yaml_says_so(room: Path) -> None:
    objective = {"type": "minimize", "goal": 100.0, "objectiveMetricName": "loss"}
    file = write(room, "random", "--seconds=0.2", objective=objective)
    done = subprocess.run(
        [sys.executable, "-m", "podium", "hpo", "run", file, "-o", "yaml"],
        cwd=room, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = yaml.safe_load(done.stdout)
    assert last(found) == ("Succeeded", "ExperimentGoalReached")
    assert found == experiment(room, "random")
    ended = [trial for trial in trials(room, "random") if last(trial)[0] == "Succeeded"]
    assert 1 <= len(ended) < 12
    assert {last(trial)[0] for trial in trials(room, "random")} <= {"Succeeded", "Killed"}
    again = run(room, file)
    assert "nothing is left to do" in again.output
    assert experiment(room, "random")["status"]["conditions"] == found["status"]["conditions"]


def test_metadata_reaches_the_trial(room: Path) -> None:
    script = "import os\nprint('loss=1')\nprint(*(os.environ[f'TRIAL{n}'] for n in ('NAME', 'TEAM')))"
    (room / "names.py").write_text(script)
    few = {"maxTrialCount": 2, "parallelTrialCount": 1, "maxFailedTrialCount": 1}
    run(room, write(room, "trial-metadata", script="names.py", **few))
    for trial in trials(room, "trial-metadata"):
        log = Path(trial["metadata"]["annotations"]["podium/log"])
        assert log.read_text().splitlines()[-1] == f"{trial['metadata']['name']} vision"


def test_median_stopping_stops_what_is_worse(room: Path) -> None:
    file = write(room, "median-stop", parallelTrialCount=1, maxTrialCount=6)
    run(room, file)
    found = trials(room, "median-stop")
    stopped = [trial for trial in found if last(trial)[0] == "EarlyStopped"]
    assert stopped and last(found[0])[0] == "Succeeded"
    for trial in found:
        rules = trial["spec"].get("earlyStoppingRules")
        assert (rules is None) == (number(trial) == 0)
        if rules:
            assert rules[0]["comparison"] == "greater" and rules[0]["startStep"] == 2
            worse = [line for line in log_of(trial) if line.startswith("epoch=1")]
            judged = float(worse[0].split("loss=")[1].split()[0])
            assert (judged > float(rules[0]["value"])) == (trial in stopped)
    for trial in stopped:
        assert len(trial["status"]["observation"]["metrics"]) == 1
    assert experiment(room, "median-stop")["status"]["trialsEarlyStopped"] == len(stopped)


def log_of(trial: Any) -> list[str]:
    return Path(trial["metadata"]["annotations"]["podium/log"]).read_text().splitlines()


def test_too_many_failures_fail_the_experiment(room: Path) -> None:
    file = write(room, "random", "--most=0.0", parallelTrialCount=1)
    command = [sys.executable, "-m", "podium", "hpo", "run", file, "-o", "yaml"]
    done = subprocess.run(command, cwd=room, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: experiment random: Experiment has failed because max failed count has reached" in done.stderr
    found = experiment(room, "random")
    assert yaml.safe_load(done.stdout) == found
    assert last(found) == ("Failed", "ExperimentFailed")
    assert found["status"]["trialsFailed"] == 3
    for trial in trials(room, "random"):
        assert last(trial) == ("Failed", "TrialFailed")
        rate = assigned(trial)["lr"]
        message = trial["status"]["conditions"][-1]["message"]
        assert f"exit code 1: a learning rate of {rate} is more than 0.0" in message


@pytest.mark.parametrize(
    ("name", "style", "env"),
    [
        ("file-collector", "braces", [{"name": "LOG", "value": "/metrics/train.log"}]),
        ("file-collector-json", "json", None),
    ],
)
def test_parallel_trials_have_files_of_their_own(room: Path, name: str, style: str, env: Any) -> None:
    run(
        room,
        write(room, name, f"--style={style}", env=env, maxTrialCount=4, maxFailedTrialCount=1),
    )
    found = trials(room, name)
    files = list((room / "podium-out" / "studies" / "team" / name / "metrics").glob("*/*"))
    assert len(files) == len(found)
    for trial in found:
        assert value(trial, "accuracy", "min") <= value(trial, "accuracy", "latest") <= value(trial, "accuracy", "max")
        assert value(trial, "loss", "min") < value(trial, "loss", "max")
    assert len({value(trial, "accuracy", "latest") for trial in found}) == len(found)


def test_metric_strategies_choose_the_best_trial(room: Path) -> None:
    strategies = [{"name": "loss", "value": "latest"}, {"name": "accuracy", "value": "min"}]
    objective = {
        "type": "maximize",
        "objectiveMetricName": "accuracy",
        "additionalMetricNames": ["loss"],
        "metricStrategies": strategies,
    }
    run(room, write(room, "metric-strategies", maxTrialCount=5, maxFailedTrialCount=1, objective=objective))
    best = max(trials(room, "metric-strategies"), key=lambda trial: value(trial, "accuracy", "min"))
    found = experiment(room, "metric-strategies")["status"]["currentOptimalTrial"]
    assert found["bestTrialName"] == best["metadata"]["name"]


def test_a_train_job(room: Path) -> None:
    finished = run(room, write(room, "trainjob", maxTrialCount=2, parallelTrialCount=2, maxFailedTrialCount=1))
    assert "not honoured: runtimeRef torch-distributed" in finished.output
    assert "not honoured: trainer: numNodes=2: without effect" in finished.output
    assert experiment(room, "trainjob")["status"]["trialsSucceeded"] == 2


def test_trials_without_metrics_and_trials_that_diverge(room: Path) -> None:
    (room / "quiet.py").write_text("print('accuracy=0.5')")
    file = write(room, "random", script="quiet.py", maxTrialCount=2, parallelTrialCount=2, maxFailedTrialCount=None)
    finished = run(room, file, code=1)
    assert "max trial count has reached, but no trial gave a value of its objective" in finished.output
    found = experiment(room, "random")
    assert last(found) == ("Succeeded", "ExperimentMaxTrialsReached")
    assert found["status"]["trialMetricsUnavailable"] == 2
    unavailable = trials(room, "random")[0]
    assert last(unavailable) == ("MetricsUnavailable", "TrialMetricsUnavailable")
    assert unavailable["status"]["observation"]["metrics"][0]["latest"] == "unavailable"

    parameters = [
        {"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "1e200", "max": "1e201"}},
        {"name": "momentum", "parameterType": "double", "feasibleSpace": {"min": "0.5", "max": "0.9"}},
    ]
    file = write(room, "random", "--most=inf", parameters=parameters, maxFailedTrialCount=2, parallelTrialCount=1)
    run(room, file, "--fresh", code=1)
    diverged = yaml.safe_load((room / "podium-out/studies/team/random.0002/experiment.yaml").read_text())
    assert diverged["status"]["trialsFailed"] == 2
    (message, *_) = [
        yaml.safe_load(path.read_text())["status"]["conditions"][-1]["message"]
        for path in (room / "podium-out/studies/team/random.0002/trials").glob("*.yaml")
    ]
    assert "NonFiniteLoss: the objective must be finite, but line 1 of the output reports loss=" in message


def test_two_that_begin_anew_at_once_are_two_studies(room: Path) -> None:
    file = write(room, "random", "--seconds=0.1", maxTrialCount=2, parallelTrialCount=1, maxFailedTrialCount=1)
    command = [sys.executable, "-m", "podium", "hpo", "run", file, "--fresh"]
    both = [subprocess.Popen(command, cwd=room, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(PATIENCE_SECONDS) for process in both] == [0, 0]
    studies = {folder.name for folder in (room / "podium-out" / "studies" / "team").iterdir()}
    assert studies == {"random", "random.0002"}


@pytest.fixture
def stopped(room: Path, interruptible: None) -> Iterator[subprocess.Popen[bytes]]:
    """A study of six trials, of which two have ended and two are under way."""
    file = write(room, "random", "--free=2", maxTrialCount=6, parallelTrialCount=2)
    process = subprocess.Popen(
        [sys.executable, "-m", "podium", "hpo", "run", file],
        cwd=room, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    eventually(lambda: len(_ended(room)) >= 2)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ended(room: Path) -> list[Any]:
    folder = room / "podium-out" / "studies" / "team" / "random" / "trials"
    return [trial for trial in map(yaml.safe_load, (file.read_text() for file in folder.glob("[!.]*.yaml")))
            if trial and "completionTime" in trial["status"]]  # fmt: skip


@pytest.mark.parametrize(("number_of", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_study_that_was_stopped_goes_on(
    room: Path, stopped: subprocess.Popen[bytes], number_of: signal.Signals, code: int
) -> None:
    workers = psutil.Process(stopped.pid).children(recursive=True)
    stopped.send_signal(number_of)
    told, errors = (stream.decode() for stream in stopped.communicate(timeout=PATIENCE_SECONDS))
    assert stopped.returncode == code
    if code > 0:
        assert "stopped after" in told and "failed after" not in told
        assert errors == "stopped; run the same command again to go on from what is stored\n"
    psutil.wait_procs(workers, PATIENCE_SECONDS)
    assert not [process for process in workers if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    before = {trial["metadata"]["name"]: trial["status"] for trial in _ended(room)}
    assert len(before) == 2
    (room / "go").touch()
    run(room, "random.yaml")
    after = {trial["metadata"]["name"]: trial["status"] for trial in trials(room, "random")}
    assert len(after) == 6
    assert {name: after[name] for name in before} == before
    assert experiment(room, "random")["status"]["trialsSucceeded"] == 6


def test_a_larger_budget_restarts_what_may_be_restarted(room: Path) -> None:
    run(room, write(room, "long-running-resume", maxTrialCount=2, parallelTrialCount=2, maxFailedTrialCount=1))
    file = write(room, "long-running-resume", maxTrialCount=3, parallelTrialCount=2, maxFailedTrialCount=1)
    plan = run(room, file, "--dry-run").output
    assert "Reused: 3 trials, 2 at once; 2 are done" in plan
    run(room, file)
    status = experiment(room, "long-running-resume")["status"]
    assert [item["type"] for item in status["conditions"]] == ["Succeeded"]
    assert status["trialsSucceeded"] == 3


def test_a_dry_run_shows_the_plan_and_writes_nothing(room: Path) -> None:
    plan = run(room, write(room, "trial-metadata"), "--dry-run").output
    assert "maxTrialCount: 12" in plan and "distribution: uniform" in plan and "value: min" in plan
    assert "First trial: trial-metadata-" in plan and "train.py --learningRate=0.0" in plan
    assert "TRIALTEAM=vision" in plan
    assert "Not honoured: image example.org/train:1" in plan and "Reused: nothing" in plan
    assert not (room / "podium-out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maxTrialCount": 0}, "spec.maxTrialCount must be greater than 0, but got 0"),
        ({"algorithm": {"algorithmName": "rando"}}, "spec.algorithm.algorithmName: 'rando' is not expected"),
    ],
)
def test_bad_files_are_named_with_their_field(room: Path, changes: Any, message: str) -> None:
    assert f"error: random.yaml: {message}" in run(room, write(room, "random", **changes), code=2).output


@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_an_algorithm_that_cannot_run_here_is_named_with_its_field(room: Path, option: list[str]) -> None:
    settings = [{"name": "acq_func", "value": "LCB"}]
    file = write(room, "random", algorithm={"algorithmName": "bayesianoptimization", "algorithmSettings": settings})
    assert "error: random.yaml: spec.algorithm: " in run(room, file, *option, code=2).output


def test_a_file_and_a_command_that_are_missing(room: Path) -> None:
    assert "error: none.yaml: a file with a Katib Experiment is expected" in run(room, "none.yaml", code=2).output
    (room / "random.yaml").write_text((EXAMPLES / "random.yaml").read_text().replace("python3", "no-such-program"))
    message = "spec.trialTemplate.trialSpec: command: 'no-such-program' must be a program of this machine"
    assert message in run(room, "random.yaml", code=2).output
    assert not (room / "podium-out").exists()
