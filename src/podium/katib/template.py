"""What only Katib needs of an experiment: how a trial is executed, and where its metrics are read from."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, create_model
from pydantic.alias_generators import to_camel

from podium.errors import ConfigError
from podium.katib.read import check_model, given, one_of, required
from podium.text import hint

PLACEHOLDER = re.compile(r"\$\{trialParameters\.(.+?)\}")
COMPLETE = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
FAILED = 'status.conditions.#(type=="Failed")#|#(status=="True")#'
DEFAULT_METRICS_FILE = "/var/log/katib/metrics.log"

METADATA = re.compile(r"\$\{trialSpec\.(?:(Name|Namespace|Kind|APIVersion)|(Labels|Annotations)\[(.+)])\}")
"""A reference to metadata of a trial: one of its own fields, or a label or annotation and its name."""

_REFERENCES = [
    f"${{trialSpec.{key}}}" for key in ("Name", "Namespace", "Kind", "APIVersion", "Labels[...]", "Annotations[...]")
]

_KINDS = (("batch/v1", "Job"), ("trainer.kubeflow.org/v1alpha1", "TrainJob"))
"""apiVersion and kind of what may be a trial."""

_UNCHECKED_JOB_FIELDS = (
    *("backoffLimitPerIndex", "completionMode", "completions", "managedBy", "manualSelector", "maxFailedIndexes"),
    *("parallelism", "podFailurePolicy", "podReplacementPolicy", "selector", "successPolicy"),
    *("ttlSecondsAfterFinished",),
)
"""Fields of a Job of batch/v1 of which only the name is checked."""

_EXECUTED = ("command", "args", "env", "envFrom", "workingDir")
"""Fields of a TrainJob's trainer that decide what is executed."""


class _Part(BaseModel):
    """A part of an Experiment, which has the names of Katib."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class TrialParameter(_Part):
    """A placeholder `${trialParameters.<name>}` of the trial spec, and the source of its value.

    Attributes:
        reference: a parameter of the space, or metadata of the trial such as `${trialSpec.Name}`.
    """

    name: str
    reference: str
    description: str | None = None


class TrialTemplate(_Part):
    """How a trial is executed.

    Attributes:
        primary_container: name of the container that trains.
        parameters: the placeholders of `trial_spec`.
        trial_spec: a Job or a TrainJob without name and namespace.
        retain: whether the resources of a trial that ended are kept.
        primary_pod_labels: labels of the pod whose metrics are read; where absent, Katib's default ones for the kind.
    """

    primary_container: str = Field(alias="primaryContainerName")
    parameters: tuple[TrialParameter, ...] = Field(alias="trialParameters")
    trial_spec: dict[str, Any]
    success_condition: str = COMPLETE
    failure_condition: str = FAILED
    retain: bool = False
    primary_pod_labels: dict[str, str] | None = None

    @classmethod
    def of(cls, spec: Mapping[str, Any], path: str) -> TrialTemplate:
        """Read the template of an Experiment, which is at `path`."""
        found = {name: value for name, value in given(spec).items() if value != ""}
        for name, known in (("successCondition", COMPLETE), ("failureCondition", FAILED)):
            if found.get(name, known) != known:
                raise ConfigError(
                    f"{path}.{name}: a process on this machine succeeds or fails by its exit code, which is what "
                    f"{known!r} means, but got {found[name]!r}; leave it out"
                )
        for name in ("primaryContainerName", "trialParameters", "trialSpec"):
            required(found.get(name), f"{path}.{name}")
        empty = {"name": "", "reference": ""}
        parameters = [{**empty, **given(item)} for item in found["trialParameters"]]
        return cls.model_validate({**found, "trialParameters": parameters, "trialSpec": deepcopy(found["trialSpec"])})

    @property
    def kind(self) -> tuple[str, str]:
        """apiVersion and kind of the trial spec; empty where they are absent."""
        return str(self.trial_spec.get("apiVersion") or ""), str(self.trial_spec.get("kind") or "")

    def container(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The container that trains in the Job of a template or of a trial; the trainer of a TrainJob."""
        if self.kind[1] == "TrainJob":
            return (spec.get("spec") or {}).get("trainer") or {}
        containers = spec["spec"]["template"]["spec"]["containers"]
        return next(container for container in containers if container["name"] == self.primary_container)

    def check(self, parameters: Collection[str], path: str) -> None:
        """Check the template, which is at `path`, against the names of the space's parameters."""
        self._check_spec(f"{path}.trialSpec")
        used = PLACEHOLDER.findall(json.dumps(self.trial_spec, ensure_ascii=False))
        self._check_parameters(parameters, used, f"{path}.trialParameters")
        declared = {parameter.name for parameter in self.parameters}
        for name in used:
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
        from kubeflow_katib_api import models

        if self.kind not in _KINDS:
            known = " or ".join(f"{kind} of {version}" for version, kind in _KINDS)
            raise ConfigError(
                f"{path}: a trial is a {known}, but got kind={self.kind[1]!r}, apiVersion={self.kind[0]!r}"
            )
        try:
            json.dumps(self.trial_spec, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: {error}") from error
        metadata = self.trial_spec.get("metadata") or {}
        check_model(models.IoK8sApimachineryPkgApisMetaV1ObjectMeta, metadata, f"{path}.metadata")
        for name in ("name", "namespace"):
            if metadata.get(name):
                raise ConfigError(f"{path}.metadata.{name}: every trial gets its own, but got {metadata[name]!r}")
        here = f"{path}.spec"
        spec: Any = self.trial_spec.get("spec")
        if self.kind[1] == "Job":
            check_model(_job_model(), spec, here)
            names = [container["name"] for container in (spec["template"].get("spec") or {}).get("containers") or []]
            if self.primary_container not in names:
                raise ConfigError(
                    f"{here}.template.spec.containers: one must be the primary container {self.primary_container!r}, "
                    f"but got {names}"
                )
            return
        if not isinstance(spec, Mapping):
            raise ConfigError(f"{here}: fields are expected, but got {spec!r}")
        for part in ("runtimeRef", "trainer"):
            if not isinstance(spec.get(part) or {}, Mapping):
                raise ConfigError(f"{here}.{part}: fields are expected, but got {spec[part]!r}")
        executed = {name: value for name, value in self.container(self.trial_spec).items() if name in _EXECUTED}
        check_model(models.IoK8sApiCoreV1Container, {"name": "trainer", **executed}, f"{here}.trainer")

    def _check_parameters(self, parameters: Collection[str], used: Collection[str], path: str) -> None:
        for index, parameter in enumerate(self.parameters):
            here = f"{path}[{index}]"
            for what in ("name", "reference"):
                value = getattr(parameter, what)
                if any(value == getattr(earlier, what) for earlier in self.parameters[:index]):
                    raise ConfigError(f"{here}.{what}: {what}s must differ, but {value!r} is given twice")
            if parameter.reference not in parameters:
                self._check_metadata(parameter.reference, parameters, f"{here}.reference")
            if parameter.name not in used:
                raise ConfigError(f"{here}.name: ${{trialParameters.{parameter.name}}} must be in the trialSpec")

    def _check_metadata(self, reference: str, parameters: Collection[str], path: str) -> None:
        match = METADATA.fullmatch(reference)
        if match is None:
            raise ConfigError(
                f"{path}: {reference!r} is neither a parameter of the space nor metadata of a trial"
                f"{hint(reference, [*parameters, *_REFERENCES])}"
            )
        if match[2]:
            kind = match[2].lower()
            if match[3] not in ((self.trial_spec.get("metadata") or {}).get(kind) or {}):
                raise ConfigError(f"{path}: trialSpec.metadata.{kind} must have {match[3]!r}")


@cache
def _job_model() -> type[BaseModel]:
    """The spec of a Job, which the generated models lack."""
    from kubeflow_katib_api import models

    count = (Annotated[StrictInt, Field(ge=0)] | None, None)
    fields: dict[str, Any] = {
        **dict.fromkeys(_UNCHECKED_JOB_FIELDS, (Any, None)),
        "template": (models.IoK8sApiCoreV1PodTemplateSpec, ...),
        "activeDeadlineSeconds": count,
        "backoffLimit": count,
        "suspend": (StrictBool | None, None),
    }
    return create_model("JobSpec", **fields)


NOT_HERE = "is not read here: a trial reports its metrics in its output or in a file"
_REFUSED_COLLECTORS = ("TensorFlowEvent", "PrometheusMetric", "Custom", "Push")


@dataclass(frozen=True)
class MetricsCollector:
    """Where the metrics of a trial are read from: its output, or a file it writes.

    Attributes:
        path: absolute path of the file in the primary container; empty for StdOut.
        format: TEXT for lines in which `metrics_format` finds names and values; JSON for one object a line.
        metrics_format: regular expressions whose first two groups are name and value; empty for Katib's default.
    """

    kind: Literal["StdOut", "File"] = "StdOut"
    path: str = ""
    format: Literal["TEXT", "JSON"] = "TEXT"
    metrics_format: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: Mapping[str, Any], path: str) -> MetricsCollector:
        """Read the collector of an Experiment, which is at `path`."""
        kind, source = "StdOut", given(spec.get("source"))
        if "collector" in spec:
            kind = required(spec["collector"].get("kind"), f"{path}.collector.kind")
        if kind in _REFUSED_COLLECTORS:
            raise ConfigError(f"{path}.collector.kind: a collector of kind {kind} {NOT_HERE}; use StdOut or File")
        one_of(kind, ("StdOut", "File"), f"{path}.collector.kind")
        file, chosen = given(source.get("fileSystemPath")), given(source.get("filter"))
        one_of(file.get("kind") or "File", ["File"], f"{path}.source.fileSystemPath.kind")
        written = one_of(file.get("format") or "TEXT", ("TEXT", "JSON"), f"{path}.source.fileSystemPath.format")
        place = file.get("path") or (DEFAULT_METRICS_FILE if kind == "File" else "")
        return cls(cast(Any, kind), place, cast(Any, written), tuple(chosen.get("metricsFormat", ())))

    def to_katib(self) -> dict[str, Any]:
        source: dict[str, Any] = {}
        if self.kind == "File":
            source["fileSystemPath"] = {"kind": "File", "path": self.path, "format": self.format}
        if self.metrics_format:
            source["filter"] = {"metricsFormat": list(self.metrics_format)}
        return {"collector": {"kind": self.kind}, **({"source": source} if source else {})}

    def check(self, path: str) -> None:
        here = f"{path}.source.fileSystemPath"
        if self.kind == "StdOut" and (self.path or self.format != "TEXT"):
            raise ConfigError(
                f"{here}: a collector of kind StdOut reads the output of the trial, and no file; set kind to File"
            )
        file = PurePosixPath(self.path)
        if self.kind == "File" and (not file.is_absolute() or file.name in ("", "..")):
            raise ConfigError(f"{here}.path: an absolute path of a file is expected, but got {self.path!r}")
        if self.format == "JSON" and self.metrics_format:
            raise ConfigError(f"{path}.source.filter: JSON needs no filter; leave it out or set format to TEXT")
        for index, expression in enumerate(self.metrics_format):
            where = f"{path}.source.filter.metricsFormat[{index}]"
            try:
                groups = go_expression(expression).groups
            except ValueError as error:
                raise ConfigError(f"{where}: {expression!r} is no regular expression of Go: {error}") from error
            if groups < 2:
                raise ConfigError(f"{where}: two groups, for name and value, are expected, but got {expression!r}")


def go_expression(expression: str) -> Any:
    """Compile a regular expression by RE2, whose syntax Go shares; a ValueError says what RE2 refuses."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error
