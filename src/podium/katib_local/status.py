"""The Experiment of a local study and its Trials with their status, as resources of Katib and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from podium.hpo.engines import log_of
from podium.hpo.experiment import Objective, Outcome
from podium.jsonfile import write_text
from podium.katib.experiment import (
    API_VERSION,
    EXPERIMENT_LABEL,
    KatibExperiment,
    namespace_of,
    render,
    to_katib,
    trial_name,
)
from podium.katib.search import to_text
from podium.records import Observed, StoppingRule, TrialRecord
from podium.strict_yaml import kubernetes_yaml

NUMBER_ANNOTATION = "podium/trial-number"
LOG_ANNOTATION = "podium/log"

_BECAUSE = "Experiment has succeeded because"
_ENDS: dict[Outcome | None, tuple[str, str, str]] = {
    None: ("Running", "ExperimentRunning", "Experiment is running"),
    "goal": ("Succeeded", "ExperimentGoalReached", f"{_BECAUSE} Objective goal has reached"),
    "failures": ("Failed", "ExperimentFailed", "Experiment has failed because max failed count has reached"),
    "budget": ("Succeeded", "ExperimentMaxTrialsReached", f"{_BECAUSE} max trial count has reached"),
    "suggestions": (
        "Succeeded",
        "ExperimentSuggestionEndReached",
        f"{_BECAUSE} suggestion service has reached the end",
    ),
}
_LISTS = {
    "Running": ("runningTrialList", "trialsRunning"),
    "Failed": ("failedTrialList", "trialsFailed"),
    "Succeeded": ("succeededTrialList", "trialsSucceeded"),
    "Killed": ("killedTrialList", "trialsKilled"),
    "EarlyStopped": ("earlyStoppedTrialList", "trialsEarlyStopped"),
    "MetricsUnavailable": ("metricsUnavailableTrialList", "trialMetricsUnavailable"),
}
_EVERY_CHANGE = 200
"""Up to this many trials `experiment.yaml`, which lists all of them, is written at every change; with twice as many at
every second one, so that a change costs no more in a long study."""


def experiment_resource(
    katib: KatibExperiment, trials: Sequence[TrialRecord], outcome: Outcome | None
) -> dict[str, Any]:
    """The Experiment with its status; the outcome of a study that goes on is None."""
    names: dict[str, list[str]] = {state: [] for state in _LISTS}
    for trial in trials:
        names[_state(trial, over=outcome is not None)].append(trial_name(katib, trial.number))
    objective = katib.experiment.objective
    # As in Katib, trials that were stopped early compete too; of equal ones the first is the best.
    competing = [one for one in trials if one.status in ("succeeded", "pruned") and objective.metric in one.metrics]
    sign = 1.0 if objective.direction == "maximize" else -1.0
    best = max(competing, key=lambda trial: sign * objective.value(trial.metrics), default=None)
    started = min((trial.started_at for trial in trials if trial.started_at), default=None)
    ended = max((trial.finished_at for trial in trials if trial.finished_at), default=None)
    status = _status(started, ended if outcome else None, *_ENDS[outcome]) | {"trials": len(trials)}
    for state, (list_name, count_name) in _LISTS.items():
        if names[state]:
            status |= {list_name: names[state], count_name: len(names[state])}
    if best is not None:
        status["currentOptimalTrial"] = {
            "bestTrialName": trial_name(katib, best.number),
            "parameterAssignments": _assignments(best),
            "observation": {"metrics": _metrics(objective, best.metrics)},
        }
    resource = to_katib(katib)
    resource["metadata"]["namespace"] = namespace_of(katib)
    return {**resource, "status": status}


def _state(trial: TrialRecord, over: bool) -> str:
    """Katib's word for the state of a trial; one that ran when the experiment ended was killed."""
    if trial.status == "failed" and trial.reason == "MetricsUnavailable":
        return "MetricsUnavailable"
    if trial.status == "running":
        return "Killed" if over else "Running"
    return {"succeeded": "Succeeded", "failed": "Failed", "pruned": "EarlyStopped"}[trial.status]


def trial_resource(katib: KatibExperiment, trial: TrialRecord, log: Path, over: bool) -> dict[str, Any]:
    """The Trial with its status; `over` says whether the experiment is."""
    experiment = to_katib(katib)["spec"]
    state = _state(trial, over)
    spec = {
        "objective": experiment["objective"],
        "parameterAssignments": _assignments(trial),
        "runSpec": render(katib, trial.number, trial.params),
        "metricsCollector": experiment["metricsCollectorSpec"],
    }
    if trial.rule is not None:
        spec["earlyStoppingRules"] = _rules(katib.experiment.objective.metric, trial.rule)
    status = _status(trial.started_at, trial.finished_at, state, f"Trial{state}", trial.error or f"Trial is {state}")
    if state in ("Succeeded", "EarlyStopped", "MetricsUnavailable"):
        status["observation"] = {"metrics": _metrics(katib.experiment.objective, trial.metrics)}
    return {
        "apiVersion": API_VERSION,
        "kind": "Trial",
        "metadata": {
            "name": trial_name(katib, trial.number),
            "namespace": namespace_of(katib),
            "labels": {**katib.labels, EXPERIMENT_LABEL: katib.experiment.name},
            "annotations": {NUMBER_ANNOTATION: str(trial.number), LOG_ANNOTATION: str(log)},
        },
        "spec": spec,
        "status": status,
    }


def _status(started: datetime | None, ended: datetime | None, kind: str, reason: str, message: str) -> dict[str, Any]:
    """Times, and the one condition that holds now."""
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    status: dict[str, Any] = {"conditions": [condition]}
    for name, moment in (("startTime", started), ("completionTime", ended)):
        if moment is not None:
            # As Kubernetes writes times: UTC, whole seconds.
            status[name] = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return status


def _assignments(trial: TrialRecord) -> list[dict[str, str]]:
    return [{"name": name, "value": to_text(value)} for name, value in trial.params.items()]


def _metrics(objective: Objective, metrics: Mapping[str, Observed]) -> list[dict[str, str]]:
    """Every metric that is collected; `unavailable` is Katib's word where it was not reported."""
    listed = []
    for name in objective.strategies:
        seen = metrics.get(name)
        values = {what: _figure(getattr(seen, what)) if seen else "unavailable" for what in ("min", "max", "latest")}
        listed.append({"name": name, **values})
    return listed


def _figure(value: float) -> str:
    """A number in its shortest form: `0.9`, `100`."""
    return repr(float(value)).removesuffix(".0")


def _rules(metric: str, rule: StoppingRule) -> list[dict[str, Any]]:
    comparison = "less" if rule.direction == "maximize" else "greater"
    return [
        {"name": metric, "value": _figure(value), "comparison": comparison, "startStep": int(step)}
        for step, value in rule.thresholds.items()
    ]


class StatusWriter:
    """Keeps `experiment.yaml` and `trials/NAME.yaml` of a study up to date; each is replaced as a whole.

    Attributes:
        outcome: of the study; None while it goes on.
    """

    def __init__(
        self, katib: KatibExperiment, directory: Path, trials: Sequence[TrialRecord], outcome: Outcome | None
    ) -> None:
        """Start with the trials of earlier sessions, which the first write shows."""
        self.outcome = outcome
        self._katib = katib
        self._directory = directory
        self._trials = {trial.number: trial for trial in trials}
        self._changed = set(self._trials)
        self._changes = 0

    def show(self, trial: TrialRecord) -> None:
        if self._trials.get(trial.number) == trial:
            return
        self._trials[trial.number] = trial
        self._changed.add(trial.number)
        self._changes += 1
        # A disk that is full may have room later; the last write says if it has not.
        with suppress(OSError):
            if self._changes * _EVERY_CHANGE >= len(self._trials):
                self.write()
            else:
                self._write_trials()

    def resource(self) -> dict[str, Any]:
        return experiment_resource(self._katib, [trial for _, trial in sorted(self._trials.items())], self.outcome)

    def write(self) -> None:
        """Write what changed since the last write."""
        self._write_trials()
        write_text(self._directory / "experiment.yaml", kubernetes_yaml(self.resource()))
        self._changes = 0

    def _write_trials(self) -> None:
        over = self.outcome is not None
        if over:
            self._changed |= {number for number, trial in self._trials.items() if trial.status == "running"}
        for number in sorted(self._changed):
            log = log_of(self._directory / "logs", number)
            path = self._directory / "trials" / f"{trial_name(self._katib, number)}.yaml"
            write_text(path, kubernetes_yaml(trial_resource(self._katib, self._trials[number], log, over)))
            self._changed.discard(number)
