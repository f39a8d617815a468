"""What only Katib needs of an experiment: how a trial is executed, and where its metrics are read from."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from podium.errors import ConfigError
from podium.text import hint

PLACEHOLDER = re.compile(r"\$\{trialParameters\.(.+?)\}")
_METADATA = re.compile(r"\$\{trialSpec\.(.+?)\}")
_INDEXED = re.compile(r"(.+)\[(.+)]")
_PLAIN_KEYS = ("Name", "Namespace", "Kind", "APIVersion")
_ONLY_PYTHON = re.compile(
    r"\(\?(?:<?[=!]|[>#(]|P=|[a-zA-Z-]*[aLux])"
    r"|\\[1-9ZuUN]"
    r"|[*+?}]\+"
    r"|\{,\d|\{(?:\d+,)?[1-9]\d{3}"
)

"""Parts of a regular expression that Go's RE2 lacks or reads otherwise.

Look-around, atomic and conditional groups, the flags a, L, u and x; back references, `\\Z` and characters by their code
or name; possessive repetitions; those from nothing, and those of 1000 and more.
"""

_ONLY_GO = re.compile(r"\[\^?\[:\^?[a-z]+:\]")
"""A class that RE2 knows by name, and Python takes for its letters."""

_COMPLETE = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
_FAILED = 'status.conditions.#(type=="Failed")#|#(status=="True")#'
_TRAIN_JOB_LABELS = {
    "jobset.sigs.k8s.io/replicatedjob-name": "node",
    "batch.kubernetes.io/job-completion-index": "0",
}
_KINDS: dict[tuple[str, str], dict[str, str]] = {
    ("batch/v1", "Job"): {},
    ("trainer.kubeflow.org/v1alpha1", "TrainJob"): _TRAIN_JOB_LABELS,
}
"""Default labels of the primary pod, by apiVersion and kind of what may be a trial."""

_SHAPE: dict[str, Any] = {
    "metadata": {"labels": {}, "annotations": {}},
    "spec": {
        "template": {"metadata": {"labels": {}, "annotations": {}}, "spec": {"containers": [], "initContainers": []}},
        "runtimeRef": {},
        "trainer": {},
    },
}
"""What of a Job or a TrainJob has fields, and what is a list of such."""

NO_FILTER = "JSON needs no filter; leave it out or set format to TEXT"
DEFAULT_METRICS_FILE = "/var/log/katib/metrics.log"


@dataclass(frozen=True)
class TrialParameter:
    """A placeholder `${trialParameters.<name>}` of the trial spec and what stands in its place.

    Attributes:
        name: of the placeholder.
        reference: a parameter of the space, or metadata of the trial such as `${trialSpec.Name}`.
        description: for people.
    """

    name: str
    reference: str
    description: str = ""


@dataclass(frozen=True)
class TrialTemplate:
    """How a trial is executed; conditions and labels that are left out become Katib's defaults for the kind.

    Attributes:
        primary_container: name of the container that trains.
        parameters: the placeholders of `trial_spec`.
        trial_spec: a Job or a TrainJob without name and namespace.
        success_condition: GJSON path that holds once a trial succeeded.
        failure_condition: the same of a failed one.
        retain: whether the resources of a trial that ended are kept.
        primary_pod_labels: of the pod whose metrics are read.
    """

    primary_container: str
    parameters: tuple[TrialParameter, ...]
    trial_spec: Mapping[str, Any]
    success_condition: str = ""
    failure_condition: str = ""
    retain: bool = False
    primary_pod_labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = _KINDS.get(self.kind, {})
        object.__setattr__(self, "primary_pod_labels", dict(self.primary_pod_labels or labels))
        object.__setattr__(self, "success_condition", self.success_condition or _COMPLETE)
        object.__setattr__(self, "failure_condition", self.failure_condition or _FAILED)

    @property
    def kind(self) -> tuple[str, str]:
        """apiVersion and kind of the trial spec; empty where they are absent."""
        return str(self.trial_spec.get("apiVersion") or ""), str(self.trial_spec.get("kind") or "")

    def check(self, parameters: Collection[str], path: str) -> None:
        """Check the template against the names of the space's parameters.

        Raises:
            ConfigError: with the path of the field, below `path`, that breaks a rule.
        """
        if not self.primary_container:
            raise ConfigError(f"{path}.primaryContainerName: must be given")
        self._check_spec(f"{path}.trialSpec")
        for name, condition, known in (
            ("successCondition", self.success_condition, _COMPLETE),
            ("failureCondition", self.failure_condition, _FAILED),
        ):
            if condition != known:
                raise ConfigError(
                    f"{path}.{name}: a process on this machine succeeds or fails by its exit code, which is what "
                    f"{known!r} means, but got {condition!r}; leave it out"
                )
        self._check_parameters(parameters, f"{path}.trialParameters")
        declared = {parameter.name for parameter in self.parameters}
        for name in PLACEHOLDER.findall(json.dumps(self.trial_spec, ensure_ascii=False)):
            if name not in declared:
                raise ConfigError(
                    f"{path}.trialSpec: ${{trialParameters.{name}}} is not among the trialParameters"
                    f"{hint(name, declared)}"
                )
        unused = sorted(set(parameters) - {parameter.reference for parameter in self.parameters})
        if unused:
            raise ConfigError(
                f"{path}.trialParameters: every parameter of the space must reach the trial, but nothing refers to "
                f"{', '.join(unused)}"
            )

    def _check_spec(self, path: str) -> None:
        if self.kind not in _KINDS:
            known = " or ".join(f"{kind} of {version}" for version, kind in _KINDS)
            raise ConfigError(
                f"{path}: a trial that this machine can execute is a {known}, but got kind={self.kind[1]!r}, "
                f"apiVersion={self.kind[0]!r}"
            )
        _check_shape(self.trial_spec, _SHAPE, path)
        try:
            json.dumps(self.trial_spec, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: {error}") from error
        metadata = self.trial_spec.get("metadata") or {}
        for name in ("name", "namespace"):
            if metadata.get(name):
                raise ConfigError(f"{path}.metadata.{name}: every trial gets its own, but got {metadata[name]!r}")
        if self.kind[1] == "Job":
            here = f"{path}.spec.template.spec.containers"
            try:
                names = [container["name"] for container in self.trial_spec["spec"]["template"]["spec"]["containers"]]
            except (KeyError, TypeError) as error:
                raise ConfigError(f"{here}: a Job must list containers with their names") from error
            if self.primary_container not in names:
                raise ConfigError(f"{here}: one must be the primary container {self.primary_container!r}, got {names}")

    def _check_parameters(self, parameters: Collection[str], path: str) -> None:
        names: set[str] = set()
        references: set[str] = set()
        text = json.dumps(self.trial_spec, ensure_ascii=False)
        for index, parameter in enumerate(self.parameters):
            here = f"{path}[{index}]"
            if not parameter.name or "{" in parameter.name or "}" in parameter.name:
                raise ConfigError(f"{here}.name: a name without braces must be given, but got {parameter.name!r}")
            if not parameter.reference:
                raise ConfigError(f"{here}.reference: must be given")
            if parameter.name in names:
                raise ConfigError(f"{here}.name: names must differ, but {parameter.name!r} is given twice")
            if parameter.reference in references:
                raise ConfigError(f"{here}.reference: references must differ, but {parameter.reference!r} comes twice")
            names.add(parameter.name)
            references.add(parameter.reference)
            if parameter.reference not in parameters:
                self._check_metadata(parameter.reference, parameters, f"{here}.reference")
            if f"${{trialParameters.{parameter.name}}}" not in text:
                raise ConfigError(f"{here}.name: ${{trialParameters.{parameter.name}}} must be in the trialSpec")

    def _check_metadata(self, reference: str, parameters: Collection[str], path: str) -> None:
        if _METADATA.fullmatch(reference) is None:
            raise ConfigError(f"{path}: {reference!r} is no parameter of the space{hint(reference, parameters)}")
        key, index = metadata_reference(reference)
        if index is None and key in _PLAIN_KEYS:
            return
        if index is None or key not in ("Labels", "Annotations"):
            keys = (*_PLAIN_KEYS, "Labels[...]", "Annotations[...]")
            raise ConfigError(f"{path}: a trial has no metadata {key!r}{hint(key, keys)}")
        held = (self.trial_spec.get("metadata") or {}).get(key.lower()) or {}
        if index not in held:
            raise ConfigError(f"{path}: trialSpec.metadata.{key.lower()} must have {index!r}")


def compiled(expression: str) -> re.Pattern[str]:
    """A filter of metrics; like Go's, its classes know ASCII only.

    Raises:
        re.error, OverflowError, RecursionError: it is no regular expression.
    """
    with warnings.catch_warnings():
        # Of `[[`, which may mean a set of sets one day; RE2 reads it as Python does now.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(expression, re.ASCII)


def _check_shape(value: object, shape: object, path: str) -> None:
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise ConfigError(f"{path}: a list is expected, but got {value!r}")
        for index, item in enumerate(value):
            _check_shape(item, {}, f"{path}[{index}]")
    elif not isinstance(value, Mapping):
        raise ConfigError(f"{path}: fields are expected, but got {value!r}")
    elif isinstance(shape, dict):
        for name, inner in shape.items():
            if value.get(name) is not None:
                _check_shape(value[name], inner, f"{path}.{name}")


def metadata_reference(reference: str) -> tuple[str, str | None]:
    """Key and index of a reference to metadata: `${trialSpec.Labels[team]}` is `Labels`, `team`."""
    match = _METADATA.fullmatch(reference)
    key = match[1] if match else reference
    indexed = _INDEXED.fullmatch(key)
    return (indexed[1], indexed[2]) if indexed else (key, None)


@dataclass(frozen=True)
class MetricsCollector:
    """Where the metrics of a trial are read from: its output, or a file it writes.

    Attributes:
        kind: StdOut or File.
        path: absolute path of the file in the primary container; empty for StdOut.
        format: TEXT: lines `name=value` or such as `metrics_format` finds; JSON: one object a line.
        metrics_format: regular expressions whose first two groups are name and value; empty: Katib's default one.
    """

    kind: Literal["StdOut", "File"] = "StdOut"
    path: str = ""
    format: Literal["TEXT", "JSON"] = "TEXT"
    metrics_format: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "File":
            object.__setattr__(self, "path", self.path or DEFAULT_METRICS_FILE)

    def check(self, path: str) -> None:
        """Check the collector.

        Raises:
            ConfigError: with the path of the field, below `path`, that breaks a rule.
        """
        here = f"{path}.source.fileSystemPath"
        if self.kind == "StdOut" and (self.path or self.format != "TEXT"):
            raise ConfigError(f"{here}: a collector of kind StdOut reads the output of the trial, and no file")
        file = PurePosixPath(self.path)
        if self.kind == "File" and (not file.is_absolute() or file.name in ("", "..")):
            raise ConfigError(f"{here}.path: an absolute path of a file is expected, but got {self.path!r}")
        if self.format == "JSON" and self.metrics_format:
            raise ConfigError(f"{path}.source.filter: {NO_FILTER}")
        for index, expression in enumerate(self.metrics_format):
            where = f"{path}.source.filter.metricsFormat[{index}]"
            try:
                groups = compiled(expression).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ConfigError(f"{where}: {expression!r} is no regular expression: {error}") from error
            bare = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\[^1-9ZuUN]", "x", expression))
            if _ONLY_GO.search(expression):
                raise ConfigError(f"{where}: {expression!r}: write the characters of a class such as [:alpha:] out")
            if _ONLY_PYTHON.search(bare):
                raise ConfigError(f"{where}: {expression!r} has a construct that Katib's regular expressions lack")
            if groups < 2:
                raise ConfigError(f"{where}: two groups, for name and value, are expected, but got {expression!r}")
