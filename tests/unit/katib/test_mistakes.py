"""What is refused in a file of a Katib Experiment, and where the message says it stands."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any

import pytest

from podium.errors import ConfigError
from podium.katib.experiment import from_katib

from .test_experiment import document

Edit = Callable[[Any], Any]


def edit(path: str, value: Any) -> Edit:
    """Put `value` at a dotted path (`...` removes what is there)."""

    def change(source: Any) -> None:
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in above:
            source = source[part] if isinstance(part, int) else source.setdefault(part, {})
        if value is ...:
            del source[last]
        else:
            source[last] = value

    return change


FEASIBLE = "spec.parameters.0.feasibleSpace"
SETTINGS = "spec.algorithm.algorithmSettings"
COLLECTOR = "spec.metricsCollectorSpec"
TEMPLATE = "spec.trialTemplate"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("apiVersion", "kubeflow.org/v1", r"apiVersion: 'kubeflow.org/v1' is not expected; did you mean"),
        ("kind", "Trial", "kind: 'Trial' is not expected"),
        ("kind", 5, r"kind: 5 is not expected"),
        ("metadata.namespace", "../evil", r"metadata\.namespace: at most 63 lower case letters.* got '\.\./evil'"),
        ("spec.maxTrials", 3, r"spec\.maxTrials: no such field; did you mean 'maxTrialCount'"),
        ("status", {"trials": 3}, "status: a cluster writes it"),
        ("metadata.uid", "1", r"metadata\.uid: a cluster writes it"),
        ("metadata.name", "Random", r"metadata\.name: at most 40"),
        ("metadata.name", "a" * 41, r"metadata\.name: at most 40"),
        ("metadata.name", "a-", r"metadata\.name: at most 40"),
        ("spec.maxTrialCount", "12", r"spec\.maxTrialCount: .* valid integer, but got '12'; write it without quotes"),
        ("metadata.labels", {"team": 5}, r"metadata\.labels\.team: .* but got 5; write it in quotes: \"5\""),
        ("spec.objective.goal", "0.1", r"spec\.objective\.goal: .* but got '0.1'; write it without quotes"),
        ("spec.maxTrialCount", ..., r"spec\.maxTrialCount: must be given"),
        ("spec.maxTrialCount", 0, r"^spec\.maxTrialCount must be greater than 0, but got 0"),
        ("spec.maxTrialCount", 2, r"spec\.maxFailedTrialCount: .* must hold, but got 3 with maxTrialCount=2"),
        ("spec.parallelTrialCount", 13, r"spec\.parallelTrialCount: .* must hold, but got 13 > 12"),
        ("spec.parallelTrialCount", 0, r"^spec\.parallelTrialCount must be greater than 0, but got 0"),
        ("spec.maxFailedTrialCount", -1, r"spec\.maxFailedTrialCount: .* but got -1"),
        ("spec.resumePolicy", "Always", r"^spec\.resumePolicy must be 'Never', .* but got 'Always'"),
        ("spec.nasConfig", {}, r"spec\.nasConfig: neural architecture search has no counterpart"),
        (
            "spec.objective.type",
            "maximise",
            r"^spec\.objective\.type must be 'maximize' or 'minimize', but got 'maximise'",
        ),
        ("spec.objective.goal", math.nan, r"spec\.objective\.goal must be a finite number, but got nan"),
        ("spec.objective.objectiveMetricName", "", r"^spec\.objective\.objectiveMetricName: must be given"),
        ("spec.objective.additionalMetricNames", ["loss"], r"spec\.objective: metrics must have different names"),
        ("spec.objective.metricStrategies", [{"name": "los", "value": "min"}], r"but got 'los'; did you mean 'loss'"),
        (
            "spec.objective.metricStrategies",
            [{"name": "loss", "value": "last"}],
            r"spec\.objective\.metricStrategies\.loss must be 'min', 'max' or 'latest', but got 'last'",
        ),
        ("spec.algorithm.algorithmName", "pbt", r"spec\.algorithm\.algorithmName: 'pbt': population based training"),
        ("spec.algorithm.algorithmName", "enas", r"algorithmName: 'enas': neural architecture search"),
        ("spec.algorithm.algorithmName", "cma-es", r"algorithmName: 'cma-es' is not expected; did you mean 'cmaes'"),
        (
            "spec.algorithm.algorithmName",
            "grid",
            r"^spec: .*'grid' needs a uniform scale and a step, but 'lr' has no step; give it one",
        ),
        (SETTINGS, [{"name": "seed", "value": "1"}], r"algorithmSettings\[0\]\.name: .* has no setting 'seed'"),
        (SETTINGS, [{"name": "random_state", "value": "-1"}], r"Settings\[0\]\.value: value >= 0 must hold"),
        (SETTINGS, [{"name": "random_state", "value": "9" * 400}], r"value: a whole number of 64 bits is expected"),
        (f"{FEASIBLE}", {"min": "1", "max": "9" * 400}, r"feasibleSpace\.max: a finite number is expected"),
        (SETTINGS, [{"name": "random_state", "value": "1_0"}], "a whole number of 64 bits is expected, but got '1_0'"),
        (
            SETTINGS,
            [{"name": "random_state", "value": 1}],
            r"algorithmSettings\[0\]\.value: .*write it in quotes: \"1\"",
        ),
        (SETTINGS, [{"name": "random_state", "value": "1"}] * 2, "'random_state' is given twice"),
        ("spec.earlyStopping", {"algorithmName": "median"}, r"spec\.earlyStopping\.algorithmName: 'median' is not"),
        (
            "spec.earlyStopping",
            {"algorithmName": "medianstop", "algorithmSettings": [{"name": "start_step", "value": "0"}]},
            r"spec\.earlyStopping\.algorithmSettings\[0\]\.value: must be greater than 0, but got '0'",
        ),
        ("spec.parameters", [], r"spec\.parameters: at least one must be given"),
        ("spec.parameters.1.name", "lr", r"^spec\.parameters\[1\]\.name: .* 'lr' is given twice"),
        ("spec.parameters.0.parameterType", "float", r"^spec\.parameters\[0\]\.parameterType: 'float' is not expected"),
        ("spec.parameters.0.parameterType", "unknown", r"parameterType: 'unknown' is not expected"),
        (
            "spec.parameters.0.parameterType",
            "int",
            r"feasibleSpace\.min: a whole number of 64 bits is expected, but got '0.01'",
        ),
        (f"{FEASIBLE}.min", 0.01, r"spec\.parameters\[0\]\.feasibleSpace\.min: .*write it in quotes: \"0.01\""),
        (f"{FEASIBLE}.min", "nan", r"^spec\.parameters\[0\]\.feasibleSpace\.min: a finite number is expected"),
        (f"{FEASIBLE}.min", "1", r"feasibleSpace: min <= max must hold, but got min=1.0, max=0.05"),
        (f"{FEASIBLE}.min", ..., r"feasibleSpace\.min: must be given"),
        (f"{FEASIBLE}.step", "0", r"feasibleSpace\.step must be greater than 0, but got 0"),
        (f"{FEASIBLE}.list", ["1"], r"feasibleSpace\.list: a parameter of type double has min and max"),
        (f"{FEASIBLE}.distribution", "loguniform", r"distribution: 'loguniform' is not .* did you mean 'logUniform'"),
        (
            FEASIBLE,
            {"min": "0", "max": "1", "distribution": "logUniform"},
            "min > 0 must hold on a log scale, but got min=0",
        ),
        (
            FEASIBLE,
            {"min": "-1e308", "max": "1e308"},
            r"feasibleSpace: max - min must be a finite number, but got min=",
        ),
        (
            FEASIBLE,
            {"min": "0", "max": "1", "step": "1e-30"},
            r"feasibleSpace: a range may have .* steps, but got step",
        ),
        (f"{FEASIBLE}.min", "9" * 5000, r"min: a finite number is expected, but got '9{30,60}\.\.\.9*'$"),
        (FEASIBLE, {"min": "1", "max": "9", "step": "1", "distribution": "logUniform"}, "a log scale has no step"),
        (
            "spec.objective.objectiveMetricName",
            "f1/macro",
            r"spec\.objective: without .*source\.filter .* got 'f1/macro'",
        ),
        (
            "spec.objective.additionalMetricNames",
            ["Größe"],
            r"spec\.objective: .* but got 'Größe'; .*filter",
        ),
        (f"{COLLECTOR}.collector", {"kind": "TensorFlowEvent"}, r"collector\.kind: .* of kind TensorFlowEvent is not"),
        (f"{COLLECTOR}.collector", {"kind": "PrometheusMetric"}, "a collector of kind PrometheusMetric is not read"),
        (f"{COLLECTOR}.collector", {"kind": "file"}, r"collector\.kind: 'file' is not expected; did you mean 'File'"),
        (f"{COLLECTOR}.collector", {"customCollector": {}}, r"collector\.customCollector: what a container"),
        (f"{COLLECTOR}.source", {"httpGet": {}}, r"source\.httpGet: a metrics endpoint is not read here"),
        (f"{COLLECTOR}.source", {"fileSystemPath": {"path": "/a"}}, "of kind StdOut reads the output"),
        (f"{COLLECTOR}.source", {"filter": {"metricsFormat": ["a"]}}, r"metricsFormat\[0\]: two groups"),
        (f"{COLLECTOR}.source", {"filter": {"metricsFormat": ["(a)("]}}, "is no regular expression"),
        (
            f"{COLLECTOR}.source",
            {"filter": {"metricsFormat": ["(?=a)(b)(c)"]}},
            r"is no regular expression of Go: invalid perl operator: \(\?=",
        ),
        (f"{TEMPLATE}.configMap", {"configMapName": "a"}, r"spec\.trialTemplate\.configMap: a ConfigMap is stored on"),
        (f"{TEMPLATE}.primaryContainerName", "main", r"containers: one must be the primary container 'main'"),
        (f"{TEMPLATE}.primaryContainerName", ..., r"primaryContainerName: must be given"),
        (f"{TEMPLATE}.successCondition", "status.ok", r"trialTemplate\.successCondition: .*exit code"),
        (f"{TEMPLATE}.retain", "yes", r"spec\.trialTemplate\.retain: Input should be a valid boolean"),
        (f"{TEMPLATE}.primaryPodLabels", {"a": 1}, r"spec\.trialTemplate\.primaryPodLabels\.a: "),
        (f"{TEMPLATE}.trialSpec.kind", "TFJob", r"trialSpec: a trial is a Job of batch/v1 or .*'TFJob'"),
        (f"{TEMPLATE}.trialSpec.metadata", "a", r"trialSpec\.metadata: fields are expected, but got 'a'"),
        (f"{TEMPLATE}.trialSpec.metadata.labels", 5, r"trialSpec\.metadata\.labels: fields are expected, but got 5"),
        (f"{TEMPLATE}.trialSpec.spec", [], r"trialSpec\.spec: fields are expected, but got \[\]"),
        (f"{TEMPLATE}.trialSpec.spec.template.spec.containers", ["a"], r"containers\[0\]: fields are expected"),
        (
            f"{TEMPLATE}.trialSpec.spec.template.spec.initContainers",
            "a",
            r"initContainers: Input should be a valid list",
        ),
        (f"{TEMPLATE}.trialSpec.spec.date", datetime.date(2026, 1, 2), r"trialSpec: Object of type date is not JSON"),
        (f"{TEMPLATE}.trialSpec.spec.ttl", math.nan, r"trialSpec: Out of range float values are not JSON"),
        (f"{TEMPLATE}.trialSpec.metadata", {"name": "a"}, r"trialSpec\.metadata\.name: every trial gets its own"),
        (f"{TEMPLATE}.trialParameters.0.name", "a{", r"trialParameters\[0\]\.name: .* must be in the trialSpec"),
        (f"{TEMPLATE}.trialParameters.0.name", "rate", r"\[0\]\.name: \$\{trialParameters.rate\} must be in"),
        (
            f"{TEMPLATE}.trialParameters.0.reference",
            "lrr",
            r"reference: 'lrr' is neither a parameter .* did you mean 'lr'",
        ),
        (
            f"{TEMPLATE}.trialParameters.0.reference",
            "momentum",
            r"\[1\]\.reference: references must differ, but 'momentum' is given twice",
        ),
        (
            f"{TEMPLATE}.trialParameters.0.reference",
            "${trialSpec.Nam}",
            r"'\$\{trialSpec\.Nam\}' is neither .* did you mean '\$\{trialSpec\.Name\}'",
        ),
        (f"{TEMPLATE}.trialParameters.0.reference", "${trialSpec.Labels[a]}", "metadata.labels must have 'a'"),
        (f"{TEMPLATE}.trialParameters.0.reference", "${trialSpec.Name}", "nothing refers to lr"),
        (f"{TEMPLATE}.trialParameters.1", ..., r"\$\{trialParameters.momentum\} is not among the trialParameters"),
    ],
)
def test_a_mistake_is_refused_at_its_path(path: str, value: Any, message: str) -> None:
    source = document()
    edit(path, value)(source)
    with pytest.raises(ConfigError, match=message):
        from_katib(source)


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("hyperband", "spec.parallelTrialCount", 8, r"spec\.parallelTrialCount: .*at least 9 are expected"),
        (
            "hyperband",
            f"{SETTINGS}.0.value",
            "epoch",
            r"^spec: resource_name .* got 'epoch'; did you mean 'epochs'",
        ),
        ("hyperband", f"{SETTINGS}.2", ..., "needs the setting 'r_l'"),
        ("hyperband", f"{SETTINGS}.0.name", "s_max", "'s_max': Katib keeps the state of hyperband in it"),
        ("tpe", f"{SETTINGS}.0.name", "gamma", r"algorithmSettings\[0\]\.name: 'gamma': it belongs to hyperopt"),
        ("cma-es", f"{SETTINGS}.0.value", "pop", "must be 'none', 'ipop' or 'bipop', but got 'pop'"),
        ("grid", "spec.maxTrialCount", 46, r"spec\.maxTrialCount: .*at most 45 trials"),
        ("file-collector", f"{COLLECTOR}.source.fileSystemPath.path", "a.log", r"fileSystemPath\.path: an absolute"),
        (
            "file-collector",
            f"{COLLECTOR}.source.fileSystemPath.path",
            "/",
            r"path: an absolute path of a file is expected",
        ),
        (
            "file-collector",
            f"{COLLECTOR}.source.fileSystemPath.path",
            "/logs/..",
            r"path of a file .* got '/logs/\.\.'",
        ),
        ("trainjob", f"{TEMPLATE}.trialSpec.spec.runtimeRef", "torch", r"spec\.runtimeRef: fields are expected"),
        ("file-collector", f"{COLLECTOR}.source.fileSystemPath.format", "JSON", r"source\.filter: JSON needs no"),
        ("file-collector", f"{COLLECTOR}.source.fileSystemPath.format", "json", "did you mean 'JSON'"),
        ("file-collector", f"{COLLECTOR}.source.fileSystemPath.kind", "Directory", r"kind: 'Directory' is not"),
        ("distributions", "spec.parameters.4.feasibleSpace.list.1", "a", r"list\[1\]: a finite number is expected"),
        ("distributions", "spec.parameters.4.feasibleSpace.list.1", "0.0", r"list: choices must differ"),
        ("distributions", "spec.parameters.4.feasibleSpace.min", "0", r"min: a parameter of type discrete has a list"),
        ("distributions", "spec.parameters.5.feasibleSpace.distribution", "normal", "has no scale"),
        ("distributions", "spec.parameters.5.feasibleSpace.list", [], r"list: must be given"),
    ],
)
def test_rules_of_one_kind_are_kept(name: str, path: str, value: Any, message: str) -> None:
    source = document(name)
    edit(path, value)(source)
    with pytest.raises(ConfigError, match=message):
        from_katib(source)
