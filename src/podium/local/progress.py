"""Draws the progress of a run: a live view on a terminal, one line per event elsewhere."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from podium.events import ENV_FILE, ENV_STEP
from podium.hpo.tables import number, span
from podium.local.state import State, Study, Trial, format_params

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
    before = {name: os.environ.get(name) for name in (ENV_FILE, ENV_STEP)}
    os.environ.update({ENV_FILE: str(events), ENV_STEP: step})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


class ProgressView:
    """Context manager that follows an events file and draws it until it is closed.

    A background thread of its own reads and draws; it ends with the context. Events of a study outside the pipeline
    need name no step.
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
                f"[{elapsed:6.1f}s] {self._name(event['step']):<18} {line}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def _name(self, step: str) -> str:
        study = self._state.studies.get(step)
        return step or (study.name if study else "")

    def _render(self) -> RenderableType:
        now = time.time()
        leaderboards = [leaderboard(study, now) for study in self._state.running_studies()]
        return Group(self._steps_table(), *leaderboards)

    def _steps_table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(4):
            table.add_column()
        for step in self._state.steps.values():
            running = step.outcome == "running"
            seconds = time.time() - step.started if running else step.seconds or 0.0
            mark: RenderableType = Spinner("dots") if running else Text("✗" if step.outcome in _NOT_DONE else "✓")
            table.add_row(mark, step.name, f"{seconds:5.1f} s", step.note if running else step.outcome)
        return table


def leaderboard(study: Study, now: float) -> Group:
    """The leading trials of a study, those stopped early last, those that run, and how far it is.

    Args:
        study: whose trials.
        now: seconds since the epoch.
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("trial", study.metric, *study.additional_metrics, "folds", "time"):
        table.add_column(heading, no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis")
    pruned, running = (study.of_status(status) for status in ("pruned", "running"))
    for trial in (*study.ranked[:_ROWS_SHOWN], *pruned[-_PRUNED_SHOWN:], *running):
        table.add_row(*_cells(trial, study, now), style="dim" if trial.status == "pruned" else "")
    return Group(Text(f"{study.name}: leading trials", style="italic"), table, Text(_caption(study, now), style="dim"))


def _cells(trial: Trial, study: Study, now: float) -> list[RenderableType]:
    score = {"running": "running", "pruned": f"pruned at {number(trial.score)}"}.get(trial.status, number(trial.score))
    folds = ProgressBar(total=trial.fold_count, completed=len(trial.folds), width=12) if trial.fold_count else ""
    seconds = (trial.ended or now) - trial.started
    return [
        str(trial.number),
        score,
        *(number(trial.metrics.get(name)) for name in study.additional_metrics),
        folds,
        span(seconds) if seconds >= _SHORTEST_SHOWN else "",
        format_params(trial.params),
    ]


def _caption(study: Study, now: float) -> str:
    counts = ", ".join(f"{len(study.of_status(status))} {status}" for status in ("succeeded", "failed", "pruned"))
    budget = "" if study.max_trials is None else f" of {study.max_trials}"
    text = f"{study.ended}{budget} trials ended: {counts}"
    if study.goal_reached:
        return f"{text}; the goal of {number(study.goal)} is reached"
    left = study.seconds_left(now)
    return text if left is None else f"{text}; about {span(left)} left"
