import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from podium.local.progress import State, leaderboard, progress_view


def ended(
    step: str, number: int, score: float | None, status: str = "succeeded", error: str = "", **metrics: float
) -> dict[str, Any]:
    event = {"event": "trial_finished", "step": step, "number": number, "score": score, "status": status}
    return {**event, "error": error or None, "metrics": metrics}


EVENTS: list[dict[str, Any]] = [
    {"event": "step_started", "step": "hpo-tiny", "log": "x"},
    {
        "event": "study_started",
        "step": "hpo-tiny",
        "name": "reviews-tiny",
        "metric": "macro_f1",
        "direction": "maximize",
        "goal": None,
        "additional_metrics": [],
        "max_trials": 4,
        "found": 0,
    },
    {"event": "trial_started", "step": "hpo-tiny", "number": 0, "params": {"learning_rate": 1e-4}, "folds": 2},
    {"event": "trial_started", "step": "hpo-tiny", "number": 1, "params": {"learning_rate": 2e-4}, "folds": 2},
    {"event": "fold_finished", "step": "hpo-tiny", "number": 0, "fold": 0, "score": 0.5},
    {"event": "fold_finished", "step": "hpo-tiny", "number": 0, "fold": 1, "score": 0.7},
    ended("hpo-tiny", 0, 0.6),
    ended("hpo-tiny", 1, None, "failed", "loss became NaN"),
    {"event": "something_new", "step": "hpo-tiny"},
    {"event": "step_started", "step": "select", "log": "y"},
    {"event": "step_failed", "step": "select", "seconds": 0.5, "error": f"no champion{' at all' * 99}\nlog: x"},
    {"event": "step_skipped", "step": "refit-tiny", "reason": "step hpo-tiny failed"},
    {"event": "step_started", "step": "curve", "log": None},
    {"event": "step_finished", "step": "curve", "how": "skipped", "key": "b" * 64, "reason": "fractions is empty"},
    {"event": "step_finished", "step": "hpo-tiny", "how": "computed", "key": "a" * 64, "seconds": 3.0},
]


def write(path: Path, events: list[dict[str, Any]]) -> None:
    with path.open("a") as stream:
        for number, event in enumerate(events):
            stream.write(json.dumps({"time": 1000.0 + number, **event}) + "\n")


def shown(path: Path, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    with progress_view(path, console):
        write(path, EVENTS)
    return stream.getvalue()


def test_without_a_terminal_every_event_of_note_is_a_line(tmp_path: Path) -> None:
    text = shown(tmp_path / "events.jsonl", terminal=False)
    assert "trial 0 fold 1: 0.7000" in text
    assert "trial 0 done: 0.6000  (best is trial 0: 0.6000)" in text
    assert "trial 1 failed: loss became NaN" in text
    assert text.splitlines()[-1].endswith("computed in 14.0 s  (key aaaaaaaaaaaa)")
    assert "failed after 0.5 s: no champion at all" in text and "at all …\n" in text
    assert "refit-tiny         skipped: step hpo-tiny failed\n" in text
    assert "curve              skipped: fractions is empty\n" in text
    assert "\x1b" not in text


def test_on_a_terminal_the_last_view_shows_every_step_and_its_outcome(tmp_path: Path) -> None:
    text = shown(tmp_path / "events.jsonl", terminal=True)
    assert "hpo-tiny" in text and "computed" in text


def test_the_leaderboard_ranks_finished_trials_and_shows_running_ones() -> None:
    text = drawn(EVENTS[:7], now=8.0)
    assert rows(text) == ["0 0.6000 4.0 s learning_rate=0.0001", "1 running 5.0 s learning_rate=0.0002"]
    assert text.endswith("1 of 4 trials ended: 1 succeeded, 0 failed, 0 pruned; about 21 s left")


@pytest.mark.parametrize(("direction", "order"), [("maximize", ["1", "2", "3"]), ("minimize", ["2", "1", "3"])])
def test_the_leaderboard_knows_the_direction_and_never_ranks_a_pruned_trial(direction: str, order: list[str]) -> None:
    """A study of a Katib file: no step, no folds, an additional metric."""
    started = {
        **EVENTS[1],
        "step": "",
        "direction": direction,
        "additional_metrics": ["loss"],
        "goal": 0.55,
        "found": 1,
    }
    trials = [{"event": "trial_started", "step": "", "number": number, "params": {"x": number}} for number in (1, 2, 3)]
    ends = [ended("", 1, 0.6, loss=0.25), ended("", 2, 0.5, loss=1e-5), ended("", 3, 0.9, "pruned", "below")]
    text = drawn([started, *trials, *ends], now=9.0)
    assert [row.split()[0] for row in rows(text)] == order
    assert "1 0.6000 0.2500 3.0 s x=1" in rows(text) and "2 0.5000 1e-05 3.0 s x=2" in rows(text)
    assert rows(text)[-1] == "3 pruned at 0.9000 - 3.0 s x=3"
    assert text.startswith("reviews-tiny: leading trials")
    assert text.endswith("the goal of 0.5500 is reached")


def test_a_pruned_trial_and_a_resumed_study_are_lines(tmp_path: Path) -> None:
    state = State()
    lines = [
        state.apply({"time": 0.0, **event})
        for event in ({**EVENTS[1], "found": 3}, EVENTS[2], ended("hpo-tiny", 0, 0.5, "pruned", "0.5 is below 0.6"))
    ]
    assert lines[0] == "goes on after 3 of 4 trials"
    assert lines[2] == "trial 0 pruned: 0.5 is below 0.6"


def drawn(events: list[dict[str, Any]], now: float) -> str:
    """The leaderboard after events that came a second apart."""
    state = State()
    for second, event in enumerate(events):
        state.apply({"time": float(second), **event})
    (study,) = state.running_studies()
    stream = io.StringIO()
    Console(file=stream, width=160).print(leaderboard(study, now))
    return "\n".join(line.rstrip() for line in stream.getvalue().strip().splitlines())


def rows(text: str) -> list[str]:
    """The rows of a leaderboard, without the bars that stand for folds."""
    return [" ".join(part for part in line.split() if set(part) != {"━"}) for line in text.splitlines()[2:-1]]


def test_a_line_cut_in_two_by_a_slow_writer_is_taken_whole(tmp_path: Path) -> None:
    path, stream = tmp_path / "events.jsonl", io.StringIO()
    line = json.dumps({"time": 1.0, **EVENTS[0]}) + "\n"
    with progress_view(path, Console(file=stream, width=120)):
        path.write_text(line[:20])
        with path.open("a") as rest:
            rest.write(line[20:])
    assert "started" in stream.getvalue()


@pytest.mark.parametrize("event", [{"event": "fold_finished", "step": "s", "fold": 0, "score": 1.0}])
def test_a_fold_of_no_trial_is_left_out(event: dict[str, Any]) -> None:
    assert State().apply({"time": 0.0, **event}) is None


def test_a_step_that_fetches_says_how_far_it_is() -> None:
    state = State()
    state.apply({"time": 0.0, "event": "step_started", "step": "prepare"})
    event = {"time": 1.0, "event": "fetching", "step": "prepare", "uri": "s3://b/x", "done": 5e8, "total": 2.5e9}
    assert state.apply(event) is None
    assert state.steps["prepare"].note == "500 of 2,500 MB fetched"
