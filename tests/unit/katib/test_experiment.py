from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.config.parameters import CategoricalParameter, DiscreteParameter, FloatParameter, IntParameter
from podium.config.search import algorithm_named, stopping_named
from podium.errors import ConfigError
from podium.hpo.experiment import Objective
from podium.katib.experiment import from_katib, to_katib
from podium.katib.template import MetricsCollector, TrialParameter

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
    assert katib.experiment.early_stopping.name == "none"
    assert katib.experiment.seed == 0
    assert katib.collector == MetricsCollector("StdOut")
    written = to_katib(katib)["spec"]["trialTemplate"]
    assert written["successCondition"] == 'status.conditions.#(type=="Complete")#|#(status=="True")#'
    assert not katib.template.retain
    assert "maxFailedTrialCount" not in to_katib(katib)["spec"]
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
    assert katib.experiment.space.parameters == {
        "lr": FloatParameter(low=0.01, high=0.05, step=0.01, distribution="normal"),
        "momentum": FloatParameter(low=0.001, high=1.0, log=True),
        "epochs": IntParameter(low=1, high=3),
        "batchSize": IntParameter(low=32, high=64, log=True, distribution="normal"),
        "dropout": DiscreteParameter(choices=(0, 0.1, 0.5)),
        "optimizer": CategoricalParameter(choices=("sgd", "adam", "1")),
    }
    assert from_katib(text("metric-strategies")).experiment.objective == Objective(
        metric="accuracy",
        direction="maximize",
        goal=0.99,
        additional_metrics=("loss",),
        strategies={"accuracy": "latest", "loss": "min"},
    )
    tpe = from_katib(text("tpe")).experiment
    assert tpe.algorithm == algorithm_named("tpe", {"n_ei_candidates": 24})
    assert tpe.seed == 7
    assert from_katib(text("random"), seed=5).experiment.seed == 5
    stopping = from_katib(text("median-stop")).experiment.early_stopping
    assert stopping == stopping_named("medianstop", {"min_trials_required": 1, "start_step": 2})
    assert from_katib(text("median-stop")).template.retain
    assert from_katib(text("file-collector")).collector == MetricsCollector(
        "File", "/metrics/train.log", "TEXT", (r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}",)
    )
    assert from_katib(text("random")).template.parameters[0] == TrialParameter(
        name="learningRate", reference="lr", description="Learning rate"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a: [", "line 1: not valid YAML"),
        ("", "but got 0 documents; give each Experiment a file of its own"),
        ("a: " + "[" * 2000, "the text: it is nested too deeply"),
        ("- a", "one document with the fields of an Experiment is expected, but got \\['a'\\]"),
        ("a: 1\n---\nb: 2", "but got 2 documents"),
        ("a: 1\nb: 2\na: 3", "line 3: a is given twice, first at line 1; remove one"),
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


def test_minutes_and_seconds_are_a_text_as_kubernetes_reads_them() -> None:
    source = text("random").replace("kind: Job", "kind: Job\n      metadata:\n        labels:\n          at: 1:30:00")
    assert from_katib(source).template.trial_spec["metadata"]["labels"] == {"at": "1:30:00"}


def test_a_template_that_contains_itself_is_refused() -> None:
    source = text("random").replace("kind: Job", "kind: Job\n      metadata: &a\n        labels: *a")
    with pytest.raises(ConfigError, match=r"spec\.trialTemplate\.trialSpec: Circular reference"):
        from_katib(source)


def test_the_largest_seed_is_read_back() -> None:
    assert from_katib(to_katib(from_katib(text("random"), seed=2**63 - 1))).experiment.seed == 2**63 - 1


def test_a_default_that_breaks_a_rule_is_called_one() -> None:
    source = document()
    source["spec"].update(maxTrialCount=2, maxFailedTrialCount=1)
    del source["spec"]["parallelTrialCount"]
    with pytest.raises(ConfigError, match=r"spec\.parallelTrialCount: .* but got 3 > 2; it is 3 where it is not given"):
        from_katib(source)


def test_null_counts_as_absent_and_the_source_is_left_alone() -> None:
    source = document()
    source["spec"]["nasConfig"] = None
    before = copy.deepcopy(source)
    katib = from_katib(source)
    to_katib(katib)["spec"]["trialTemplate"]["trialSpec"]["kind"] = "changed"
    assert source == before
    assert katib == from_katib(document())
