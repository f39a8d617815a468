from __future__ import annotations

import copy
import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import ConfigError
from podium.hpo.algorithms import Algorithm, EarlyStopping
from podium.hpo.experiment import Objective
from podium.hpo.katib.experiment import KatibExperiment, from_katib, to_katib
from podium.hpo.katib.files import to_yaml
from podium.hpo.katib.space import from_text, space_from_katib, space_to_katib, to_text
from podium.hpo.katib.template import MetricsCollector, TrialParameter, TrialTemplate
from podium.hpo.space import (
    CategoricalParameter,
    DiscreteParameter,
    FloatParameter,
    IntParameter,
    NormalParameter,
    Parameter,
    Space,
)

from ..support import experiment

FILES = sorted((Path(__file__).parent / "examples").glob("*.yaml"))
Edit = Callable[[Any], Any]


def text(name: str) -> str:
    return (Path(__file__).parent / "examples" / f"{name}.yaml").read_text()


def document(name: str = "random") -> Any:
    return yaml.safe_load(text(name))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_reads_back_as_it_was_written(path: Path) -> None:
    katib = from_katib(path.read_text())
    written = to_katib(katib)
    assert from_katib(written) == katib
    assert from_katib(yaml.safe_dump(written)) == katib
    assert to_katib(from_katib(written)) == written
    assert written["metadata"] == {"name": path.stem, "namespace": "team"}
    assert written["spec"]["trialTemplate"]["trialSpec"] == document(path.stem)["spec"]["trialTemplate"]["trialSpec"]


def test_every_kind_of_example_is_there() -> None:
    assert len(FILES) == 17


def test_defaults_are_those_of_katib() -> None:
    source = document()
    del source["spec"]["parallelTrialCount"], source["spec"]["maxFailedTrialCount"]
    katib = from_katib(source)
    assert katib.experiment.parallel_trials == 3
    assert katib.experiment.max_failed_trials == katib.experiment.max_trials == 12
    assert katib.experiment.resume_policy == "Never"
    assert katib.experiment.objective.strategies == {"loss": "min"}
    assert katib.experiment.early_stopping is None
    assert katib.experiment.seed == 0
    assert katib.collector == MetricsCollector("StdOut")
    assert katib.template.success_condition == 'status.conditions.#(type=="Complete")#|#(status=="True")#'
    assert katib.template.primary_pod_labels == {}
    assert not katib.template.retain
    assert "maxFailedTrialCount" not in to_katib(katib)["spec"]
    labels = from_katib(text("trainjob")).template.primary_pod_labels
    assert labels["jobset.sigs.k8s.io/replicatedjob-name"] == "node"
    file = document("file-collector-json")
    del file["spec"]["metricsCollectorSpec"]["source"]
    assert from_katib(file).collector == MetricsCollector("File", "/var/log/katib/metrics.log", "TEXT")


@pytest.mark.parametrize(("count", "put_up_with", "written"), [(0, 0, 1), (1, 0, 1), (3, 2, 3), (12, 11, 12)])
def test_the_failure_that_ends_a_study_is_the_same(count: int, put_up_with: int, written: int) -> None:
    source = document()
    source["spec"]["maxFailedTrialCount"] = count
    katib = from_katib(source)
    assert katib.experiment.max_failed_trials == put_up_with
    assert to_katib(katib)["spec"]["maxFailedTrialCount"] == written


def test_everything_given_is_read() -> None:
    katib = from_katib(text("distributions"))
    assert dict(katib.experiment.space.parameters) == {
        "lr": NormalParameter(0.01, 0.05, step=0.01),
        "momentum": FloatParameter(0.001, 1.0, log=True),
        "epochs": IntParameter(1, 3),
        "batchSize": NormalParameter(32, 64, log=True, whole=True),
        "dropout": DiscreteParameter((0, 0.1, 0.5)),
        "optimizer": CategoricalParameter(("sgd", "adam", "1")),
    }
    assert from_katib(text("metric-strategies")).experiment.objective == Objective(
        "accuracy", "maximize", 0.99, ("loss",), {"accuracy": "latest", "loss": "min"}
    )
    tpe = from_katib(text("tpe")).experiment
    assert tpe.algorithm == Algorithm("tpe", {"n_ei_candidates": 24})
    assert tpe.seed == 7
    assert from_katib(text("random"), seed=5).experiment.seed == 5
    stopping = from_katib(text("median-stop")).experiment.early_stopping
    assert stopping == EarlyStopping("medianstop", {"min_trials_required": 1, "start_step": 2})
    assert from_katib(text("median-stop")).template.retain
    assert from_katib(text("file-collector")).collector == MetricsCollector(
        "File", "/metrics/train.log", "TEXT", (r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}",)
    )
    assert from_katib(text("random")).template.parameters[0] == TrialParameter("learningRate", "lr", "Learning rate")


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
        ("kind", 5, r"kind: a text is expected, but got 5"),
        ("metadata.namespace", "../evil", r"metadata\.namespace: at most 63 lower case letters.* got '\.\./evil'"),
        ("spec.maxTrials", 3, r"spec\.maxTrials: no such field; did you mean 'maxTrialCount'"),
        ("status", {"trials": 3}, "status: a cluster writes it"),
        ("metadata.uid", "1", r"metadata\.uid: a cluster writes it"),
        ("metadata.name", "Random", r"metadata\.name: at most 40"),
        ("metadata.name", "a" * 41, r"metadata\.name: at most 40"),
        ("metadata.name", "a-", r"metadata\.name: at most 40"),
        ("spec.maxTrialCount", "12", r"spec\.maxTrialCount: Input should be a valid integer, but got '12'"),
        ("spec.maxTrialCount", ..., r"spec\.maxTrialCount: must be given"),
        ("spec.maxTrialCount", 0, r"spec\.maxTrialCount: maxTrialCount >= 1 must hold, but got 0"),
        ("spec.maxTrialCount", 2, r"spec\.maxFailedTrialCount: .* must hold, but got 3 with maxTrialCount=2"),
        ("spec.parallelTrialCount", 13, r"spec\.parallelTrialCount: .* must hold, but got 13 > 12"),
        ("spec.parallelTrialCount", 0, r"spec\.parallelTrialCount: parallelTrialCount >= 1 must hold"),
        ("spec.maxFailedTrialCount", -1, r"spec\.maxFailedTrialCount: .* but got -1"),
        ("spec.resumePolicy", "Always", r"spec\.resumePolicy: 'Always' is not expected.*Never"),
        ("spec.nasConfig", {}, r"spec\.nasConfig: neural architecture search has no counterpart"),
        ("spec.objective.type", "maximise", r"spec\.objective\.type: 'maximise' is not .* did you mean 'maximize'"),
        ("spec.objective.goal", math.nan, r"spec\.objective: goal must be finite"),
        ("spec.objective.objectiveMetricName", "", r"^spec\.objective\.objectiveMetricName: must be given"),
        ("spec.objective.additionalMetricNames", ["loss"], r"spec\.objective: metrics must have different names"),
        ("spec.objective.metricStrategies", [{"name": "los", "value": "min"}], r"but got 'los'; did you mean 'loss'"),
        (
            "spec.objective.metricStrategies",
            [{"name": "loss", "value": "last"}],
            r"spec\.objective\.metricStrategies\[0\]\.value: 'last' is not expected; did you mean 'latest'",
        ),
        ("spec.algorithm.algorithmName", "pbt", r"spec\.algorithm\.algorithmName: 'pbt': population based training"),
        ("spec.algorithm.algorithmName", "enas", r"algorithmName: 'enas': neural architecture search"),
        ("spec.algorithm.algorithmName", "cma-es", r"algorithmName: 'cma-es' is not expected; did you mean 'cmaes'"),
        ("spec.algorithm.algorithmName", "grid", r"spec\.algorithm: .*'grid' needs a uniform scale and a step"),
        (SETTINGS, [{"name": "seed", "value": "1"}], r"algorithmSettings\[0\]\.name: .* has no setting 'seed'"),
        (SETTINGS, [{"name": "random_state", "value": "-1"}], r"Settings\[0\]\.value: value >= 0 must hold"),
        (SETTINGS, [{"name": "random_state", "value": "9" * 400}], r"value: a whole number of 64 bits is expected"),
        (f"{FEASIBLE}", {"min": "1", "max": "9" * 400}, r"feasibleSpace\.max: a finite number is expected"),
        (SETTINGS, [{"name": "random_state", "value": "1_0"}], "a whole number is expected, but got '1_0'"),
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
            r"spec\.earlyStopping\.algorithmSettings\[0\]\.value: value >= 1 must hold, but got 0",
        ),
        ("spec.parameters", [], r"spec\.parameters: at least one must be given"),
        ("spec.parameters.1.name", "lr", r"^spec\.parameters\[1\]\.name: .* 'lr' is given twice"),
        ("spec.parameters.0.parameterType", "float", r"^spec\.parameters\[0\]\.parameterType: 'float' is not expected"),
        ("spec.parameters.0.parameterType", "unknown", r"parameterType: 'unknown' is not expected"),
        ("spec.parameters.0.parameterType", "int", r"feasibleSpace\.min: a whole number is expected, but got '0.01'"),
        (f"{FEASIBLE}.min", 0.01, r"spec\.parameters\[0\]\.feasibleSpace\.min: .*write it in quotes: \"0.01\""),
        (f"{FEASIBLE}.min", "nan", r"^spec\.parameters\[0\]\.feasibleSpace\.min: a finite number is expected"),
        (f"{FEASIBLE}.min", "1", r"feasibleSpace: low <= high must hold, but got low=1.0, high=0.05"),
        (f"{FEASIBLE}.min", ..., r"feasibleSpace\.min: must be given"),
        (f"{FEASIBLE}.step", "0", r"feasibleSpace: step > 0 must hold"),
        (f"{FEASIBLE}.list", ["1"], r"feasibleSpace\.list: a parameter of type double has min and max"),
        (f"{FEASIBLE}.distribution", "loguniform", r"distribution: 'loguniform' is not .* did you mean 'logUniform'"),
        (FEASIBLE, {"min": "0", "max": "1", "distribution": "logUniform"}, "low > 0 must hold on a log scale"),
        (FEASIBLE, {"min": "1", "max": "9", "step": "1", "distribution": "logUniform"}, "a log scale has no step"),
        (f"{COLLECTOR}.collector", {"kind": "TensorFlowEvent"}, r"collector\.kind: .* of kind TensorFlowEvent is not"),
        (f"{COLLECTOR}.collector", {"kind": "PrometheusMetric"}, "a collector of kind PrometheusMetric is not read"),
        (f"{COLLECTOR}.collector", {"kind": "file"}, r"collector\.kind: 'file' is not expected; did you mean 'File'"),
        (f"{COLLECTOR}.collector", {"customCollector": {}}, r"collector\.customCollector: what a container"),
        (f"{COLLECTOR}.source", {"httpGet": {}}, r"source\.httpGet: a metrics endpoint is not read here"),
        (f"{COLLECTOR}.source", {"fileSystemPath": {}}, "of kind StdOut reads no file"),
        (f"{COLLECTOR}.source", {"filter": {"metricsFormat": ["a"]}}, r"metricsFormat\[0\]: two groups"),
        (f"{COLLECTOR}.source", {"filter": {"metricsFormat": ["(a)("]}}, "is no regular expression"),
        (f"{COLLECTOR}.source", {"filter": {"metricsFormat": ["(?=x)(a)(b)"]}}, "has a construct that Katib's"),
        (
            f"{COLLECTOR}.source",
            {"filter": {"metricsFormat": ["([[:alpha:]]+)=(b)"]}},
            "write the characters of a class",
        ),
        (f"{TEMPLATE}.configMap", {"configMapName": "a"}, r"spec\.trialTemplate\.configMap: a ConfigMap lives on"),
        (f"{TEMPLATE}.primaryContainerName", "main", r"containers: one must be the primary container 'main'"),
        (f"{TEMPLATE}.primaryContainerName", ..., r"primaryContainerName: must be given"),
        (f"{TEMPLATE}.successCondition", "status.ok", r"trialTemplate\.successCondition: .*exit code"),
        (f"{TEMPLATE}.retain", "yes", r"spec\.trialTemplate\.retain: Input should be a valid boolean"),
        (f"{TEMPLATE}.primaryPodLabels", {"a": 1}, r"spec\.trialTemplate\.primaryPodLabels\.a: "),
        (f"{TEMPLATE}.trialSpec.kind", "TFJob", r"trialSpec: a trial that this machine can execute .*'TFJob'"),
        (f"{TEMPLATE}.trialSpec.metadata", "a", r"trialSpec\.metadata: fields are expected, but got 'a'"),
        (f"{TEMPLATE}.trialSpec.metadata.labels", 5, r"trialSpec\.metadata\.labels: fields are expected, but got 5"),
        (f"{TEMPLATE}.trialSpec.spec", [], r"trialSpec\.spec: fields are expected, but got \[\]"),
        (f"{TEMPLATE}.trialSpec.spec.template.spec.containers", ["a"], r"containers\[0\]: fields are expected"),
        (f"{TEMPLATE}.trialSpec.spec.template.spec.initContainers", "a", r"initContainers: a list is expected"),
        (f"{TEMPLATE}.trialSpec.spec.date", datetime.date(2026, 1, 2), r"trialSpec: Object of type date is not JSON"),
        (f"{TEMPLATE}.trialSpec.metadata", {"name": "a"}, r"trialSpec\.metadata\.name: every trial gets its own"),
        (f"{TEMPLATE}.trialParameters.0.name", "a{", r"trialParameters\[0\]\.name: a name without braces"),
        (f"{TEMPLATE}.trialParameters.0.name", "rate", r"\[0\]\.name: \$\{trialParameters.rate\} must be in"),
        (f"{TEMPLATE}.trialParameters.0.reference", "lrr", r"reference: 'lrr' is no parameter.* did you mean 'lr'"),
        (f"{TEMPLATE}.trialParameters.0.reference", "momentum", r"\[1\]\.reference: .* 'momentum' comes twice"),
        (f"{TEMPLATE}.trialParameters.0.reference", "${trialSpec.Nam}", "no metadata 'Nam'; did you mean 'Name'"),
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
            r"spec\.algorithm: resource_name .* got 'epoch'; did you mean 'epochs'",
        ),
        ("hyperband", f"{SETTINGS}.2", ..., "needs the settings r_l"),
        ("hyperband", f"{SETTINGS}.0.name", "s_max", "'s_max': Katib keeps the state of hyperband in it"),
        ("tpe", f"{SETTINGS}.0.name", "gamma", r"algorithmSettings\[0\]\.name: 'gamma': it belongs to hyperopt"),
        ("cma-es", f"{SETTINGS}.0.value", "pop", "one of none, ipop, bipop is expected, but got 'pop'"),
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
        ("distributions", "spec.parameters.4.feasibleSpace.list.1", "0.0", r"list: values must differ"),
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


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a: [", "the text is not YAML"),
        ("", "but got 0 documents"),
        ("- a", "one document with the fields of an Experiment is expected, but got \\['a'\\]"),
        ("a: 1\n---\nb: 2", "but got 2 documents"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice"),
    ],
)
def test_a_text_is_one_document(source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_katib(source)


@pytest.mark.parametrize(("written", "goal"), [("1e-3", 0.001), ("5E2", 500.0), ("0.5e3", 500.0)])
def test_numbers_are_those_of_the_yaml_that_kubernetes_reads(written: str, goal: float) -> None:
    source = text("random").replace("goal: 0.001", f"goal: {written}")
    assert from_katib(source).experiment.objective.goal == goal


def test_a_date_is_a_text_as_kubernetes_reads_it() -> None:
    source = text("random").replace(
        "kind: Job", "kind: Job\n      metadata:\n        labels:\n          since: 2026-01-02"
    )
    assert from_katib(source).template.trial_spec["metadata"]["labels"] == {"since": "2026-01-02"}


def test_a_default_that_breaks_a_rule_is_called_one() -> None:
    source = document()
    source["spec"].update(maxTrialCount=2, maxFailedTrialCount=1)
    del source["spec"]["parallelTrialCount"]
    with pytest.raises(ConfigError, match=r"spec\.parallelTrialCount: .* but got 3 > 2; it is 3 where it is not given"):
        from_katib(source)


def test_texts_are_written_so_that_kubernetes_reads_texts() -> None:
    katib = katib_of(space=Space.of({"a": FloatParameter(1e-07, 1e22), "b": CategoricalParameter(("n", "1e3", "on"))}))
    written = to_yaml(to_katib(katib))
    assert "min: '1e-07'" in written
    assert "max: '1e+22'" in written
    assert all(f"- '{choice}'" in written for choice in ("n", "1e3", "on"))
    assert from_katib(written) == katib


def test_null_counts_as_absent_and_the_source_is_left_alone() -> None:
    source = document()
    source["spec"]["nasConfig"] = None
    before = copy.deepcopy(source)
    katib = from_katib(source)
    to_katib(katib)["spec"]["trialTemplate"]["trialSpec"]["kind"] = "changed"
    assert source == before
    assert katib == from_katib(document())


def katib_of(**changes: Any) -> KatibExperiment:
    study = experiment(**{"name": "study", **changes})
    names = [name for name, _ in study.space.parameters]
    command = [f"--{name}=${{trialParameters.{name}}}" for name in names]
    spec = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}
    spec["spec"]["template"]["spec"]["containers"][0]["command"] = command  # type: ignore[index]
    return KatibExperiment(study, TrialTemplate("main", tuple(TrialParameter(n, n) for n in names), spec))


@pytest.mark.parametrize(
    ("algorithm", "names"),
    [
        (Algorithm("tpe", {"n_ei_candidates": 9}), ["n_EI_candidates", "random_state"]),
        (
            Algorithm("tpe", {"n_ei_candidates": 9, "n_startup_trials": 2}),
            ["n_ei_candidates", "n_startup_trials", "random_state"],
        ),
        (Algorithm("multivariate-tpe", {"n_ei_candidates": 9}), ["n_ei_candidates", "random_state"]),
    ],
)
def test_settings_are_spelt_as_one_service_of_katib_spells_them(algorithm: Algorithm, names: list[str]) -> None:
    katib = katib_of(algorithm=algorithm)
    written = to_katib(katib)
    assert [item["name"] for item in written["spec"]["algorithm"]["algorithmSettings"]] == names
    assert from_katib(written).experiment.algorithm == algorithm


def test_what_katib_lacks_is_not_written() -> None:
    with pytest.raises(ConfigError, match=r"spec\.algorithm: Katib has no setting 'multivariate' .*'multivariate-tpe'"):
        to_katib(katib_of(algorithm=Algorithm("tpe", {"multivariate": True})))
    with pytest.raises(ConfigError, match="choices must differ as texts"):
        to_katib(katib_of(space=Space.of({"a": CategoricalParameter((1, "1"))})))


floats = st.floats(-1e6, 1e6, allow_nan=False)
bounds = st.tuples(floats, floats).filter(lambda pair: pair[0] != pair[1]).map(sorted)
whole_bounds = st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)).filter(lambda p: p[0] != p[1]).map(sorted)
positive = st.tuples(st.floats(1e-6, 1e3), st.floats(2e3, 1e6))
steps = st.none() | st.floats(1e-3, 10)
parameters: st.SearchStrategy[Parameter] = st.one_of(
    st.builds(lambda pair, step: FloatParameter(*pair, step=step), bounds, steps),
    st.builds(lambda pair: FloatParameter(*pair, log=True), positive),
    st.builds(lambda pair, step: IntParameter(*pair, step=step), whole_bounds, st.integers(1, 9)),
    st.builds(lambda low, more: IntParameter(low, low + more, log=True), st.integers(1, 99), st.integers(0, 99)),
    st.builds(lambda pair, step: NormalParameter(*pair, step=step), bounds, steps),
    st.builds(lambda pair, step: NormalParameter(*pair, log=True, step=step), positive, steps),
    st.builds(lambda pair: NormalParameter(*pair, whole=True), whole_bounds),
    st.lists(st.integers(-99, 99) | floats, min_size=1, unique=True).map(lambda items: DiscreteParameter(tuple(items))),
    st.lists(st.text(min_size=1), min_size=1, unique=True).map(lambda items: CategoricalParameter(tuple(items))),
)


@given(space=st.dictionaries(st.text(min_size=1, max_size=8), parameters, min_size=1, max_size=4).map(Space.of))
def test_every_space_reads_back_as_it_was_written(space: Space) -> None:
    assert space_from_katib(space_to_katib(space, "p"), "p") == space


@given(parameter=parameters.filter(lambda item: isinstance(item, NormalParameter)), share=st.floats(0, 1))
def test_a_normal_value_lies_inside_and_is_read_back(parameter: NormalParameter, share: float) -> None:
    value = parameter.quantile(share)
    assert parameter.low <= value <= parameter.high
    assert parameter.normalise(value) == value
    assert from_text(parameter, to_text(value)) == value
    if parameter.step is None and not parameter.whole:
        assert parameter.share(value) == pytest.approx(share, abs=1e-4)


def test_a_normal_parameter_has_the_mean_and_deviation_of_katib() -> None:
    normal = NormalParameter(0.0, 6.0)
    assert normal.quantile(0.5) == pytest.approx(3.0)
    assert (normal.quantile(0.0), normal.quantile(1.0)) == pytest.approx((0.0, 6.0))
    assert normal.share(4.0) == pytest.approx(0.5 + 0.341345 / 0.997300, abs=1e-5)
    assert NormalParameter(1.0, 100.0, log=True).quantile(0.5) == pytest.approx(10.0)


def test_the_text_of_a_choice_is_the_choice() -> None:
    parameter = CategoricalParameter((8, True, "a"))
    assert [from_text(parameter, item) for item in ("8", "true", "a")] == [8, True, "a"]
    with pytest.raises(ValueError, match="is expected, but got '9'"):
        from_text(parameter, "9")
