"""Answering rows: nothing is lost or repeated, whatever kills it; budgets; and whose directory it is."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import DatasetConfig
from podium.data.formats import FORMATS, resolve_sources
from podium.errors import InputError, ModelError, RunOutOfBudget
from podium.inference import run as runs
from podium.inference.journal import Entry, Journal
from podium.inference.rows import Choice, InputRow, RowSource
from podium.inference.run import Budget, Progress, RunDirectory, System, answer_rows, budget_of, joined, refuse_unable
from podium.inference.writers import CSV, JSONL
from podium.keys import Key


class Upper(System):
    """Answers with the text in capitals, in another order; what it is to fail on is in the text."""

    task, labels = None, None

    def __init__(self, pause: float = 0.0) -> None:
        self.asked: Counter[str] = Counter()
        self._pause = pause

    def identity(self) -> dict[str, Any]:
        return {"model": "upper"}

    def shown(self, row: InputRow) -> str:
        return str(row.content)

    def count_tokens(self, rows: Sequence[InputRow]) -> list[int | None]:
        return [len(row.content) for row in rows]

    def answer(self, rows: Sequence[InputRow]) -> Generator[Entry]:
        for row in reversed(rows):
            self.asked[row.id] += 1
            time.sleep(self._pause)
            failed = next((one for one in ("transient", "permanent", "unparseable") if one in row.content), None)
            if failed and self.asked[row.id] == 1:
                yield Entry(id=row.id, outcome=failed, error="it was to fail")  # type: ignore[arg-type]
            else:
                yield Entry(id=row.id, outcome="ok", answer=row.content.upper())


def source_of(path: Path, texts: Sequence[str]) -> RowSource:
    path.write_text("".join(json.dumps({"text": text, "number": n}) + "\n" for n, text in enumerate(texts)))
    config = DatasetConfig(name="rows", path=str(path), task="text-classification")
    (source,) = resolve_sources(config)
    return RowSource(FORMATS.get("jsonl")(source, config), "text", lambda text: None if text else "is empty")


def answered(source: RowSource, path: Path, system: System, budget: Budget | None = None, retry: bool = False) -> None:
    with Journal(path) as journal:
        survey = source.survey(Choice())
        answer_rows(system, source, survey, journal, budget or Budget(None), retry, lambda progress: None)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def interrupted(source: RowSource, path: Path, kills: int, pause: float) -> int:
    """Kill a process that answers rows, again and again; returns how often it was killed before it was done."""
    fork, chance = multiprocessing.get_context("fork"), random.Random(0)
    killed = 0
    for _ in range(kills):
        child = fork.Process(target=answered, args=(source, path, Upper(pause)))
        child.start()
        time.sleep(chance.uniform(0.0, 0.05))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        killed += child.exitcode == -signal.SIGKILL
    return killed


@pytest.mark.parametrize(
    ("kills", "rows"), [(8, 200), pytest.param(100, 3000, marks=pytest.mark.slow)], ids=["some", "hundred"]
)
def test_kills_lose_and_repeat_no_row(tmp_path: Path, kills: int, rows: int) -> None:
    source = source_of(tmp_path / "rows.jsonl", [f"row {number}" for number in range(rows)])
    journal = tmp_path / "journal.jsonl"
    killed = interrupted(source, journal, kills, pause=0.001)
    rest = Upper()
    before = sum(line.endswith(b"\n") for line in journal.read_bytes().splitlines(keepends=True)) if killed else 0
    answered(source, journal, rest)
    found = lines(journal)
    assert Counter(line["id"] for line in found) == Counter(f"rows.jsonl:{number + 1}" for number in range(rows))
    assert {line["answer"] for line in found} == {f"ROW {number}" for number in range(rows)}
    assert rest.asked.total() == rows - before
    assert killed > kills / 2


def test_rows_are_shown_first_and_progress_counts_what_was_there_before(tmp_path: Path) -> None:
    source = source_of(tmp_path / "rows.jsonl", ["a", "b", "c"])
    seen: list[Progress] = []
    shown: list[str] = []
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.add([Entry(id="rows.jsonl:1", outcome="unparseable")])
        answer_rows(
            Upper(),
            source,
            source.survey(Choice()),
            journal,
            Budget(),
            False,
            seen.append,
            lambda row, entry: shown.append(f"{row.content} {entry.answer}"),
        )
    assert shown == ["b B"]
    assert [(one.done, one.total, one.asked, one.bad) for one in seen] == [(2, 3, 1, 1), (3, 3, 2, 1)]


def test_passing_failures_are_asked_again_and_others_on_request(tmp_path: Path) -> None:
    source, path = source_of(tmp_path / "rows.jsonl", ["a", "transient", "permanent", "unparseable"]), tmp_path / "j"
    system = Upper()
    answered(source, path, system)
    assert [line["outcome"] for line in lines(path)] == ["ok", "unparseable", "permanent", "transient"]
    answered(source, path, system)
    assert [line["answer"] for line in lines(path)[4:]] == ["TRANSIENT"]
    answered(source, path, system, retry=True)
    assert [line["answer"] for line in lines(path)[5:]] == ["PERMANENT", "UNPARSEABLE"]
    answered(source, path, system, retry=True)
    assert len(lines(path)) == 7


def test_a_budget_that_is_spent_stops_the_run_and_keeps_what_is_answered(tmp_path: Path) -> None:
    source, path = source_of(tmp_path / "rows.jsonl", [f"permanent {n}" for n in range(5)]), tmp_path / "j"
    with pytest.raises(
        RunOutOfBudget, match=r"--max-errors allows 2 errors, but there are 3; the last one is rows.jsonl"
    ):
        answered(source, path, Upper(), Budget(2))
    assert len(lines(path)) == 3
    system = Upper()
    with pytest.raises(RunOutOfBudget):
        answered(source, path, system, Budget(2))
    assert system.asked.total() == 0
    answered(source, path, Upper(), Budget(5))
    assert len(lines(path)) == 5
    odd, other = source_of(tmp_path / "odd.jsonl", ["unparseable"] * 3), tmp_path / "k"
    with pytest.raises(RunOutOfBudget, match="--max-unanswered allows 1 unanswered, but there are 2"):
        answered(odd, other, Upper(), Budget(0, 1))


def test_rows_without_content_are_refused_before_any_is_asked_or_recorded(tmp_path: Path) -> None:
    source, path = source_of(tmp_path / "rows.jsonl", ["a", "", "b"]), tmp_path / "j"
    survey = source.survey(Choice())
    with pytest.raises(ModelError, match=r"1 of 3 do not:\n  rows.jsonl:2: field 'text' is empty\n.*--max-errors 1"):
        refuse_unable(survey, Budget(0))
    refuse_unable(survey, Budget(1))
    answered(source, path, Upper(), Budget(1))
    assert {line["id"]: line["error"] for line in lines(path)}["rows.jsonl:2"] == "field 'text' is empty"


@pytest.mark.parametrize(("text", "found"), [("3", 3), ("0", 0), ("10%", 20), ("0.05", 10), ("", None)])
def test_a_budget_is_a_count_or_a_share(text: str, found: int | None) -> None:
    assert budget_of(text, 200, "--max-errors") == found


@pytest.mark.parametrize("text", ["-1", "many", "1.5", "200%", "nan"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--max-errors must be a count of rows such as 20, or a share"):
        budget_of(text, 200, "--max-errors")


def directory(folder: Path, **parts: Any) -> RunDirectory:
    return RunDirectory(folder, "mine", Key.of("inference", **parts), {"model": "m", "data": "d"})


def test_a_directory_is_continued_with_equal_settings_only(tmp_path: Path) -> None:
    directory(tmp_path, system={"model": "a", "device": "cpu"}).update("running")
    directory(tmp_path, system={"model": "a", "device": "cpu"}).update("finished", rows=3)
    found = json.loads((tmp_path / "mine" / "run.json").read_text())
    assert (found["status"], found["rows"], found["model"], found["id"]) == ("finished", 3, "m", "mine")
    with pytest.raises(InputError, match=r'system.model: "a" there, "b" now\nChoose another name with --run-id'):
        directory(tmp_path, system={"model": "b", "device": "cpu"})
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").touch()
    with pytest.raises(InputError, match="must be the directory of a run, or new, but it holds other files"):
        RunDirectory(tmp_path, "theirs", Key.of("inference"), {})


def test_predictions_are_whole_or_not_there_and_no_foreign_file_is_replaced(tmp_path: Path) -> None:
    source, system = source_of(tmp_path / "rows.jsonl", ["a", "b"]), Upper()
    answered(source, tmp_path / "journal.jsonl", system)
    run, output = directory(tmp_path), tmp_path / "out.csv"
    run.update("running")
    output.write_text("precious")
    with pytest.raises(InputError, match="an existing file is never replaced by another run's predictions"):
        run.check_output(output)
    output.unlink()
    with Journal(tmp_path / "journal.jsonl") as journal:
        rows = joined(source, source.survey(Choice()), journal, system)
        run.check_output(output)
        run.write_predictions(rows, CSV, output)
        expected = "text,number,podium_id,podium_outcome,podium_answer,podium_probabilities,podium_error"
        assert output.read_text().splitlines()[:2] == [expected, "a,0,rows.jsonl:1,ok,A,,"]
        run.check_output(output)
        assert run.write_predictions(rows, JSONL, None).name == "predictions.jsonl"
        assert not (run.path / "predictions.csv").exists()

        def broken() -> Generator[dict[str, Any]]:
            yield {"text": "a"}
            raise OSError("the disk is gone")

        before = (run.path / "predictions.jsonl").read_bytes()
        with pytest.raises(OSError, match="gone"):
            run.write_predictions(broken, JSONL, None)
        assert (run.path / "predictions.jsonl").read_bytes() == before
        assert {one.name for one in run.path.iterdir()} == {"run.json", "predictions.jsonl"}
    again = directory(tmp_path)
    again.check_output(output)
    output.write_text("edited by hand")
    with pytest.raises(InputError, match="is not what this run"):
        again.check_output(output)


def test_memory_and_time_hold_for_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows bound what is held; the order of answers within a window is free."""
    monkeypatch.setattr(runs, "WINDOW", 3)
    source, path = source_of(tmp_path / "rows.jsonl", [str(n) for n in range(8)]), tmp_path / "j"
    answered(source, path, Upper())
    assert [line["answer"] for line in lines(path)] == ["0", "3", "2", "1", "6", "5", "4", "7"]
