import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from podium.local.progress import ProgressView, State

EVENTS: list[dict[str, Any]] = [
    {"event": "step_started", "step": "hpo-tiny", "log": "x"},
    {"event": "trial_started", "step": "hpo-tiny", "number": 0, "params": {"learning_rate": 1e-4}, "folds": 2},
    {"event": "trial_started", "step": "hpo-tiny", "number": 1, "params": {"learning_rate": 2e-4}, "folds": 2},
    {"event": "fold_finished", "step": "hpo-tiny", "number": 0, "fold": 0, "score": 0.5},
    {"event": "fold_finished", "step": "hpo-tiny", "number": 0, "fold": 1, "score": 0.7},
    {"event": "trial_finished", "step": "hpo-tiny", "number": 0, "score": 0.6},
    {"event": "trial_finished", "step": "hpo-tiny", "number": 1, "score": None, "error": "loss became NaN"},
    {"event": "something_new", "step": "hpo-tiny"},
    {"event": "step_started", "step": "select", "log": "y"},
    {"event": "step_failed", "step": "select", "seconds": 0.5, "error": "no champion"},
    {"event": "step_finished", "step": "hpo-tiny", "how": "computed", "key": "a" * 64, "seconds": 3.0},
]


def write(path: Path, events: list[dict[str, Any]]) -> None:
    with path.open("a") as stream:
        for number, event in enumerate(events):
            stream.write(json.dumps({"time": 1000.0 + number, **event}) + "\n")


def shown(path: Path, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    with ProgressView(path, console):
        write(path, EVENTS)
    return stream.getvalue()


def test_without_a_terminal_every_event_of_note_is_a_line(tmp_path: Path) -> None:
    text = shown(tmp_path / "events.jsonl", terminal=False)
    assert "trial 0 fold 1: 0.7000" in text
    assert "trial 0 done: 0.6000  (best is trial 0: 0.6000)" in text
    assert "trial 1 failed: loss became NaN" in text
    assert text.splitlines()[-1].endswith("computed in 10.0 s  (key aaaaaaaaaaaa)")
    assert "failed after 0.5 s" in text
    assert "\x1b" not in text


def test_on_a_terminal_the_last_view_shows_every_step_and_its_outcome(tmp_path: Path) -> None:
    text = shown(tmp_path / "events.jsonl", terminal=True)
    assert "hpo-tiny" in text and "computed" in text


def test_the_leaderboard_ranks_finished_trials_and_shows_running_ones() -> None:
    state = State()
    for event in EVENTS[:6]:
        state.apply({"time": 0.0, **event})
    best = state.best("hpo-tiny")
    assert best is not None and (best.number, best.score) == (0, 0.6)
    assert not state.trials["hpo-tiny", 1].ended


def test_a_line_cut_in_two_by_a_slow_writer_is_taken_whole(tmp_path: Path) -> None:
    path, stream = tmp_path / "events.jsonl", io.StringIO()
    line = json.dumps({"time": 1.0, **EVENTS[0]}) + "\n"
    with ProgressView(path, Console(file=stream, width=120)):
        path.write_text(line[:20])
        with path.open("a") as rest:
            rest.write(line[20:])
    assert "started" in stream.getvalue()


@pytest.mark.parametrize("event", [{"event": "fold_finished", "step": "s", "fold": 0, "score": 1.0}])
def test_a_fold_of_no_trial_is_left_out(event: dict[str, Any]) -> None:
    assert State().apply({"time": 0.0, **event}) is None
