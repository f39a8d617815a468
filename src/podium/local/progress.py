"""Draws the progress of a run: a live view on a terminal, one line per event elsewhere."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_POLL_SECONDS = 0.1
_ROWS_SHOWN = 5


@dataclass
class Trial:
    """What is known of one trial."""

    step: str
    number: int
    params: dict[str, Any]
    folds: dict[int, float] = field(default_factory=dict)
    fold_count: int = 0
    score: float | None = None
    ended: bool = False
    error: str | None = None


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
    """Everything drawn, rebuilt from events alone."""

    steps: dict[str, Step] = field(default_factory=dict)
    trials: dict[tuple[str, int], Trial] = field(default_factory=dict)
    metric: str = "score"

    def apply(self, event: dict[str, Any]) -> str | None:
        """Take in one event; returns a line for a terminal-less log, or None when it is not worth one."""
        handler = getattr(self, f"_on_{event['event']}", None)
        line: str | None = handler(event) if handler else None
        return line

    def best(self, step: str) -> Trial | None:
        """The leading trial of a study."""
        scored = [trial for trial in self.trials.values() if trial.step == step and trial.score is not None]
        return max(scored, key=lambda trial: trial.score or 0.0, default=None)

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
        step.outcome, step.seconds = "failed", event["seconds"]
        return f"failed after {event['seconds']:.1f} s"

    def _on_step_waiting(self, event: dict[str, Any]) -> str:
        return f"waiting for {event['owner']}, which computes the same result"

    def _on_rows(self, event: dict[str, Any]) -> None:
        self._note(event, f"{event['done']:,} rows read")

    def _on_trial_started(self, event: dict[str, Any]) -> str:
        trial = Trial(event["step"], event["number"], event["params"], fold_count=event.get("folds", 0))
        self.trials[event["step"], event["number"]] = trial
        return f"trial {trial.number} started: {format_params(trial.params)}"

    def _on_fold_finished(self, event: dict[str, Any]) -> str | None:
        trial = self.trials.get((event["step"], event.get("number", -1)))
        if trial is None:
            return None
        trial.folds[event["fold"]] = event["score"]
        return f"trial {trial.number} fold {event['fold']}: {event['score']:.4f}"

    def _on_epoch(self, event: dict[str, Any]) -> None:
        self._note(event, f"epoch {event['epoch']:.1f}")

    def _on_training_progress(self, event: dict[str, Any]) -> None:
        self._note(event, f"training step {event['done']} of {event['total']}")

    def _on_trial_finished(self, event: dict[str, Any]) -> str:
        trial = self.trials[event["step"], event["number"]]
        trial.ended = True
        trial.score, trial.error = event.get("score"), event.get("error")
        if trial.score is None:
            return f"trial {trial.number} failed: {trial.error}"
        best = self.best(trial.step)
        leader = f"best is trial {best.number}: {best.score:.4f}" if best else ""
        return f"trial {trial.number} done: {trial.score:.4f}  ({leader})"

    def _on_benchmark_repetition(self, event: dict[str, Any]) -> str:
        line = f"{event['backbone']} repetition {event['number']}: p50 {event['p50']:.2f} ms"
        self._note(event, line)
        return line

    def _note(self, event: dict[str, Any], note: str) -> None:
        if step := self.steps.get(event["step"]):
            step.note = note


def format_params(params: dict[str, Any]) -> str:
    """Hyperparameters on one line."""
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )


class ProgressView:
    """Context manager that follows an events file and draws it until it is closed.

    A background thread of its own reads and draws; it ends with the context.
    """

    def __init__(self, events: Path, console: Console) -> None:
        self._events = events
        self._console = console
        self._state = State()
        self._started = time.time()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._console.is_terminal:
            self._live.stop()

    def _follow(self) -> None:
        position, rest = 0, b""
        while True:
            finishing = self._done.is_set()
            if self._events.exists():
                with self._events.open("rb") as stream:
                    stream.seek(position)
                    data = stream.read()
                position += len(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
            if finishing:
                return
            self._done.wait(_POLL_SECONDS)

    def _take(self, event: dict[str, Any]) -> None:
        line = self._state.apply(event)
        if line and not event.get("found") and not self._console.is_terminal:
            elapsed = event["time"] - self._started
            self._console.print(
                f"[{elapsed:6.1f}s] {event['step']:<18} {line}", highlight=False, markup=False, soft_wrap=True
            )

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [self._steps_table()]
        searching = {trial.step for trial in self._state.trials.values()}
        parts += [self._leaderboard(step) for step in sorted(searching) if self._state.steps[step].outcome == "running"]
        return Group(*parts)

    def _steps_table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(4):
            table.add_column()
        for step in self._state.steps.values():
            running = step.outcome == "running"
            seconds = time.time() - step.started if running else step.seconds or 0.0
            mark: RenderableType = Spinner("dots") if running else Text("✗" if step.outcome == "failed" else "✓")
            table.add_row(mark, step.name, f"{seconds:5.1f} s", step.note if running else step.outcome)
        return table

    def _leaderboard(self, step: str) -> Table:
        table = Table(title=f"{step}: leading trials", title_justify="left", box=None, pad_edge=False)
        for heading in ("trial", "score", "folds", "parameters"):
            table.add_column(heading)
        trials = [trial for trial in self._state.trials.values() if trial.step == step]
        ended = sorted((t for t in trials if t.score is not None), key=lambda t: (-(t.score or 0.0), t.number))
        for trial in [*ended[:_ROWS_SHOWN], *(t for t in trials if not t.ended)]:
            score = f"{trial.score:.4f}" if trial.score is not None else "running"
            bar = ProgressBar(total=max(trial.fold_count, 1), completed=len(trial.folds), width=12)
            table.add_row(str(trial.number), score, bar, format_params(trial.params))
        failed = sum(trial.error is not None for trial in trials)
        table.caption = f"{len(ended)} done, {failed} failed"
        return table
