"""Draws the progress of a run from its events: a live view on a terminal, one line per event elsewhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from podium.display.terminal import say
from podium.events import ENV_FILE, ENV_STEP
from podium.execution.environment import variables_set
from podium.hpo.tables import number, span, value_text


@dataclass
class _Trial:
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
    additional_metrics: Sequence[str] = ()
    trials: dict[int, _Trial] = field(default_factory=dict)
    found: int = 0

    @property
    def ended(self) -> int:
        return len(self.trials) - len(self.of_status("running"))

    def of_status(self, status: str) -> list[_Trial]:
        return [trial for trial in self.trials.values() if trial.status == status]

    @property
    def ranked(self) -> list[_Trial]:
        """The trials that succeeded, best first; of equals the one with the lowest number."""
        sign = -1.0 if self.direction == "maximize" else 1.0
        return sorted(self.of_status("succeeded"), key=lambda trial: (sign * (trial.score or 0.0), trial.number))

    @property
    def goal_reached(self) -> bool:
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
class _Step:
    name: str
    started: float
    seconds: float | None = None
    outcome: str = "running"
    note: str = ""


@dataclass
class State:
    """Everything drawn. A study outside the pipeline has no step: its events name none."""

    steps: dict[str, _Step] = field(default_factory=dict)
    studies: dict[str, Study] = field(default_factory=dict)

    def apply(self, event: dict[str, Any]) -> str | None:
        """Take in one event; returns a line for a terminal-less log, or None when it is not worth one."""
        handler: Callable[[dict[str, Any]], str | None] = getattr(self, f"_on_{event['event']}", lambda _: None)
        return handler(event)

    def running_studies(self) -> list[Study]:
        steps = {name: self.steps.get(name) for name in sorted(self.studies)}
        return [self.studies[name] for name, step in steps.items() if step is None or step.outcome == "running"]

    def _on_step_started(self, event: dict[str, Any]) -> str:
        self.steps[event["step"]] = _Step(event["step"], event["time"])
        return "started"

    def _on_step_finished(self, event: dict[str, Any]) -> str:
        step = self.steps[event["step"]]
        step.outcome, step.seconds = event["how"], event["time"] - step.started
        if step.outcome == "skipped":
            return f"skipped: {event.get('reason') or 'there is nothing to do'}"
        return f"{step.outcome} in {step.seconds:.1f} s  (key {event['key'][:12]})"

    def _on_step_failed(self, event: dict[str, Any]) -> str:
        step = self.steps[event["step"]]
        step.outcome, step.seconds = "stopped" if event.get("stopped") else "failed", event["seconds"]
        why = "" if event.get("stopped") else f": {shorten(event['error'], 160, placeholder=' …')}"
        return f"{step.outcome} after {step.seconds:.1f} s{why}"

    def _on_step_skipped(self, event: dict[str, Any]) -> str:
        self.steps[event["step"]] = _Step(event["step"], event["time"], 0.0, "skipped")
        return f"skipped: {event['reason']}"

    def _on_step_waiting(self, event: dict[str, Any]) -> str:
        return f"waiting for {event['owner']}, which computes the same result"

    def _on_planned(self, event: dict[str, Any]) -> str:
        return "; ".join(event["lines"])

    def _on_note(self, event: dict[str, Any]) -> str:
        self._note(event, event["text"])
        return str(event["text"])

    def _on_rows(self, event: dict[str, Any]) -> None:
        self._note(event, f"{event['done']:,} rows read")

    def _on_rows_answered(self, event: dict[str, Any]) -> str:
        left = f", about {span(event['left'])} left" if event["left"] is not None else ""
        bad = f", {event['bad']:,} without a valid answer" if event["bad"] else ""
        line = f"{event['done']:,} of {event['total']:,} rows, {number(event['rate'])} rows/s{left}{bad}"
        self._note(event, line)
        return line

    def _on_fetching(self, event: dict[str, Any]) -> None:
        self._note(event, f"{event['done'] / 1e6:,.0f} of {event['total'] / 1e6:,.0f} MB fetched")

    def _on_study_started(self, event: dict[str, Any]) -> str | None:
        about = ("metric", "direction", "max_trials", "goal", "additional_metrics", "found")
        same = {name: event[name] for name in about}
        self.studies[event["step"]] = study = Study(event["step"] or event["name"], event["time"], **same)
        return f"goes on after {study.found} of {study.max_trials} trials" if study.found else None

    def _on_trial_started(self, event: dict[str, Any]) -> str:
        study = self.studies.setdefault(event["step"], Study(event["step"], event["time"]))
        trial = _Trial(event["number"], event["params"], event["time"], fold_count=event.get("folds", 0))
        study.trials[trial.number] = trial
        return f"trial {trial.number} started: {_params(trial)}"

    def _on_fold_finished(self, event: dict[str, Any]) -> str | None:
        study = self.studies.get(event["step"])
        trial = study.trials.get(event.get("number", -1)) if study else None
        if trial is None:
            return None
        trial.folds[event["fold"]] = event["score"]
        return f"trial {trial.number} fold {event['fold']}: {number(event['score'])}"

    def _on_epoch(self, event: dict[str, Any]) -> None:
        self._note(event, f"epoch {event['epoch']:.1f}")

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

    def _on_curve_point(self, event: dict[str, Any]) -> str:
        line = f"{event['fraction']:.0%} of the rows: {event['error'] or number(event['score'])}"
        self._note(event, line)
        return line

    def _on_benchmark_repetition(self, event: dict[str, Any]) -> str:
        line = f"{event['model']} repetition {event['number'] + 1} of {event['of']}: p50 {event['p50']:.2f} ms"
        self._note(event, line)
        return line

    def _note(self, event: dict[str, Any], note: str) -> None:
        if step := self.steps.get(event["step"]):
            step.note = note


def _params(trial: _Trial) -> str:
    return " ".join(f"{name}={value_text(value, 3)}" for name, value in trial.params.items())


_POLL_SECONDS = 0.1
_ROWS_SHOWN = 5
_PRUNED_SHOWN = 2
_SHORTEST_SHOWN = 0.05
"""Seconds; what took less was found ended, and its time is not known here."""
_NOT_DONE = ("failed", "stopped")


@contextmanager
def report_to(events: Path, step: str) -> Iterator[None]:
    """Let this process and those it starts report to a file of events, which begins anew, as `step`."""
    events.parent.mkdir(parents=True, exist_ok=True)
    events.write_text("")
    with variables_set({ENV_FILE: str(events), ENV_STEP: step}):
        yield


@contextmanager
def progress_view(events: Path, console: Console) -> Iterator[None]:
    """Follow an events file in a thread of its own, and draw it on `console`, until the body ends."""
    state, started, done = State(), time.time(), threading.Event()

    def take(event: dict[str, Any]) -> None:
        line = state.apply(event)
        if line and not event.get("found") and not console.is_terminal:
            study = state.studies.get(event["step"])
            name = event["step"] or (study.name if study else "")
            text = f"[{event['time'] - started:6.1f}s] {name:<18} {line}"
            say(console, text)

    def follow() -> None:
        position, rest = 0, b""
        while True:
            finishing = done.is_set()
            if events.exists():
                with events.open("rb") as stream:
                    stream.seek(position)
                    data = stream.read()
                position += len(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    take(json.loads(line))
            if finishing:
                return
            done.wait(_POLL_SECONDS)

    thread = threading.Thread(target=follow, daemon=True)
    live = Live(console=console, get_renderable=lambda: _drawn(state), refresh_per_second=4, transient=False)
    with live if console.is_terminal else nullcontext():
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _drawn(state: State) -> RenderableType:
    now = time.time()
    table = Table(box=None, pad_edge=False, show_header=False)
    for step in state.steps.values():
        running = step.outcome == "running"
        seconds = now - step.started if running else step.seconds or 0.0
        mark: RenderableType = Spinner("dots") if running else Text("✗" if step.outcome in _NOT_DONE else "✓")
        table.add_row(mark, step.name, f"{seconds:5.1f} s", step.note if running else step.outcome)
    return Group(table, *(leaderboard(study, now) for study in state.running_studies()))


def leaderboard(study: Study, now: float) -> Group:
    """The leading trials of a study, those stopped early last, those that run, and how far it is; `now` in seconds."""
    table = Table(box=None, pad_edge=False)
    for heading in ("trial", study.metric, *study.additional_metrics, "folds", "time"):
        table.add_column(heading, no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis")
    pruned, running = (study.of_status(status) for status in ("pruned", "running"))
    for trial in (*study.ranked[:_ROWS_SHOWN], *pruned[-_PRUNED_SHOWN:], *running):
        table.add_row(*_cells(trial, study, now), style="dim" if trial.status == "pruned" else "")
    return Group(Text(f"{study.name}: leading trials", style="italic"), table, Text(_caption(study, now), style="dim"))


def _cells(trial: _Trial, study: Study, now: float) -> list[RenderableType]:
    score = {"running": "running", "pruned": f"pruned at {number(trial.score)}"}.get(trial.status, number(trial.score))
    folds = ProgressBar(total=trial.fold_count, completed=len(trial.folds), width=12) if trial.fold_count else ""
    seconds = (trial.ended or now) - trial.started
    return [
        str(trial.number),
        score,
        *(number(trial.metrics.get(name)) for name in study.additional_metrics),
        folds,
        span(seconds) if seconds >= _SHORTEST_SHOWN else "",
        _params(trial),
    ]


def _caption(study: Study, now: float) -> str:
    counts = ", ".join(f"{len(study.of_status(status))} {status}" for status in ("succeeded", "failed", "pruned"))
    budget = "" if study.max_trials is None else f" of {study.max_trials}"
    text = f"{study.ended}{budget} trials ended: {counts}"
    if study.goal_reached:
        return f"{text}; the goal of {number(study.goal)} is reached"
    left = study.seconds_left(now)
    return text if left is None else f"{text}; about {span(left)} left"
