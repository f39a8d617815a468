"""Katib Experiments (v1beta1) as Podium's neutral experiment, both ways, and the names and resources of their trials.

Defaulting and validation follow `experiment_defaults.go` and the validating webhook of Katib, and are stricter
where Katib ignores what it was given; docs/katib.md lists every difference.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.errors import ConfigError
from podium.hpo.experiment import Experiment, Objective, Params
from podium.katib.read import at, check_model, given, load, one_of, required
from podium.katib.search import (
    NAS,
    algorithm_from_katib,
    algorithm_to_katib,
    check_budgets,
    space_from_katib,
    space_to_katib,
    stopping_from_katib,
    stopping_to_katib,
    to_text,
)
from podium.katib.template import METADATA, NOT_HERE, PLACEHOLDER, MetricsCollector, TrialTemplate
from podium.text import hint

API_VERSION = "kubeflow.org/v1beta1"
KIND = "Experiment"
EXPERIMENT_LABEL = "katib.kubeflow.org/experiment"
PARALLEL_TRIALS = 3
"""Katib's default."""

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE = re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_OWN_METADATA = ("name", "namespace", "labels", "annotations")
_DEFAULT_NAME = re.compile(r"[\w|-]+", re.ASCII)
"""Names that Katib's default filter finds."""

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of Kubernetes' random names; no word can be made of them."""

_REFUSED = {
    "status": "a cluster writes it; leave it out",
    "spec.nasConfig": NAS,
    "spec.trialTemplate.configMap": "a ConfigMap is stored on a cluster; put its template into trialSpec",
    "spec.metricsCollectorSpec.source.httpGet": f"a metrics endpoint {NOT_HERE}",
    "spec.metricsCollectorSpec.collector.customCollector": f"what a container of its own collects {NOT_HERE}",
}


@dataclass(frozen=True)
class KatibExperiment:
    """A neutral experiment and what only Katib needs.

    Attributes:
        experiment: its name is the name of the resource.
        namespace: None leaves it to the client.

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
    metadata = given(document.get("metadata"))
    for name in metadata:
        if name not in _OWN_METADATA:
            raise ConfigError(f"metadata.{name}: a cluster writes it; leave it out{hint(name, _OWN_METADATA)}")
    name = required(metadata.get("name"), "metadata.name")
    spec = given(required(document.get("spec"), "spec"))
    return KatibExperiment(
        experiment=_experiment(name, spec, seed),
        template=TrialTemplate.of(required(spec.get("trialTemplate"), "spec.trialTemplate"), "spec.trialTemplate"),
        collector=MetricsCollector.of(given(spec.get("metricsCollectorSpec")), "spec.metricsCollectorSpec"),
        namespace=metadata.get("namespace") or None,
        labels=dict(metadata.get("labels", {})),
        annotations=dict(metadata.get("annotations", {})),
    )


def _experiment(name: str, spec: Mapping[str, Any], seed: int) -> Experiment:
    objective = _objective(given(required(spec.get("objective"), "spec.objective")))
    algorithm, given_seed = algorithm_from_katib(required(spec.get("algorithm"), "spec.algorithm"))
    if not spec.get("parameters"):
        raise ConfigError("spec.parameters: at least one must be given")
    most = required(spec.get("maxTrialCount"), "spec.maxTrialCount")
    parts = {
        "space": space_from_katib(spec["parameters"], "spec.parameters"),
        "max_failed_trials": _allowed_failures(spec.get("maxFailedTrialCount"), most),
        "early_stopping": stopping_from_katib(spec.get("earlyStopping")),
    }
    with at("spec"):
        return Experiment(
            name=name,
            objective=objective,
            algorithm=algorithm,
            max_trials=most,
            parallel_trials=spec.get("parallelTrialCount", PARALLEL_TRIALS),
            seed=seed if given_seed is None else given_seed,
            resume_policy=spec.get("resumePolicy") or "Never",
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


def _objective(spec: Mapping[str, Any]) -> Objective:
    path = "spec.objective"
    strategies: dict[str, Any] = {}
    for index, item in enumerate(spec.get("metricStrategies", ())):
        name = required(item.get("name"), f"{path}.metricStrategies[{index}].name")
        if name in strategies:
            raise ConfigError(f"{path}.metricStrategies[{index}].name: names must differ, but {name!r} is given twice")
        strategies[name] = item.get("value")
    metric = required(spec.get("objectiveMetricName"), f"{path}.objectiveMetricName")
    with at(path):
        return Objective(
            metric=metric,
            direction=spec.get("type"),
            goal=spec.get("goal"),
            additional_metrics=tuple(spec.get("additionalMetricNames", ())),
            strategies=strategies,
        )


def to_katib(katib: KatibExperiment) -> dict[str, Any]:
    """The resource that Katib takes, with every default written out; it reads back as an equal experiment.

    Choices that are no texts become texts, and sobol and hyperband, which Katib does not seed, lose the seed.

    Raises:
        ConfigError: Katib cannot express a part; the message has the dotted path where it would stand.
    """
    experiment, objective = katib.experiment, katib.experiment.objective
    failed = experiment.max_failed_trials + 1
    spec = {
        "parameters": space_to_katib(experiment.space, "spec.parameters"),
        "objective": given(
            {
                "type": objective.direction,
                "goal": objective.goal,
                "objectiveMetricName": objective.metric,
                "additionalMetricNames": list(objective.additional_metrics) or None,
                "metricStrategies": [{"name": name, "value": value} for name, value in objective.strategies.items()],
            }
        ),
        "algorithm": algorithm_to_katib(experiment),
        "earlyStopping": stopping_to_katib(experiment.early_stopping),
        "maxTrialCount": experiment.max_trials,
        "parallelTrialCount": experiment.parallel_trials,
        "maxFailedTrialCount": failed if failed <= experiment.max_trials else None,
        "resumePolicy": experiment.resume_policy,
        "trialTemplate": katib.template.model_dump(mode="json", by_alias=True, exclude_none=True),
        "metricsCollectorSpec": katib.collector.to_katib(),
    }
    metadata = {
        "name": experiment.name,
        "namespace": katib.namespace,
        "labels": dict(katib.labels),
        "annotations": dict(katib.annotations),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {name: value for name, value in metadata.items() if value},
        "spec": given(spec),
    }


def namespace_of(katib: KatibExperiment) -> str:
    """The namespace of the experiment, `default` where it names none, as for kubectl."""
    return katib.namespace or "default"


def trial_name(katib: KatibExperiment, number: int) -> str:
    """Name of a trial: that of the experiment and eight letters, which follow from the experiment and the number."""
    text = f"{namespace_of(katib)}/{katib.experiment.name}/{number}"
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    letters = (_LETTERS[value // len(_LETTERS) ** place % len(_LETTERS)] for place in range(8))
    return f"{katib.experiment.name}-{''.join(letters)}"


def render(katib: KatibExperiment, number: int, params: Params, name: str | None = None) -> dict[str, Any]:
    """The Job or TrainJob of a trial, under the `trial_name` of its number unless it has another.

    Every placeholder in a text of the template is replaced by its value.
    """
    name, template = name or trial_name(katib, number), katib.template.trial_spec
    own = {
        "Name": name,
        "Namespace": namespace_of(katib),
        "Kind": template["kind"],
        "APIVersion": template["apiVersion"],
    }

    def value(reference: str) -> str:
        if reference in params:
            return to_text(params[reference])
        match = METADATA.fullmatch(reference)
        assert match is not None, reference
        return str(template["metadata"][match[2].lower()][match[3]] if match[2] else own[match[1]])

    values = {parameter.name: value(parameter.reference) for parameter in katib.template.parameters}
    text = PLACEHOLDER.sub(
        lambda match: json.dumps(values.get(match[1], match[0]))[1:-1], json.dumps(template, ensure_ascii=False)
    )
    spec: dict[str, Any] = json.loads(text)
    spec["metadata"] = {**(spec.get("metadata") or {}), "name": name, "namespace": namespace_of(katib)}
    return spec
