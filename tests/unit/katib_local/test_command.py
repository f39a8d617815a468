"""What of a pod becomes a process of this machine, what is reported, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from podium.errors import ConfigError
from podium.katib.experiment import KatibExperiment, from_katib, render, trial_name
from podium.katib_local.command import LocalCommand, check_template, local_command, not_honoured

from ..katib.test_experiment import document

PARAMS = {"lr": 0.02, "momentum": 0.7}


def katib(name: str = "random", job: Any = None, pod: Any = None, **container: Any) -> KatibExperiment:
    source = document(name)
    spec = source["spec"]["trialTemplate"]["trialSpec"]["spec"]
    spec.update(job or {})
    target = spec["trainer"] if "trainer" in spec else spec["template"]["spec"]["containers"][0]
    target.update(container)
    if "template" in spec:
        spec["template"]["spec"].update(pod or {})
    return from_katib(source)


def command(experiment: KatibExperiment, metrics_file: Path | None = None) -> LocalCommand:
    return local_command(experiment, render(experiment, 0, PARAMS), metrics_file)


def arguments(*words: str) -> list[str]:
    """A command that names both parameters, as the template has to, and more."""
    return ["run", "${trialParameters.learningRate}", "${trialParameters.momentum}", *words]


def test_command_and_args_come_one_after_the_other() -> None:
    found = command(katib(command=arguments(), args=["--quiet", "a b"]))
    assert found.arguments == ("run", "0.02", "0.7", "--quiet", "a b")
    assert found == LocalCommand(found.arguments, {"KATIB_TRIAL_NAME": trial_name(katib(), 0)})


def test_a_train_job_runs_its_trainer() -> None:
    found = command(katib("trainjob"))
    assert found.arguments == ("python3", "train.py", "--lr=0.02", "--momentum=0.7")


def test_variables_are_expanded_as_kubernetes_does() -> None:
    environment = [
        {"name": "BASE", "value": "/data"},
        {"name": "TRAIN", "value": "$(BASE)/train"},
        {"name": "LATER", "value": "$(AFTER)"},
        {"name": "AFTER"},
        {"name": "ESCAPED", "value": "$$(BASE) $BASE $(BASE"},
    ]
    found = command(katib(command=arguments("$(TRAIN)", "$$(TRAIN)", "$(HOME)"), env=environment))
    assert found.arguments[3:] == ("/data/train", "$(TRAIN)", "$(HOME)")
    assert {name: found.environment[name] for name in ("TRAIN", "LATER", "AFTER", "ESCAPED")} == {
        "TRAIN": "/data/train",
        "LATER": "$(AFTER)",
        "AFTER": "",
        "ESCAPED": "$(BASE) $BASE $(BASE",
    }


def test_limits_of_job_and_pod() -> None:
    found = command(
        katib(
            job={"backoffLimit": 2, "activeDeadlineSeconds": 60},
            pod={"activeDeadlineSeconds": 30, "terminationGracePeriodSeconds": 3},
        )
    )
    assert (found.retries, found.deadline, found.grace) == (2, 30, 3)


class TestMetricsFile:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("/metrics/train.log", "/own/train.log"),
            ("--log=/metrics/train.log", "--log=/own/train.log"),
            ("tee '/metrics/train.log'; cat /metrics/train.log", "tee '/own/train.log'; cat /own/train.log"),
            ("/metrics/train.log.bak", "/metrics/train.log.bak"),
            ("/old/metrics/train.log", "/old/metrics/train.log"),
            ("/metrics/train.logs", "/metrics/train.logs"),
            ("/metrics", "/metrics"),
        ],
    )
    def test_its_path_is_replaced_where_it_stands_alone(self, given: str, expected: str) -> None:
        found = command(
            katib("file-collector", command=arguments(given), env=[{"name": "LOG", "value": given}]),
            Path("/own/train.log"),
        )
        assert (found.arguments[3], found.environment["LOG"]) == (expected, expected)

    def test_a_variable_names_it(self) -> None:
        found = command(katib("file-collector"), Path("/own/train.log"))
        assert found.environment["PODIUM_METRICS_FILE"] == "/own/train.log"

    def test_a_command_that_does_not_name_it_is_reported(self) -> None:
        assert "PODIUM_METRICS_FILE" in not_honoured(katib("file-collector"))[-1]
        named = katib("file-collector", args=["--log=/metrics/train.log"])
        assert not any("PODIUM_METRICS_FILE" in note for note in not_honoured(named))


class TestReported:
    def test_of_a_job(self) -> None:
        notes = not_honoured(
            katib(
                job={"backoffLimit": 0, "parallelism": 2, "completions": 1, "ttlSecondsAfterFinished": 5},
                pod={
                    "nodeSelector": {"gpu": "yes"},
                    "volumes": [{"name": "data"}],
                    "initContainers": [{"name": "get"}],
                },
                resources={"limits": {"cpu": 1}},
                workingDir="/",
            )
        )
        assert notes == [
            "init container get: it does not run; what it prepares must be there",
            "Job: parallelism=2, ttlSecondsAfterFinished: without effect on a process of this machine",
            "pod: nodeSelector, volumes: without effect on a process of this machine",
            "container training-container: resources: without effect on a process of this machine",
            "image example.org/train:1: the command runs with the programs and the directories of this machine",
        ]

    def test_of_a_train_job(self) -> None:
        notes = not_honoured(katib("trainjob", resourcesPerNode={"limits": {"cpu": 1}}))
        assert notes[0].startswith("runtimeRef torch-distributed: ")
        assert notes[1] == ("trainer: numNodes=2, resourcesPerNode: without effect on a process of this machine")

    def test_other_containers_and_the_backoff_limit(self) -> None:
        source = document()
        containers = source["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
        containers.append({"name": "proxy", "image": "proxy"})
        notes = not_honoured(from_katib(source))
        assert notes[0] == "container proxy: only the primary container runs"
        assert notes[1].startswith("backoffLimit is not given: a failed command is not run again")

    def test_an_optional_source_of_a_variable(self) -> None:
        secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}}
        experiment = katib(env=[secret])
        assert "env TOKEN: not set, because its optional source is on a cluster" in not_honoured(experiment)
        assert "TOKEN" not in command(experiment).environment


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"command": None, "args": arguments()},
                "'training-container': command must be given, because the image's",
            ),
            (
                {"command": "sh", "args": arguments()},
                r"trialSpec\.spec\.template\.spec\.containers\[0\]\.command: Input should be a valid list",
            ),
            ({"args": [5]}, r"args\[0\]: Input should be a valid string, but got 5; write it in quotes"),
            ({"workingdir": "/"}, "workingdir: no such field.*workingDir"),
            ({"env": [{"value": "x"}]}, r"env\[0\].name: must be given"),
            ({"envFrom": [{"configMapRef": {"name": "c"}}]}, "envFrom: ConfigMaps and Secrets are on a cluster"),
            (
                {"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
                "env T: valueFrom secretKeyRef is known on a cluster only; give its value",
            ),
            (
                {"env": [{"name": "T", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
                r"env T: valueFrom fieldRef is known on a cluster only; .* such as \$\{trialSpec\.Name\}",
            ),
            (
                {"command": ["/absent", *arguments()]},
                "'/absent' must be a program of this machine, but /absent is none",
            ),
            ({"job": {"activeDeadlineSecond": 5}}, r"spec\.activeDeadlineSecond: no such field; did you mean 'active"),
            ({"pod": {"nodeselector": {}}}, r"spec\.template\.spec\.nodeselector: no such field; did you mean 'nodeS"),
            ({"job": {"suspend": True}}, "a suspended trial never starts"),
            (
                {"job": {"backoffLimit": -1}},
                r"spec\.backoffLimit: .* greater than or equal to 0, but got -1",
            ),
            ({"job": {"activeDeadlineSeconds": "5"}}, "activeDeadlineSeconds: .*; write it without quotes: 5"),
            ({"command": ["no-such-program", *arguments()]}, "'no-such-program' must be a program of this machine"),
            (
                {"command": ["./absent", *arguments()]},
                "'./absent' must be a program of this machine, but absent is none",
            ),
            ({"workingDir": "/no/such/place"}, "workingDir: a directory of this machine is expected"),
        ],
    )
    def test_before_the_first_trial(self, changes: Any, message: str) -> None:
        changes = {"command": [sys.executable, *arguments()], **changes}
        with pytest.raises(ConfigError, match=message):
            check_template(katib(**changes))

    def test_a_train_job_without_a_command(self) -> None:
        with pytest.raises(ConfigError, match=r"spec\.trainer: command must be given, because the runtime's trainer"):
            check_template(katib("trainjob", command=None, args=arguments()))

    def test_a_missing_python_names_the_one_that_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "python3").write_text("#!/bin/sh\n")
        (tmp_path / "python3").chmod(0o755)
        environment = [{"name": "PATH", "value": str(tmp_path)}]
        with pytest.raises(ConfigError, match=f"there is none in PATH={tmp_path}; there is {tmp_path}/python3"):
            check_template(katib(command=["python", *arguments()], env=environment))

    def test_a_command_that_depends_on_the_trial_is_not_looked_for(self) -> None:
        check_template(katib(command=["/opt/${trialParameters.learningRate}/run", "${trialParameters.momentum}"]))


def test_the_environment_is_that_of_this_machine_and_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_EVENTS", "/events")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    variables = command(katib(env=[{"name": "EXTRA", "value": "1"}])).variables()
    assert "PODIUM_EVENTS" not in variables
    assert (variables["OMP_NUM_THREADS"], variables["EXTRA"], variables["PYTHONUNBUFFERED"]) == ("7", "1", "1")
