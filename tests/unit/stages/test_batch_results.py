"""`podium evaluate` reads the results of OpenAI's batch interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import podium_here


def result(name: str, text: str | None, reason: str = "stop") -> dict[str, Any]:
    if text is None:
        return {"custom_id": name, "response": {"status_code": 500, "body": {}}, "error": {"message": "down"}}
    choice = {"finish_reason": reason, "message": {"role": "assistant", "content": text}}
    return {"custom_id": name, "response": {"status_code": 200, "body": {"model": "a-model", "choices": [choice]}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"id": f"n{n}", "text": f"row {n}", "topic": ("sport", "tech")[n % 2]} for n in range(6)]
    found = [
        *(result("n0", "Sport."), result("n1", '{"label": "tech", "rationale": "a phone"}')),
        *(result("n2", "<think>tech?</think>sport"), result("n3", "sport or tech"), result("n4", "sport", "length")),
        result("n5", None),
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, found)))
    return tmp_path


def test_results_are_read_as_replies_and_compared_with_the_rows(folder: Path) -> None:
    asked = ("evaluate", "results.jsonl", "--data", "rows.jsonl", "--label-column", "topic", "-o", "json")
    done = podium_here(folder, *asked)
    assert done.code == 0, done.output
    found = json.loads(done.output)
    assert (found["run"]["rows"], found["run"]["right"], found["run"]["model"]) == (6, 3, "a-model")
    assert found["run"]["outcomes"] == {"ok": 3, "unparseable": 1, "truncated": 1, "permanent": 1}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "name the file that was asked with --data"),
        (("--data", "rows.jsonl", "--label-column", "label"), "none of id, text, topic"),
    ],
)
def test_what_is_missing_is_said(folder: Path, more: tuple[str, ...], said: str) -> None:
    done = podium_here(folder, "evaluate", "results.jsonl", *more)
    assert done.code == 2 and said in " ".join(done.output.split()), done.output
