"""What a backend really does, found by real requests: some servers answer 200 and ignore what they were asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from podium.inference.backends.base import Backend, Message, Reply, Request

_SHOWN = 120
_CODE = "PODIUM-7"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "enum": [_CODE]}},
    "required": ["code"],
    "additionalProperties": False,
}
_WEATHER = "Describe the weather of a day in autumn in one sentence of plain English."


class Finding(NamedTuple):
    """One capability: whether it is there, and what was seen."""

    capability: str
    works: bool
    seen: str


def check(backend: Backend) -> Iterator[Finding]:
    """Ask for each capability in turn; where the backend does not answer at all, only that is found.

    Raises:
        ModelError: no request can be answered.
    """
    first = _ask(backend, "Answer with the word podium.")
    yield Finding("answers", first.outcome in ("ok", "truncated"), _said(first))
    if first.outcome not in ("ok", "truncated"):
        return
    tokens = f"{first.prompt_tokens} of the prompt, {first.output_tokens} of the answer"
    yield Finding("counts tokens", first.prompt_tokens is not None, tokens)
    again = _ask(backend, "Answer with the word podium.")
    yield Finding("repeats itself", again.text == first.text, "the same request at temperature 0, twice")
    short = _ask(backend, _WEATHER, max_new_tokens=2)
    yield Finding("keeps the limit of tokens", short.outcome == "truncated", f"asked for 2: {_said(short)}")
    decided = _ask(backend, "Is snow cold? Answer yes or no.", options=("yes", "no"), max_new_tokens=3)
    chances = decided.probabilities
    seen = _said(decided) if chances is None else ", ".join(f"{one:.3f}" for one in chances) + " for yes, no"
    yield Finding("decides with probabilities", chances is not None, seen)
    enforcement = schema_enforcement(backend)
    yield Finding("enforces a schema", enforcement == "enforced", enforcement)


def schema_enforcement(backend: Backend) -> str:
    """`enforced`, or what the backend does instead with a schema that the prompt does not suit."""
    reply = _ask(backend, _WEATHER, schema=_SCHEMA)
    try:
        fits = json.loads(reply.text or "") == {"code": _CODE}
    except ValueError:
        fits = False
    if fits:
        return "enforced"
    return f"{'ignored' if reply.outcome in ('ok', 'truncated') else 'refused'}: {_said(reply)}"


def _ask(backend: Backend, text: str, **fields: Any) -> Reply:
    request = Request(id="check", messages=(Message(role="user", content=text),), **{"max_new_tokens": 20, **fields})
    ((_, reply),) = backend.answer([request])
    return reply


def _said(reply: Reply) -> str:
    text = reply.error if reply.text is None else repr(reply.text)
    return f"{reply.outcome}: {text if text and len(text) <= _SHOWN else (text or '')[:_SHOWN] + ' …'}"
