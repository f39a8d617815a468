"""The command of a Katib trial on this machine, and what its template asks for that a process cannot have."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.errors import ConfigError
from podium.katib.experiment import KatibExperiment
from podium.katib.read import at

TRIAL_NAME_VARIABLE = "KATIB_TRIAL_NAME"
"""Katib's webhook adds this variable to the environment of the primary container."""

METRICS_FILE_VARIABLE = "PODIUM_METRICS_FILE"
"""Names the file from which a trial's metrics are read, for a collector of kind File. Each trial has its own."""

_GRACE_SECONDS = 30
_OWN_VARIABLES = "PODIUM_"
_VARIABLE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")

_JOB = {"template", "backoffLimit", "activeDeadlineSeconds", "suspend"}
_POD = {"containers", "initContainers", "restartPolicy", "activeDeadlineSeconds", "terminationGracePeriodSeconds"}
_CONTAINER = {"name", "image", "command", "args", "env", "workingDir"}
_TRAIN_JOB = {"trainer", "runtimeRef", "suspend"}
_COUNTS = {"completions", "parallelism", "numNodes", "numProcPerNode"}
"""Fields that are honoured when they are 1."""


@dataclass(frozen=True)
class LocalCommand:
    """The command of one trial.

    Attributes:
        arguments: the program and its arguments.
        environment: variables that the container sets; the others are those of this process.
        directory: where it runs; None for the directory from which Podium was called.
        deadline: seconds after which it is stopped and the trial fails; None for no limit.
        grace: seconds between SIGTERM and SIGKILL.
        retries: how often it is run again after a failure.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path | None = None
    deadline: int | None = None
    grace: int = _GRACE_SECONDS
    retries: int = 0

    def variables(self) -> dict[str, str]:
        """The whole environment: this process's variables except Podium's own, and the container's."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
        return {"PYTHONUNBUFFERED": "1", **inherited, **self.environment}

    def check(self) -> None:
        """Check that the program and the directory exist on this machine."""
        if self.directory is not None and not self.directory.is_dir():
            raise ConfigError(f"workingDir: a directory of this machine is expected, but got '{self.directory}'")
        command, variables = self.arguments[0], self.variables()
        place = str(Path(self.directory or ".", command)) if "/" in command else command
        if shutil.which(place, path=variables.get("PATH")) is None:
            similar = shutil.which("python3", path=variables.get("PATH")) if command == "python" else None
            raise ConfigError(
                f"command: {command!r} must be a program of this machine, but "
                + (f"{place} is none" if "/" in command else f"there is none in PATH={variables.get('PATH', '')}")
                + (f"; there is {similar}" if similar else "; install it, or change the command")
            )


def local_command(katib: KatibExperiment, spec: Mapping[str, Any], metrics_file: Path | None) -> LocalCommand:
    """The command of a rendered Job or TrainJob.

    Args:
        spec: made by `podium.katib.experiment.render`.
        metrics_file: replaces the collector's path in command, args and env.

    Raises:
        ConfigError: a variable's value is known on a cluster only.
    """
    container = katib.template.container(spec)
    variables = {TRIAL_NAME_VARIABLE: str(spec["metadata"]["name"])}
    if metrics_file is not None:
        variables[METRICS_FILE_VARIABLE] = str(metrics_file)

    def final(text: str) -> str:
        """A text with the metrics file and `$(NAME)` replaced; as in Kubernetes, `$$` is a dollar sign."""
        placed = text if metrics_file is None else _path_of_metrics(katib).sub(lambda _: str(metrics_file), text)
        return _VARIABLE.sub(lambda match: "$" if match[1] else variables.get(match[2], match[0]), placed)

    for name, value in _variables(container):
        variables[name] = final(value)
    job = spec.get("spec") or {}
    pod = (job.get("template") or {}).get("spec") or {}
    grace = pod.get("terminationGracePeriodSeconds")
    deadlines = [part["activeDeadlineSeconds"] for part in (job, pod) if part.get("activeDeadlineSeconds")]
    return LocalCommand(
        arguments=tuple(final(argument) for argument in _arguments(container)),
        environment=variables,
        directory=Path(container["workingDir"]) if container.get("workingDir") else None,
        deadline=min(deadlines, default=None),
        grace=_GRACE_SECONDS if grace is None else grace,
        retries=job.get("backoffLimit") or 0,
    )


def check_template(katib: KatibExperiment) -> None:
    """Check that the trials of an experiment can run: that command, directory and variables are on this machine."""
    template = katib.template
    spec = template.trial_spec
    with at("spec.trialTemplate.trialSpec"):
        if spec["spec"].get("suspend"):
            raise ConfigError("spec.suspend: a suspended trial never starts; leave it out")
        if not template.container(spec).get("command"):
            place, known = (
                ("spec.trainer", "runtime's trainer")
                if template.kind[1] == "TrainJob"
                else (f"container {template.primary_container!r}", "image's entrypoint")
            )
            raise ConfigError(f"{place}: command must be given, because the {known} is unknown on this machine")
        command = local_command(katib, {**spec, "metadata": {"name": ""}}, None)
        if "${" not in f"{command.arguments[0]}{command.directory}{command.environment.get('PATH', '')}":
            command.check()


def not_honoured(katib: KatibExperiment) -> list[str]:
    """What a trial asks for that a process of this machine does not have, in words."""
    template = katib.template
    job, container = template.trial_spec["spec"], template.container(template.trial_spec)
    if template.kind[1] == "TrainJob":
        runtime = (job.get("runtimeRef") or {}).get("name", "")
        notes = [f"runtimeRef {runtime}: the trainer's command runs without what the runtime adds to it"]
        parts = [("TrainJob", job, _TRAIN_JOB), ("trainer", container, _CONTAINER)]
    else:
        pod = job["template"]["spec"]
        others = [item["name"] for item in pod["containers"] if item["name"] != template.primary_container]
        prepared = [item["name"] for item in pod.get("initContainers") or ()]
        notes = [f"container {name}: only the primary container runs" for name in others]
        notes += [f"init container {name}: it does not run; what it prepares must be there" for name in prepared]
        if job.get("backoffLimit") is None:
            notes.append("backoffLimit is not given: a failed command is not run again (Kubernetes: 6 times)")
        parts = [("Job", job, _JOB), ("pod", pod, _POD), (f"container {container['name']}", container, _CONTAINER)]
    for what, fields, honoured in parts:
        names = [
            f"{name}={value}" if name in _COUNTS else name
            for name, value in fields.items()
            if name not in honoured and value not in (None, [], {}) and not (name in _COUNTS and value == 1)
        ]
        if names:
            notes.append(f"{what}: {', '.join(names)}: without effect on a process of this machine")
    notes.append(
        f"image {container.get('image')}: the command runs with the programs and the directories of this machine"
    )
    optional = [item["name"] for item in container.get("env") or () if _is_optional(item)]
    notes += [f"env {name}: not set, because its optional source is on a cluster" for name in optional]
    texts = [*_arguments(container), *(value for _, value in _variables(container))]
    if katib.collector.kind == "File" and not _path_of_metrics(katib).search(" ".join(texts)):
        notes.append(
            f"metrics file {katib.collector.path}: each trial has a file of its own, and neither command, args nor env "
            f"name this path; write to the file that the variable {METRICS_FILE_VARIABLE} names"
        )
    return notes


def _arguments(container: Mapping[str, Any]) -> list[str]:
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def _variables(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of a container's variables; a ConfigError where a value is known on a cluster only."""
    if container.get("envFrom"):
        raise ConfigError("envFrom: ConfigMaps and Secrets are on a cluster; give the variables in env")
    for item in container.get("env") or ():
        if item.get("valueFrom") is None:
            yield item["name"], item.get("value") or ""
        elif not _is_optional(item):
            raise ConfigError(
                f"env {item['name']}: valueFrom {', '.join(item['valueFrom'])} is known on a cluster only; give its "
                "value, or for metadata of the trial a trial parameter such as ${trialSpec.Name}"
            )


def _is_optional(variable: Mapping[str, Any]) -> bool:
    return any((source or {}).get("optional") for source in (variable.get("valueFrom") or {}).values())


def _path_of_metrics(katib: KatibExperiment) -> re.Pattern[str]:
    """Finds the path of the collector's file, unless it is a part of another path."""
    return re.compile(rf"(?<![\w./-]){re.escape(katib.collector.path)}(?![\w/-]|\.\w)")
