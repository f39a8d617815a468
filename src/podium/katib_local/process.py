"""The process that stands for the pod of a trial on this machine, and what of a pod it cannot be."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.config.parameters import CategoricalParameter
from podium.errors import ConfigError
from podium.katib.experiment import KatibExperiment
from podium.katib.read import at, check_fields, required
from podium.katib.template import TrialTemplate
from podium.katib.trial import TRIAL_LABEL, field_reference, namespace_of, render, trial_labels
from podium.text import hint

TRIAL_NAME_VARIABLE = "KATIB_TRIAL_NAME"
"""What Katib's webhook adds to the environment of the primary container."""

METRICS_FILE_VARIABLE = "PODIUM_METRICS_FILE"
"""Names the file of a trial's own that its metrics are read from, for a collector of kind File."""

_GRACE_SECONDS = 30
_NO_EFFECT = "without effect on a process of this machine"
_OWN_VARIABLES = "PODIUM_"
_VARIABLE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")

_JOB_FIELDS = {
    *("activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode", "completions", "managedBy"),
    *("manualSelector", "maxFailedIndexes", "parallelism", "podFailurePolicy", "podReplacementPolicy", "selector"),
    *("successPolicy", "suspend", "template", "ttlSecondsAfterFinished"),
}
"""What a Job of batch/v1 may have in its spec."""

_JOB = {"template", "backoffLimit", "activeDeadlineSeconds", "suspend"}
_POD = {"containers", "initContainers", "restartPolicy", "activeDeadlineSeconds", "terminationGracePeriodSeconds"}
_CONTAINER = {"name", "image", "command", "args", "env", "workingDir"}
_EXECUTED = {"command", "args", "env", "envFrom", "workingDir"}
_TRAIN_JOB = {"trainer", "runtimeRef", "suspend"}
_SINGLE = {"completions", "parallelism", "numNodes", "numProcPerNode"}
"""Counts that are honoured when they are 1."""


@dataclass(frozen=True)
class Process:
    """What is executed for one trial.

    Attributes:
        arguments: the command and its arguments.
        environment: variables that the container sets, besides those of this process.
        directory: where it runs; None: where Podium was called.
        deadline: seconds after which it is stopped and the trial fails; None: never.
        grace: seconds between SIGTERM and SIGKILL.
        retries: how often it is run again after a failure.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str | None = None
    deadline: int | None = None
    grace: int = _GRACE_SECONDS
    retries: int = 0

    def variables(self) -> dict[str, str]:
        """The whole environment: this process's, without what is Podium's own, and the container's."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
        return {"PYTHONUNBUFFERED": "1", **inherited, **self.environment}

    def check(self) -> None:
        """Check that the command and the directory exist on this machine.

        Raises:
            ConfigError: one does not; the message names it.
        """
        if self.directory is not None and not Path(self.directory).is_dir():
            raise ConfigError(f"workingDir: a directory of this machine is expected, but got {self.directory!r}")
        command, variables = self.arguments[0], self.variables()
        place = str(Path(self.directory or ".", command)) if "/" in command else command
        if shutil.which(place, path=variables.get("PATH")) is None:
            similar = shutil.which("python3", path=variables.get("PATH")) if command == "python" else None
            raise ConfigError(
                f"command: {command!r} must be a program of this machine, but "
                + (f"{place} is none" if "/" in command else f"there is none in PATH={variables.get('PATH', '')}")
                + (f"; there is {similar}" if similar else "; install it, or change the command")
            )


def process_of(katib: KatibExperiment, spec: Mapping[str, Any], metrics_file: Path | None) -> Process:
    """The process of a rendered Job or TrainJob.

    Args:
        katib: the experiment.
        spec: what `podium.katib.trial.render` made.
        metrics_file: takes the place of the collector's path in command, args and env.

    Raises:
        ConfigError: what the container needs is known on a cluster only.
    """
    template, name = katib.template, spec["metadata"]["name"]
    container = _container(template, spec)

    def placed(text: object) -> str:
        return str(text) if metrics_file is None else _mentions(katib).sub(lambda _: str(metrics_file), str(text))

    variables = {TRIAL_NAME_VARIABLE: name}
    if metrics_file is not None:
        variables[METRICS_FILE_VARIABLE] = str(metrics_file)
    labels = {**trial_labels(katib), TRIAL_LABEL: name}
    for variable, value in _variables(container, lambda path: field_reference(path, spec, labels)):
        variables[variable] = _expand(placed(value), variables)
    arguments = [*(container.get("command") or ()), *(container.get("args") or ())]
    job = spec.get("spec") or {}
    pod = (job.get("template") or {}).get("spec") or {}
    deadlines = [_count(part, "activeDeadlineSeconds", 0) for part in (job, pod)]
    return Process(
        arguments=tuple(_expand(placed(argument), variables) for argument in arguments),
        environment=variables,
        directory=container.get("workingDir") or None,
        deadline=min((seconds for seconds in deadlines if seconds), default=None),
        grace=_count(pod, "terminationGracePeriodSeconds", _GRACE_SECONDS),
        retries=_count(job, "backoffLimit", 0),
    )


def _count(fields: Mapping[str, Any], name: str, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{name} >= 0 must hold for a whole number, but got {value!r}")
    return value


def _container(template: TrialTemplate, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container that trains: of a TrainJob its trainer."""
    job = spec.get("spec") or {}
    if template.kind[1] == "TrainJob":
        trainer: Mapping[str, Any] = job.get("trainer") or {}
        return trainer
    containers: list[Mapping[str, Any]] = job["template"]["spec"]["containers"]
    return next(item for item in containers if item["name"] == template.primary_container)


def check_template(katib: KatibExperiment) -> None:
    """Check that the trials of an experiment can run on this machine.

    Raises:
        ConfigError: what is executed is not as Kubernetes wants it, or known on a cluster only; the trials would never
            start; the command or its directory does not exist.
    """
    spec = katib.template.trial_spec
    named = {**(spec.get("metadata") or {}), "name": katib.experiment.name, "namespace": namespace_of(katib)}
    with at("spec.trialTemplate.trialSpec"):
        _check_container(katib.template)
        process = process_of(katib, {**spec, "metadata": named}, None)
        if "${" not in f"{process.arguments[0]}{process.directory}{process.environment.get('PATH', '')}":
            process.check()
    _check_choices(katib)


def _check_choices(katib: KatibExperiment) -> None:
    """Check that every choice can be put into the template: one with a quote may not."""
    space = katib.experiment.space
    params = space.at([0.5] * len(space.parameters))
    for name, parameter in space.parameters.items():
        for choice in parameter.choices if isinstance(parameter, CategoricalParameter) else ():
            with at(f"spec.parameters: choice {choice!r} of {name!r}"):
                render(katib, 0, {**params, name: choice})


def _check_container(template: TrialTemplate) -> None:
    from kubeflow_katib_api.models import IoK8sApiCoreV1Container

    if (template.trial_spec.get("spec") or {}).get("suspend"):
        raise ConfigError("spec.suspend: a suspended trial never starts; leave it out")
    container = _container(template, template.trial_spec)
    if template.kind[1] == "TrainJob":
        place, knows = "spec.trainer", "the runtime's trainer and its image are"
        checked = {name: container.get(name) for name in _EXECUTED}
    else:
        place, knows = f"container {template.primary_container!r}", "the image's entrypoint is"
        checked = {name: value if name in _EXECUTED else None for name, value in container.items()}
        _check_job(template.trial_spec["spec"])
    check_fields(IoK8sApiCoreV1Container, checked, place, {})
    if not container.get("command"):
        raise ConfigError(f"{place}: command must be given, because {knows} unknown on this machine")


def _check_job(job: Mapping[str, Any]) -> None:
    """Check the names of what a Job and its pod have."""
    from kubeflow_katib_api.models import IoK8sApiCoreV1PodSpec

    for name in job:
        if name not in _JOB_FIELDS:
            raise ConfigError(f"spec.{name}: no such field{hint(name, _JOB_FIELDS)}")
    check_fields(IoK8sApiCoreV1PodSpec, dict.fromkeys(job["template"]["spec"]), "spec.template.spec", {})


def _variables(container: Mapping[str, Any], field: Callable[[str], str | None]) -> Iterator[tuple[str, object]]:
    """Names and values of a container's variables.

    Raises:
        ConfigError: a value lies on a cluster.
    """
    if container.get("envFrom"):
        raise ConfigError("envFrom: ConfigMaps and Secrets lie on a cluster; give the variables in env")
    for index, item in enumerate(container.get("env") or ()):
        name, origin = required(item.get("name"), f"env[{index}].name"), item.get("valueFrom")
        if origin is None:
            yield name, item.get("value") or ""
            continue
        kind = next((kind for kind, details in origin.items() if details), "")
        if not kind:
            raise ConfigError(f"env[{index}].valueFrom: a source must be given, but got {origin}")
        details = origin[kind]
        path = details.get("fieldPath") or ""
        value = field(path) if kind == "fieldRef" else None
        if value is not None:
            yield name, value
        elif not details.get("optional"):
            raise ConfigError(
                f"env {name}: valueFrom.{kind}{f' {path}' if path else ''} is known on a cluster only; give its value"
            )


def _expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does: `$$` is a dollar sign, and an unknown name stays as it is."""
    return _VARIABLE.sub(lambda match: "$" if match[1] else variables.get(match[2], match[0]), text)


def _mentions(katib: KatibExperiment) -> re.Pattern[str]:
    """Finds the collector's file where it is a whole path."""
    return re.compile(rf"(?<![\w./-]){re.escape(katib.collector.path)}(?![\w/-]|\.\w)")


def not_honoured(katib: KatibExperiment) -> list[str]:
    """What a trial asks for that a process of this machine does not give, in words."""
    template, job = katib.template, katib.template.trial_spec.get("spec") or {}
    container = _container(template, katib.template.trial_spec)
    notes = []
    if template.kind[1] == "TrainJob":
        runtime = (job.get("runtimeRef") or {}).get("name", "")
        notes.append(
            f"runtimeRef {runtime}: the trainer's command runs, without the launcher, variables and initializers of "
            "the runtime"
        )
        notes += _others("TrainJob", job, _TRAIN_JOB)
        what = "trainer"
    else:
        what = f"container {template.primary_container}"
        pod = job["template"]["spec"]
        notes += _others("Job", job, _JOB) + _others("pod", pod, _POD)
        for name in (item["name"] for item in pod["containers"] if item["name"] != template.primary_container):
            notes.append(f"container {name}: only the primary container runs")
        for item in pod.get("initContainers") or ():
            notes.append(f"init container {item.get('name', '')}: it does not run; what it prepares must be there")
        if "backoffLimit" not in job:
            notes.append("backoffLimit is not given: a failed command is not run again (Kubernetes: 6 times)")
    image = container.get("image")
    notes.append(f"image {image}: the command runs with the programs and the directories of this machine")
    notes += _others(what, container, _CONTAINER)
    notes += [
        f"env {item['name']}: not set, because its optional source lies on a cluster"
        for item in container.get("env") or ()
        if any(isinstance(source, dict) and source.get("optional") for source in (item.get("valueFrom") or {}).values())
    ]
    if katib.collector.kind == "File" and not _mentions(katib).search(" ".join(_texts(container))):
        notes.append(
            f"metrics file {katib.collector.path}: each trial has a file of its own, and neither command, args nor env "
            f"name this path; write to the file that the variable {METRICS_FILE_VARIABLE} names"
        )
    return notes


def _others(what: str, fields: Mapping[str, Any], honoured: set[str]) -> list[str]:
    names = [
        f"{name}={value}" if name in _SINGLE else name
        for name, value in fields.items()
        if name not in honoured and value not in (None, [], {}) and not (name in _SINGLE and value == 1)
    ]
    return [f"{what}: {', '.join(names)}: {_NO_EFFECT}"] if names else []


def _texts(container: Mapping[str, Any]) -> Iterator[str]:
    yield from map(str, (*(container.get("command") or ()), *(container.get("args") or ())))
    for item in container.get("env") or ():
        yield str(item.get("value") or "")
