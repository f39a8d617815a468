"""The status of experiments and trials, in the form of Katib's resources."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubeflow_katib_api import models

from podium.hpo.experiment import Outcome, Progress
from podium.katib.experiment import KatibExperiment, from_katib, render, trial_name
from podium.katib_local.status import experiment_resource, trial_resource
from podium.records import Observed, StoppingRule, TrialRecord

from ..katib.test_experiment import FILES, document

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = START + timedelta(minutes=1)
PARAMS = {"lr": 0.02, "momentum": 0.7}


def katib(name: str = "random", **spec: Any) -> KatibExperiment:
    source = document(name)
    source["spec"].update(spec)
    return from_katib(source)


def trial(number: int, status: str = "succeeded", loss: float | None = None, **changes: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "number": number,
        "params": PARAMS,
        "status": status,
        "started_at": START,
        "finished_at": None if status == "running" else LATER,
        "score": loss,
        "metrics": {} if loss is None else {"loss": Observed.of([loss + 1, loss])},
    }
    return TrialRecord(**{**values, **changes})


def condition(resource: Any) -> tuple[str, str, str]:
    (found,) = resource["status"]["conditions"]
    return found["type"], found["status"], found["reason"]


class TestExperiment:
    @pytest.mark.parametrize(
        ("outcome", "expected"),
        [
            (None, ("Running", "True", "ExperimentRunning")),
            ("goal", ("Succeeded", "True", "ExperimentGoalReached")),
            ("budget", ("Succeeded", "True", "ExperimentMaxTrialsReached")),
            ("failures", ("Failed", "True", "ExperimentFailed")),
            ("suggestions", ("Succeeded", "True", "ExperimentSuggestionEndReached")),
        ],
    )
    def test_its_condition_and_times(self, outcome: Outcome | None, expected: tuple[str, str, str]) -> None:
        found = experiment_resource(katib(), [trial(0, loss=0.5), trial(1, "running", started_at=LATER)], outcome)
        assert condition(found) == expected
        assert found["status"]["startTime"] == "2026-01-02T03:04:05Z"
        assert found["status"].get("completionTime") == (None if outcome is None else "2026-01-02T03:05:05Z")

    def test_lists_and_counts(self) -> None:
        trials = [
            trial(0, loss=0.5),
            trial(1, "failed", reason="ComputationFailed", error="ComputationFailed: x"),
            trial(2, "failed", reason="MetricsUnavailable", error="MetricsUnavailable: x"),
            trial(3, "pruned", loss=0.6),
            trial(4, "running"),
        ]
        experiment = katib()
        names = [trial_name(experiment, number) for number in range(5)]
        running = experiment_resource(experiment, trials, None)["status"]
        assert {name: value for name, value in running.items() if name.endswith("List")} == {
            "runningTrialList": [names[4]],
            "failedTrialList": [names[1]],
            "succeededTrialList": [names[0]],
            "earlyStoppedTrialList": [names[3]],
            "metricsUnavailableTrialList": [names[2]],
        }
        assert running["trials"] == 5
        assert [running[name] for name in ("trialsRunning", "trialMetricsUnavailable", "trialsEarlyStopped")] == [
            1,
            1,
            1,
        ]
        ended = experiment_resource(experiment, trials, "goal")["status"]
        assert ended["killedTrialList"] == [names[4]]
        assert "runningTrialList" not in ended

    @pytest.mark.parametrize(
        ("strategy", "best"),
        [("min", 1), ("max", 0), ("latest", 2)],
    )
    def test_the_best_trial_is_the_one_of_the_strategy(self, strategy: str, best: int) -> None:
        objective = {**document()["spec"]["objective"], "metricStrategies": [{"name": "loss", "value": strategy}]}
        values = [[0.5, 0.4, 0.45], [0.9, 0.1, 0.6], [0.7, 0.3, 0.35]]
        trials = [trial(n, metrics={"loss": Observed.of(items)}) for n, items in enumerate(values)]
        experiment = katib(objective=objective)
        found = experiment_resource(experiment, trials, None)["status"]["currentOptimalTrial"]
        assert found["bestTrialName"] == trial_name(experiment, best)

    def test_trials_that_were_stopped_early_compete_and_the_first_of_equals_wins(self) -> None:
        experiment = katib()
        trials = [trial(0, loss=0.5), trial(1, "pruned", loss=0.25), trial(2, loss=0.25), trial(3, "running", loss=0.1)]
        found = experiment_resource(experiment, trials, None)["status"]["currentOptimalTrial"]
        assert found == {
            "bestTrialName": trial_name(experiment, 1),
            "parameterAssignments": [{"name": "lr", "value": "0.02"}, {"name": "momentum", "value": "0.7"}],
            "observation": {"metrics": [{"name": "loss", "min": "0.25", "max": "1.25", "latest": "0.25"}]},
        }

    def test_a_trial_that_was_stopped_early_can_reach_the_goal(self) -> None:
        experiment = katib().experiment
        assert Progress(experiment, [trial(0, "pruned", loss=0.0001)]).outcome == "goal"
        assert Progress(experiment, [trial(0, "pruned", score=0.0001)]).outcome is None

    def test_trials_without_metrics_count_as_failed(self) -> None:
        trials = [trial(n, "failed", reason="MetricsUnavailable") for n in range(3)]
        assert Progress(katib(maxFailedTrialCount=3).experiment, trials).outcome == "failures"
        assert Progress(katib(maxFailedTrialCount=4).experiment, trials).outcome is None

    def test_no_trial_is_the_best_of_none(self) -> None:
        found = experiment_resource(katib(), [trial(0, "failed", reason="ComputationFailed")], None)["status"]
        assert "currentOptimalTrial" not in found


def resource(record: TrialRecord, over: bool = False, name: str = "random") -> Any:
    return trial_resource(katib(name), record, Path("/logs/trial-000000.log"), over)


class TestTrial:
    @pytest.mark.parametrize(
        ("record", "expected", "message"),
        [
            (trial(0, loss=0.5), "Succeeded", "Trial is Succeeded"),
            (trial(0, "failed", reason="OutOfMemory", error="OutOfMemory: full"), "Failed", "OutOfMemory: full"),
            (trial(0, "failed", reason="MetricsUnavailable", error="no line"), "MetricsUnavailable", "no line"),
            (trial(0, "pruned", loss=0.5, error="medianstop: worse"), "EarlyStopped", "medianstop: worse"),
        ],
    )
    def test_its_condition(self, record: TrialRecord, expected: str, message: str) -> None:
        found = resource(record)
        assert condition(found) == (expected, "True", f"Trial{expected}")
        assert found["status"]["conditions"][0]["message"] == message
        assert found["status"]["completionTime"] == "2026-01-02T03:05:05Z"

    def test_one_that_runs(self) -> None:
        found = resource(trial(0, "running"))
        assert condition(found)[0] == "Running"
        assert "completionTime" not in found["status"]
        assert "observation" not in found["status"]

    def test_one_that_ran_when_the_experiment_ended_was_killed(self) -> None:
        assert condition(resource(trial(0, "running"), over=True))[0] == "Killed"

    def test_metrics_that_were_not_reported_are_unavailable(self) -> None:
        record = trial(0, "pruned", metrics={"accuracy": Observed.of([0.5, 100.0])})
        found = resource(record, name="metric-strategies")["status"]["observation"]["metrics"]
        assert found == [
            {"name": "accuracy", "min": "0.5", "max": "100", "latest": "100"},
            {"name": "loss", "min": "unavailable", "max": "unavailable", "latest": "unavailable"},
        ]
        failed = resource(trial(0, "failed", reason="MetricsUnavailable", error="x"))["status"]
        assert failed["observation"]["metrics"][0]["latest"] == "unavailable"

    def test_its_spec(self) -> None:
        rule = StoppingRule(algorithm="medianstop", direction="minimize", compared="best", thresholds={2: 0.5})
        record = trial(4, loss=0.5, rule=rule)
        found = resource(record, name="median-stop")
        assert found["metadata"] == {
            "name": trial_name(katib("median-stop"), 4),
            "namespace": "team",
            "labels": {"katib.kubeflow.org/experiment": "median-stop"},
            "annotations": {"podium/trial-number": "4", "podium/log": "/logs/trial-000000.log"},
        }
        spec = found["spec"]
        assert spec["earlyStoppingRules"] == [{"name": "loss", "value": "0.5", "comparison": "greater", "startStep": 2}]
        assert spec["runSpec"] == render(katib("median-stop"), 4, PARAMS)
        assert spec["metricsCollector"]["collector"] == {"kind": "StdOut"}


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem not in ("distributions", "hyperband")], ids=lambda path: path.stem
)
def test_katibs_models_take_what_is_written(path: Path) -> None:
    experiment = from_katib(path.read_text())
    trials = [trial(0, metrics={experiment.experiment.objective.metric: Observed.of([0.5])}), trial(1, "running")]
    written = experiment_resource(experiment, trials, "budget")
    read = models.V1beta1Experiment.from_dict(written).status
    assert read.to_dict() == models.V1beta1ExperimentStatus.from_dict(written["status"]).to_dict()
    assert read.current_optimal_trial.best_trial_name == trial_name(experiment, 0)
    assert read.trials_killed == 1
    assert read.completion_time == LATER
    single = trial_resource(experiment, trials[0], Path("/log"), over=True)
    back = models.V1beta1Trial.from_dict(single)
    assert back.to_dict()["spec"] == single["spec"]
    assert [item["type"] for item in single["status"]["conditions"]] == [item.type for item in back.status.conditions]
