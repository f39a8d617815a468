"""The files of OpenAI's batch interface: requests that are sent later, by someone else, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from podium.errors import DataError
from podium.inference.backends.base import Message, Reply, Request
from podium.inference.backends.openai import InvalidAnswerError, OpenAI

URL = "/v1/chat/completions"
REQUESTS_TEMPLATE = "requests"
"""Name of the template whose rows are requests themselves."""


class BatchFiles(OpenAI):
    """Answers with the results in a file, as the endpoint of the same settings would have; it connects to nothing.

    A request that has no result there, or a result that is an error, may be asked again: its reply is transient.
    """

    connects: ClassVar[bool] = False

    def __init__(self, *, results: Path | None = None, **settings: Any) -> None:
        """Read the results.

        Args:
            results: None to write requests only.
            settings: as for `OpenAI`.

        Raises:
            DataError: the file is none with results.
        """
        super().__init__(**settings)
        self._results = {} if results is None else read_results(results)
        self._file = results

    def line(self, request: Request) -> dict[str, Any]:
        """A request as one line of a file."""
        return {"custom_id": request.id, "method": "POST", "url": URL, "body": self.body(request)}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        for request in requests:
            yield request.id, self._found(request)

    def _found(self, request: Request) -> Reply:
        from openai.types.chat import ChatCompletion

        result = self._results.get(request.id)
        if result is None:
            return Reply(outcome="transient", error=f"{self._file} has no result for it")
        response = result.get("response") or {}
        if result.get("error") or response.get("status_code") != 200:
            reason = result.get("error") or response.get("body")
            return Reply(outcome="transient", error=json.dumps(reason, ensure_ascii=False))
        try:
            return self.read(ChatCompletion.construct(**response.get("body", {})), request)
        except (InvalidAnswerError, TypeError, AttributeError) as error:
            return Reply(outcome="transient", error=str(error))


def batch_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Request` that a row of a batch file gives: messages, schema, limit, temperature and seed.

    Raises:
        ValueError: it is no request for a chat completion; the message says why.
    """
    body = values.get("body")
    if not isinstance(body, Mapping) or not isinstance(body.get("messages"), list) or not body["messages"]:
        raise ValueError("a row must be a request with body.messages, but is not")
    try:
        messages = tuple(Message(role=one["role"], content=one["content"]) for one in body["messages"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"body.messages must have roles and texts, but: {error}") from error
    found: dict[str, Any] = {"messages": messages}
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    named = {"max_new_tokens": limit, "temperature": body.get("temperature"), "seed": body.get("seed")}
    found |= {name: value for name, value in named.items() if value is not None}
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        found["schema"] = form.get("json_schema", {}).get("schema")
    return found


def result_line(row: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction, by column, as one line of a file with results."""
    identity = row["podium_id"]
    if row["podium_outcome"] not in ("ok", "unparseable", "truncated"):
        error = {"code": row["podium_outcome"], "message": row["podium_error"]}
        return {"id": f"podium-{identity}", "custom_id": identity, "response": None, "error": error}
    message = {"role": "assistant", "content": row.get("podium_text"), "reasoning_content": row.get("podium_reasoning")}
    reason = "length" if row["podium_outcome"] == "truncated" else "stop"
    body = {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": reason, "message": message}]}
    response = {"status_code": 200, "request_id": f"podium-{identity}", "body": body}
    return {"id": f"podium-{identity}", "custom_id": identity, "response": response, "error": None}


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """The results in a file, by the id of their request.

    Raises:
        DataError: it cannot be read, or is none with results.
    """
    found: dict[str, dict[str, Any]] = {}
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                if line.strip():
                    value = json.loads(line)
                    found[str(value["custom_id"])] = value
    except OSError as error:
        raise DataError(f"a file with results must be readable, but: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} line {number} must be a result with a custom_id, but: {error!r}") from error
    return found
