"""Katib Experiments (v1beta1) as Podium's neutral experiment, both ways.

Defaulting and validation follow `experiment_defaults.go` and the validating webhook of Katib, and are stricter
where Katib ignores what it was given; docs/katib.md lists every difference.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from podium.errors import ConfigError
from podium.hpo.experiment import Experiment, Objective
from podium.katib.algorithm import (
    NAS,
    algorithm_from_katib,
    algorithm_to_katib,
    check_budgets,
    stopping_from_katib,
    stopping_to_katib,
)
from podium.katib.read import at, check_model, load, one_of, required
from podium.katib.space import space_from_katib, space_to_katib
from podium.katib.template import COMPLETE, FAILED, MetricsCollector, TrialParameter, TrialTemplate
from podium.text import hint

API_VERSION = "kubeflow.org/v1beta1"
KIND = "Experiment"
PARALLEL_TRIALS = 3
"""Katib's default."""

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE = re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_OWN_METADATA = ("name", "namespace", "labels", "annotations")
_DEFAULT_NAME = re.compile(r"[\w|-]+", re.ASCII)
"""Names that Katib's default filter finds."""

_NOT_HERE = "is not read here: a trial reports its metrics in its output or in a file"
_REFUSED = {
    "status": "a cluster writes it; leave it out",
    "spec.nasConfig": NAS,
    "spec.trialTemplate.configMap": "a ConfigMap is stored on a cluster; put its template into trialSpec",
    "spec.metricsCollectorSpec.source.httpGet": f"a metrics endpoint {_NOT_HERE}",
    "spec.metricsCollectorSpec.collector.customCollector": f"what a container of its own collects {_NOT_HERE}",
}
_REFUSED_COLLECTORS = {
    kind: f"a collector of kind {kind} {_NOT_HERE}; use StdOut or File"
    for kind in ("TensorFlowEvent", "PrometheusMetric", "Custom", "Push")
}


@dataclass(frozen=True)
class KatibExperiment:
    """A neutral experiment and what only Katib needs.

    Attributes:
        experiment: its name is the name of the resource.
        template: how a trial is executed.
        collector: where its metrics are read from.
        namespace: None leaves it to the client.
        labels: of the resource.
        annotations: of the resource.

    Raises:
        ConfigError: Katib's webhook, or an engine of Podium, would refuse it; the message has the dotted path.
    """

    experiment: Experiment
    template: TrialTemplate
    collector: MetricsCollector = field(default_factory=MetricsCollector)
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        experiment = self.experiment
        if not _NAME.fullmatch(experiment.name) or len(experiment.name) > 40:
            raise ConfigError(
                "metadata.name: at most 40 lower case letters, digits and '-', the first a letter and the last no "
                f"'-', are expected, but got {experiment.name!r}"
            )
        if self.namespace is not None and not _NAMESPACE.fullmatch(self.namespace):
            raise ConfigError(
                "metadata.namespace: at most 63 lower case letters, digits and '-', the first and the last no '-', are "
                f"expected, but got {self.namespace!r}"
            )
        if experiment.parallel_trials > experiment.max_trials:
            raise ConfigError(
                "spec.parallelTrialCount: parallelTrialCount <= maxTrialCount must hold, but got "
                f"{experiment.parallel_trials} > {experiment.max_trials}; it is {PARALLEL_TRIALS} where it is "
                "not given"
            )
        check_budgets(experiment)
        self.template.check(list(experiment.space.parameters), "spec.trialTemplate")
        self.collector.check("spec.metricsCollectorSpec")
        found_by_default = self.collector.format == "TEXT" and not self.collector.metrics_format
        for name in experiment.objective.strategies:
            if found_by_default and not _DEFAULT_NAME.fullmatch(name):
                raise ConfigError(
                    "spec.objective: without spec.metricsCollectorSpec.source.filter a metric has a name of "
                    f"the letters a to z and A to Z, digits, '_', '-' and '|', but got {name!r}; give a filter for it"
                )


def from_katib(source: str | Mapping[str, Any], seed: int = 0) -> KatibExperiment:
    """Read a Katib Experiment.

    Args:
        source: YAML or JSON text, or the mapping it describes.
        seed: of the study where the algorithm's `random_state` is not given.

    Raises:
        ConfigError: something is unknown, absent, contradictory or cannot be expressed here; the message begins with
            its dotted path and, for a misspelt name, gives the nearest known one.
    """
    from kubeflow_katib_api import models

    document = load(source)
    for name, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        one_of(document.get(name), [expected], name)
    for path, reason in _REFUSED.items():
        value: Any = document
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            raise ConfigError(f"{path}: {reason}")
    check_model(models.V1beta1Experiment, document)
    metadata = document.get("metadata") or {}
    for name, value in metadata.items():
        if name not in _OWN_METADATA and value is not None:
            raise ConfigError(f"metadata.{name}: a cluster writes it; leave it out{hint(name, _OWN_METADATA)}")
    name = required(metadata.get("name"), "metadata.name")
    spec = required(models.V1beta1Experiment.from_dict(dict(document)).spec, "spec")
    return KatibExperiment(
        experiment=_experiment(name, spec, seed),
        template=_template(required(spec.trial_template, "spec.trialTemplate")),
        collector=_collector(spec.metrics_collector_spec),
        namespace=metadata.get("namespace") or None,
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
    )


def _experiment(name: str, spec: Any, seed: int) -> Experiment:
    objective = _objective(required(spec.objective, "spec.objective"))
    algorithm, given_seed = algorithm_from_katib(required(spec.algorithm, "spec.algorithm"))
    if not spec.parameters:
        raise ConfigError("spec.parameters: at least one must be given")
    most = required(spec.max_trial_count, "spec.maxTrialCount")
    parts = {
        "space": space_from_katib(spec.parameters, "spec.parameters"),
        "max_failed_trials": _allowed_failures(spec.max_failed_trial_count, most),
        "early_stopping": stopping_from_katib(spec.early_stopping),
    }
    with at("spec"):
        return Experiment(
            name=name,
            objective=objective,
            algorithm=algorithm,
            max_trials=most,
            parallel_trials=PARALLEL_TRIALS if spec.parallel_trial_count is None else spec.parallel_trial_count,
            seed=seed if given_seed is None else given_seed,
            resume_policy=spec.resume_policy or "Never",
            **parts,
        )


def _allowed_failures(count: int | None, most: int) -> int:
    """Failures that do not end the study. Katib fails it at failure number `count`, for 0 at the first; None: never."""
    if count is None:
        return most
    if count < 0 or count > most > 0:
        raise ConfigError(
            f"spec.maxFailedTrialCount: 0 <= maxFailedTrialCount <= maxTrialCount must hold, but got {count} with "
            f"maxTrialCount={most}"
        )
    return max(count - 1, 0)


def _objective(spec: Any) -> Objective:
    path = "spec.objective"
    strategies: dict[str, Any] = {}
    for index, item in enumerate(spec.metric_strategies or []):
        name = required(item.name, f"{path}.metricStrategies[{index}].name")
        if name in strategies:
            raise ConfigError(f"{path}.metricStrategies[{index}].name: names must differ, but {name!r} is given twice")
        strategies[name] = item.value
    metric = required(spec.objective_metric_name, f"{path}.objectiveMetricName")
    with at(path):
        return Objective(
            metric=metric,
            direction=spec.type,
            goal=spec.goal,
            additional_metrics=tuple(spec.additional_metric_names or ()),
            strategies=strategies,
        )


def _template(spec: Any) -> TrialTemplate:
    path = "spec.trialTemplate"
    for name, condition, known in (
        ("successCondition", spec.success_condition, COMPLETE),
        ("failureCondition", spec.failure_condition, FAILED),
    ):
        if condition not in (None, "", known):
            raise ConfigError(
                f"{path}.{name}: a process on this machine succeeds or fails by its exit code, which is what {known!r} "
                f"means, but got {condition!r}; leave it out"
            )
    return TrialTemplate(
        primary_container=required(spec.primary_container_name, f"{path}.primaryContainerName"),
        parameters=tuple(
            TrialParameter(item.name or "", item.reference or "", item.description or "")
            for item in required(spec.trial_parameters, f"{path}.trialParameters")
        ),
        trial_spec=copy.deepcopy(required(spec.trial_spec, f"{path}.trialSpec")),
        retain=bool(spec.retain),
        primary_pod_labels=dict(spec.primary_pod_labels or {}),
    )


def _collector(spec: Any) -> MetricsCollector:
    path = "spec.metricsCollectorSpec"
    if spec is None:
        return MetricsCollector()
    kind = "StdOut" if spec.collector is None else required(spec.collector.kind, f"{path}.collector.kind")
    if kind in _REFUSED_COLLECTORS:
        raise ConfigError(f"{path}.collector.kind: {_REFUSED_COLLECTORS[kind]}")
    one_of(kind, ("StdOut", "File"), f"{path}.collector.kind")
    file = None if spec.source is None else spec.source.file_system_path
    chosen = None if spec.source is None else spec.source.filter
    written = "TEXT"
    if file is not None:
        one_of(file.kind or "File", ["File"], f"{path}.source.fileSystemPath.kind")
        written = one_of(file.format or "TEXT", ("TEXT", "JSON"), f"{path}.source.fileSystemPath.format")
    return MetricsCollector(
        kind=cast(Any, kind),
        path="" if file is None else file.path or "",
        format=cast(Any, written),
        metrics_format=() if chosen is None else tuple(chosen.metrics_format or ()),
    )


def to_katib(katib: KatibExperiment) -> dict[str, Any]:
    """The resource that Katib takes, with every default written out; it reads back as an equal experiment.

    Choices that are no texts become texts, and sobol and hyperband, which Katib does not seed, lose the seed.

    Raises:
        ConfigError: Katib cannot express a part; the message has the dotted path where it would stand.
    """
    from kubeflow_katib_api import models

    experiment, template, collector = katib.experiment, katib.template, katib.collector
    objective = experiment.objective
    failed = experiment.max_failed_trials + 1
    spec = models.V1beta1ExperimentSpec(
        parameters=space_to_katib(experiment.space, "spec.parameters"),
        objective=models.V1beta1ObjectiveSpec(
            type=objective.direction,
            goal=objective.goal,
            objective_metric_name=objective.metric,
            additional_metric_names=list(objective.additional_metrics) or None,
            metric_strategies=[
                models.V1beta1MetricStrategy(name=name, value=value) for name, value in objective.strategies.items()
            ],
        ),
        algorithm=algorithm_to_katib(experiment),
        early_stopping=stopping_to_katib(experiment.early_stopping),
        max_trial_count=experiment.max_trials,
        parallel_trial_count=experiment.parallel_trials,
        max_failed_trial_count=failed if failed <= experiment.max_trials else None,
        resume_policy=experiment.resume_policy,
        trial_template=models.V1beta1TrialTemplate(
            primary_container_name=template.primary_container,
            trial_parameters=[
                models.V1beta1TrialParameterSpec(
                    name=item.name, reference=item.reference, description=item.description or None
                )
                for item in template.parameters
            ],
            trial_spec=copy.deepcopy(dict(template.trial_spec)),
            success_condition=COMPLETE,
            failure_condition=FAILED,
            retain=template.retain,
            primary_pod_labels=dict(template.primary_pod_labels) or None,
        ),
        metrics_collector_spec=_collector_to_katib(collector, models),
    )
    metadata = {
        "name": experiment.name,
        "namespace": katib.namespace,
        "labels": dict(katib.labels),
        "annotations": dict(katib.annotations),
    }
    resource: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {name: value for name, value in metadata.items() if value},
        "spec": spec.to_dict(),
    }
    return resource


def _collector_to_katib(collector: MetricsCollector, models: Any) -> Any:
    source: dict[str, Any] = {}
    if collector.kind == "File":
        source["file_system_path"] = models.V1beta1FileSystemPath(
            kind="File", path=collector.path, format=collector.format
        )
    if collector.metrics_format:
        source["filter"] = models.V1beta1FilterSpec(metrics_format=list(collector.metrics_format))
    return models.V1beta1MetricsCollectorSpec(
        collector=models.V1beta1CollectorSpec(kind=collector.kind),
        source=models.V1beta1SourceSpec(**source) if source else None,
    )
