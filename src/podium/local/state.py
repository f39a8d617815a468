"""What is known of a run while it goes, rebuilt from its progress events alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from podium.hpo.tables import number, value_text


@dataclass
class Trial:
    """What is known of one trial."""

    number: int
    params: dict[str, Any]
    started: float
    ended: float | None = None
    fold_count: int = 0
    folds: dict[int, float] = field(default_factory=dict)
    status: str = "running"
    score: float | None = None
    error: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class Study:
    """What is known of one study; `found` counts the trials that had ended before this session."""

    name: str
    started: float
    metric: str = "score"
    direction: str = "maximize"
    max_trials: int | None = None
    goal: float | None = None
    additional_metrics: tuple[str, ...] = ()
    trials: dict[int, Trial] = field(default_factory=dict)
    found: int = 0

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return len(self.trials) - len(self.of_status("running"))

    def of_status(self, status: str) -> list[Trial]:
        """The trials with a status, in the order in which they started."""
        return [trial for trial in self.trials.values() if trial.status == status]

    @property
    def ranked(self) -> list[Trial]:
        """The trials that succeeded, best first; of equals the one with the lowest number."""
        sign = -1.0 if self.direction == "maximize" else 1.0
        return sorted(self.of_status("succeeded"), key=lambda trial: (sign * (trial.score or 0.0), trial.number))

    @property
    def goal_reached(self) -> bool:
        """Whether the leading trial meets the goal."""
        leading = next((trial.score for trial in self.ranked), None)
        if self.goal is None or leading is None:
            return False
        return leading >= self.goal if self.direction == "maximize" else leading <= self.goal

    def seconds_left(self, now: float) -> float | None:
        """How long the rest of the budget takes at the pace of this session; None while that is unknown or over."""
        done = self.ended - self.found
        if self.max_trials is None or done < 1 or self.ended >= self.max_trials or self.goal_reached:
            return None
        return (now - self.started) / done * (self.max_trials - self.ended)


@dataclass
class Step:
    """What is known of one step."""

    name: str
    started: float
    seconds: float | None = None
    outcome: str = "running"
    note: str = ""


@dataclass
class State:
    """Everything drawn. A study outside the pipeline has no step: its events name none."""

    steps: dict[str, Step] = field(default_factory=dict)
    studies: dict[str, Study] = field(default_factory=dict)

    def apply(self, event: dict[str, Any]) -> str | None:
        """Take in one event; returns a line for a terminal-less log, or None when it is not worth one."""
        handler = getattr(self, f"_on_{event['event']}", None)
        line: str | None = handler(event) if handler else None
        return line

    def running_studies(self) -> list[Study]:
        """The studies whose step has not ended, and those without a step."""
        steps = {name: self.steps.get(name) for name in sorted(self.studies)}
        return [self.studies[name] for name, step in steps.items() if step is None or step.outcome == "running"]

    def _on_step_started(self, event: dict[str, Any]) -> str:
        self.steps[event["step"]] = Step(event["step"], event["time"])
        return "started"

    def _on_step_finished(self, event: dict[str, Any]) -> str:
        step = self.steps[event["step"]]
        step.outcome = event["how"]
        step.seconds = event["time"] - step.started
        return f"{step.outcome} in {step.seconds:.1f} s  (key {event['key'][:12]})"

    def _on_step_failed(self, event: dict[str, Any]) -> str:
        step = self.steps[event["step"]]
        step.outcome = "stopped" if event.get("stopped") else "failed"
        step.seconds = event["seconds"]
        return f"{step.outcome} after {step.seconds:.1f} s"

    def _on_step_waiting(self, event: dict[str, Any]) -> str:
        return f"waiting for {event['owner']}, which computes the same result"

    def _on_rows(self, event: dict[str, Any]) -> None:
        self._note(event, f"{event['done']:,} rows read")

    def _on_study_started(self, event: dict[str, Any]) -> str | None:
        self.studies[event["step"]] = study = Study(
            name=event["step"] or event["name"],
            started=event["time"],
            metric=event["metric"],
            direction=event["direction"],
            max_trials=event["max_trials"],
            goal=event["goal"],
            additional_metrics=tuple(event["additional_metrics"]),
            found=event["found"],
        )
        return f"goes on after {study.found} of {study.max_trials} trials" if study.found else None

    def _on_trial_started(self, event: dict[str, Any]) -> str:
        study = self.studies.setdefault(event["step"], Study(event["step"], event["time"]))
        trial = Trial(event["number"], event["params"], event["time"], fold_count=event.get("folds", 0))
        study.trials[trial.number] = trial
        return f"trial {trial.number} started: {format_params(trial.params)}"

    def _on_fold_finished(self, event: dict[str, Any]) -> str | None:
        study = self.studies.get(event["step"])
        trial = study.trials.get(event.get("number", -1)) if study else None
        if trial is None:
            return None
        trial.folds[event["fold"]] = event["score"]
        return f"trial {trial.number} fold {event['fold']}: {number(event['score'])}"

    def _on_epoch(self, event: dict[str, Any]) -> None:
        self._note(event, f"epoch {event['epoch']:.1f}")

    def _on_training_progress(self, event: dict[str, Any]) -> None:
        self._note(event, f"training step {event['done']} of {event['total']}")

    def _on_trial_finished(self, event: dict[str, Any]) -> str:
        study = self.studies[event["step"]]
        trial = study.trials[event["number"]]
        trial.status, trial.score, trial.error = event["status"], event["score"], event["error"]
        trial.ended, trial.metrics = event["time"], event["metrics"]
        if trial.status == "failed":
            return f"trial {trial.number} failed: {trial.error}"
        if trial.status == "pruned":
            return f"trial {trial.number} pruned: {trial.error}"
        best = study.ranked[0]
        return f"trial {trial.number} done: {number(trial.score)}  (best is trial {best.number}: {number(best.score)})"

    def _on_benchmark_repetition(self, event: dict[str, Any]) -> str:
        which = f"repetition {event['number'] + 1} of {event['of']}"
        line = f"{event['model']} {which}: p50 {event['p50']:.2f} ms"
        self._note(event, line)
        return line

    def _note(self, event: dict[str, Any], note: str) -> None:
        if step := self.steps.get(event["step"]):
            step.note = note


def format_params(params: dict[str, Any]) -> str:
    """Hyperparameters on one line."""
    return " ".join(f"{name}={value_text(value, 3)}" for name, value in params.items())
