"""A backend without a model, for tests and dry runs: it answers with the end of the prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from podium.inference.backends.base import Backend, Message, Reply, Request


class Echo(Backend):
    """Answers with the words of the last message, or decides for the option that it mentions most often.

    Its tokens are words. Equal requests give equal replies.
    """

    name: ClassVar[str] = "echo"
    decides = True
    generates = True
    enforces_schema = True

    def __init__(self, *, max_tokens: int = 1_000_000) -> None:
        """Take prompts of so many words at most."""
        self._max_tokens = max_tokens

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        for request in requests:
            yield request.id, self._reply(request)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    def identity(self) -> dict[str, Any]:
        return {"backend": self.name}

    def _reply(self, request: Request) -> Reply:
        count, last = self.count_tokens(request.messages), request.messages[-1].content
        if count > self._max_tokens:
            return Reply(
                outcome="too-long",
                prompt_tokens=count,
                error=f"a prompt must have at most {self._max_tokens} tokens, but has {count}",
            )
        if request.options:
            weights = [1 + last.lower().count(option.lower()) for option in request.options]
            best = weights.index(max(weights))
            return Reply(
                outcome="ok",
                text=request.options[best],
                probabilities=tuple(weight / sum(weights) for weight in weights),
                prompt_tokens=count,
                output_tokens=sum(len(option.split()) for option in request.options),
            )
        words = last.split()
        if request.schema is not None:
            text = json.dumps(_example(request.schema, " ".join(words[:3])), ensure_ascii=False)
            return Reply(outcome="ok", text=text, prompt_tokens=count, output_tokens=len(text.split()))
        kept = words[: request.max_new_tokens]
        outcome = "ok" if len(kept) == len(words) else "truncated"
        return Reply(outcome=outcome, text=" ".join(kept), prompt_tokens=count, output_tokens=len(kept))


def _example(schema: Mapping[str, Any], text: str) -> Any:
    """A value that fits a schema."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((one for one in schema["enum"] if str(one).lower() in text.lower()), schema["enum"][0])
    kind = schema.get("type")
    if kind == "object":
        return {name: _example(one, text) for name, one in schema.get("properties", {}).items()}
    plain: dict[Any, Any] = {"array": [], "integer": 0, "number": 0.0, "boolean": False, "null": None}
    return plain.get(kind, text)
