"""What Katib's controllers would say of an experiment and its trials: the resources with their status.

Follows `status_util.go` of the experiment controller and `trial_controller_util.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from podium.hpo.experiment import Objective
from podium.hpo.progress import Outcome
from podium.katib.experiment import API_VERSION, KatibExperiment, to_katib
from podium.katib.space import to_text
from podium.katib.trial import namespace_of, render, trial_labels, trial_name
from podium.katib_local.conditions import Conditions, timestamp
from podium.records import Observed, StoppingRule, TrialRecord

UNAVAILABLE = "unavailable"
"""What Katib writes in place of a metric that was not reported."""

MAX_TRIALS_REACHED = "ExperimentMaxTrialsReached"
_BECAUSE = "Experiment has succeeded because"
_ENDS: dict[Outcome, tuple[str, str, str]] = {
    "goal": ("Succeeded", "ExperimentGoalReached", f"{_BECAUSE} Objective goal has reached"),
    "failures": ("Failed", "ExperimentFailed", "Experiment has failed because max failed count has reached"),
    "budget": ("Succeeded", MAX_TRIALS_REACHED, f"{_BECAUSE} max trial count has reached"),
    "suggestions": (
        "Succeeded",
        "ExperimentSuggestionEndReached",
        f"{_BECAUSE} suggestion service has reached the end",
    ),
}
_LISTS = {
    "running": ("runningTrialList", "trialsRunning"),
    "failed": ("failedTrialList", "trialsFailed"),
    "succeeded": ("succeededTrialList", "trialsSucceeded"),
    "killed": ("killedTrialList", "trialsKilled"),
    "pruned": ("earlyStoppedTrialList", "trialsEarlyStopped"),
    "unavailable": ("metricsUnavailableTrialList", "trialMetricsUnavailable"),
}
_METRICS_UNAVAILABLE = "MetricsUnavailable"

NUMBER_ANNOTATION = "podium/trial-number"
LOG_ANNOTATION = "podium/log"


class ExperimentStatus:
    """Conditions and times of an experiment, through all the sessions in which it ran."""

    def __init__(self, now: datetime, saved: Mapping[str, Any] | None = None) -> None:
        """Take up what `saved` returned in an earlier session, or begin as Created."""
        saved = saved or {}
        self.conditions = Conditions(saved.get("conditions"))
        self.start_time: str = saved.get("startTime") or timestamp(now)
        self.completion_time: str | None = saved.get("completionTime")
        self.conditions.set("Created", "ExperimentCreated", "Experiment is created", now)

    def saved(self) -> dict[str, Any]:
        """What the next session takes up."""
        return {
            "startTime": self.start_time,
            "completionTime": self.completion_time,
            "conditions": self.conditions.to_list(),
        }

    def run(self, now: datetime) -> None:
        """It runs; one that had completed is restarted."""
        if any(self.conditions.holds(kind) for kind in ("Succeeded", "Failed")):
            self.conditions.remove("Succeeded")
            self.conditions.remove("Failed")
            self.conditions.set("Restarting", "ExperimentRestarting", "Experiment is restarted", now)
            self.completion_time = None
        self.conditions.set("Running", "ExperimentRunning", "Experiment is running", now)

    def complete(self, outcome: Outcome, now: datetime) -> None:
        """It is over."""
        kind, reason, message = _ENDS[outcome]
        if not self.conditions.holds(kind):
            self.conditions.end(kind, reason, message, now)
            self.completion_time = timestamp(now)

    @property
    def completed(self) -> bool:
        """Whether it is over."""
        return self.completion_time is not None

    def resource(self, katib: KatibExperiment, trials: Iterable[TrialRecord], now: datetime) -> dict[str, Any]:
        """The Experiment with its status; `trials` are ordered by number."""
        status: dict[str, Any] = {"startTime": self.start_time}
        if self.completion_time is not None:
            status["completionTime"] = self.completion_time
        status["lastReconcileTime"] = timestamp(now)
        status["conditions"] = self.conditions.to_list()
        resource = to_katib(katib)
        resource["metadata"]["namespace"] = namespace_of(katib)
        return {**resource, "status": {**status, **_trial_summary(katib, trials, self.completed)}}


def _trial_summary(katib: KatibExperiment, trials: Iterable[TrialRecord], over: bool) -> dict[str, Any]:
    names: dict[str, list[str]] = {state: [] for state in _LISTS}
    best, count = None, 0
    objective = katib.experiment.objective
    for trial in trials:
        count += 1
        names[_state(trial, over)].append(trial_name(katib, trial.number))
        value = objective_value(objective, trial)
        if value is not None and (best is None or objective.better(value, best[0])):
            best = value, trial
    summary: dict[str, Any] = {"trials": count}
    for state, (list_name, count_name) in _LISTS.items():
        if names[state]:
            summary |= {list_name: names[state], count_name: len(names[state])}
    if best is not None:
        summary["currentOptimalTrial"] = {
            "bestTrialName": trial_name(katib, best[1].number),
            "parameterAssignments": _assignments(best[1]),
            "observation": {"metrics": _metrics(objective, best[1].metrics)},
        }
    return summary


def objective_value(objective: Objective, trial: TrialRecord) -> float | None:
    """The objective of a trial that competes for the best: one that succeeded, or was stopped early with metrics."""
    if trial.status not in ("succeeded", "pruned") or objective.metric not in trial.metrics:
        return None
    return objective.value(trial.metrics)


def _state(trial: TrialRecord, over: bool) -> str:
    if trial.status == "failed" and trial.reason == _METRICS_UNAVAILABLE:
        return "unavailable"
    return "killed" if trial.status == "running" and over else trial.status


def trial_resource(katib: KatibExperiment, trial: TrialRecord, log: Path, over: bool) -> dict[str, Any]:
    """The Trial with its status.

    Args:
        katib: the experiment.
        trial: as the ledger holds it.
        log: of the trial.
        over: whether the experiment is; a trial that ran then was killed.
    """
    experiment = to_katib(katib)["spec"]
    template = experiment["trialTemplate"]
    spec = {
        "objective": experiment["objective"],
        "parameterAssignments": _assignments(trial),
        "earlyStoppingRules": _rules(katib, trial.rule),
        "runSpec": render(katib, trial.number, trial.params),
        "retainRun": template["retain"],
        "metricsCollector": experiment["metricsCollectorSpec"],
        "primaryPodLabels": template.get("primaryPodLabels"),
        "primaryContainerName": template["primaryContainerName"],
        "successCondition": template["successCondition"],
        "failureCondition": template["failureCondition"],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Trial",
        "metadata": {
            "name": trial_name(katib, trial.number),
            "namespace": namespace_of(katib),
            "labels": trial_labels(katib),
            "annotations": {NUMBER_ANNOTATION: str(trial.number), LOG_ANNOTATION: str(log)},
        },
        "spec": {name: value for name, value in spec.items() if value is not None},
        "status": _trial_status(katib, trial, over),
    }


def _trial_status(katib: KatibExperiment, trial: TrialRecord, over: bool) -> dict[str, Any]:
    conditions, state = Conditions(), _state(trial, over)
    started = trial.started_at or trial.finished_at
    assert started is not None
    ended = trial.finished_at or started
    conditions.set("Created", "TrialCreated", "Trial is created", started)
    conditions.set("Running", "TrialRunning", "Trial is running", started)
    status: dict[str, Any] = {"startTime": timestamp(started)}
    if state != "running":
        status["completionTime"] = timestamp(ended)
    match state:
        case "succeeded":
            conditions.end("Succeeded", "TrialSucceeded", "Trial has succeeded", ended)
        case "failed":
            reason, message = (
                f"TrialFailed. Job reason: {trial.reason}",
                f"Trial has failed. Job message: {trial.error}",
            )
            conditions.end("Failed", reason, message, ended)
        case "unavailable":
            message = f"Metrics are not available. Job message: {trial.error}"
            conditions.end("MetricsUnavailable", _METRICS_UNAVAILABLE, message, ended)
        case "killed":
            conditions.end("Killed", "TrialKilled", "Trial was stopped with its experiment", ended)
        case "pruned":
            # Katib's early stopping service adds the condition and leaves the trial running.
            conditions.set("EarlyStopped", "TrialEarlyStopped", "Trial is early stopped", ended)
    status["conditions"] = conditions.to_list()
    if state in ("succeeded", "pruned", "unavailable"):
        status["observation"] = {"metrics": _metrics(katib.experiment.objective, trial.metrics)}
    return status


def _assignments(trial: TrialRecord) -> list[dict[str, str]]:
    return [{"name": name, "value": to_text(value)} for name, value in trial.params.items()]


def _metrics(objective: Objective, metrics: Mapping[str, Observed]) -> list[dict[str, str]]:
    """Every metric that is collected; one that was not reported is unavailable."""
    listed = []
    for name in objective.strategies:
        observed = metrics.get(name)
        values = {
            what: UNAVAILABLE if observed is None else figure(getattr(observed, what))
            for what in ("min", "max", "latest")
        }
        listed.append({"name": name, **values})
    return listed


def figure(value: float) -> str:
    """A number in its shortest form: `0.9`, `100`."""
    return repr(float(value)).removesuffix(".0")


def _rules(katib: KatibExperiment, rule: StoppingRule | None) -> list[dict[str, Any]] | None:
    if rule is None:
        return None
    comparison = "less" if rule.direction == "maximize" else "greater"
    name = katib.experiment.objective.metric
    return [
        {"name": name, "value": figure(value), "comparison": comparison, "startStep": int(step)}
        for step, value in rule.thresholds.items()
    ]
