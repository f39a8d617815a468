"""Files of OpenAI's batch interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podium.errors import DataError
from podium.inference.backends.base import Message
from podium.inference.backends.openai_batch import BatchFiles, batch_fields, result_line
from tests.unit.inference.backends.chat_server import completion
from tests.unit.inference.backends.contract import ask


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def results(path: Path, *lines: dict[str, Any] | str) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def good(row: str, text: str, **more: Any) -> dict[str, Any]:
    return {"custom_id": row, "response": {"status_code": 200, "body": completion(text, **more)}, "error": None}


def test_a_request_comes_back_from_its_line() -> None:
    schema = {"type": "object", "properties": {}}
    request = ask("a text", 3, schema=schema, max_new_tokens=9, temperature=0.5, seed=4)
    line = BatchFiles(model="gpt").line(request)
    assert (line["custom_id"], line["method"], line["url"]) == ("row-3", "POST", "/v1/chat/completions")
    fields = batch_fields(line)
    assert fields == {
        "messages": (Message(role="user", content="a text"),),
        "schema": schema,
        "max_new_tokens": 9,
        "temperature": 0.5,
        "seed": 4,
    }


def test_answers_are_those_of_the_file_and_the_rest_may_be_asked_later(tmp_path: Path) -> None:
    path = results(
        tmp_path / "results.jsonl",
        good("row-1", "one", finish_reason="length"),
        good("row-0", "zero"),
        {"custom_id": "row-2", "response": {"status_code": 500, "body": {"error": "x"}}, "error": None},
        {"custom_id": "row-3", "response": None, "error": {"code": "batch_expired"}},
        {"custom_id": "row-4", "response": {"status_code": 200, "body": {"choices": []}}, "error": None},
        "",
    )
    backend = BatchFiles(model="gpt", results=path)
    found = dict(backend.answer([ask("x", number) for number in range(6)]))
    assert [found[f"row-{n}"].outcome for n in range(6)] == ["ok", "truncated", *["transient"] * 4]
    assert (found["row-0"].text, found["row-0"].prompt_tokens) == ("zero", 7)
    assert "batch_expired" in str(found["row-3"].error)
    assert "has no result for it" in str(found["row-5"].error)


def test_predictions_are_written_as_results_that_are_read_again(tmp_path: Path) -> None:
    row = {"podium_id": "row-0", "podium_outcome": "ok", "podium_text": "zero", "podium_reasoning": "why"}
    failed = {"podium_id": "row-1", "podium_outcome": "permanent", "podium_error": "no"}
    path = results(tmp_path / "results.jsonl", result_line(row), result_line(failed))
    found = dict(BatchFiles(model="gpt", results=path).answer([ask("x", 0), ask("x", 1)]))
    assert (found["row-0"].text, found["row-0"].reasoning) == ("zero", "why")
    assert (found["row-1"].outcome, '"no"' in str(found["row-1"].error)) == ("transient", True)


@pytest.mark.parametrize("line", ["{", '{"id": 3}', "[]"])
def test_a_file_without_results_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"line 2 must be a result with a custom_id"):
        BatchFiles(model="gpt", results=results(tmp_path / "r.jsonl", good("a", "b"), line))
    with pytest.raises(DataError, match="a file with results must be readable"):
        BatchFiles(model="gpt", results=tmp_path / "absent")


@pytest.mark.parametrize("body", [None, {}, {"messages": []}, {"messages": [{"role": "user"}]}, {"messages": ["x"]}])
def test_a_row_that_is_no_request_says_so(body: Any) -> None:
    with pytest.raises(ValueError, match=r"body.messages"):
        batch_fields({"custom_id": "a", "body": body})
