"""The contract of a backend: what is asked of a model, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from podium.records.base import Frozen

Role = Literal["system", "user", "assistant"]

Outcome = Literal["ok", "unparseable", "refused", "truncated", "too-long", "transient", "permanent"]
"""How a row ended. A backend gives all but `unparseable`, which only the parser of a reply can find.

- `ok`: there is an answer.
- `unparseable`: there is text, but no valid answer in it.
- `refused`: the model or its filter declined to answer.
- `truncated`: the text ended at `max_new_tokens`.
- `too-long`: the prompt does not fit the model; nothing was computed.
- `transient`: it failed in a way that may pass, after all attempts.
- `permanent`: it failed in a way that repeats itself.
"""


class Message(Frozen):
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt for a model.

    Attributes:
        id: unique among the requests of one call.
        messages: the conversation that the model answers.
        options: texts of which the answer is one. A backend that decides gives each a probability.
        schema: JSON schema of the answer where it is to be JSON. A backend that does not enforce it ignores it.
        max_new_tokens: tokens of the answer at most, where it is generated.
        temperature: 0 takes the likeliest token each time.
        seed: of the sampling, with the id: equal requests give equal answers where the backend can promise that.
    """

    id: str
    messages: tuple[Message, ...]
    options: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    max_new_tokens: int = 100
    temperature: float = 0.0
    seed: int = 0


class Reply(Frozen):
    """What came of one request.

    Attributes:
        outcome: how it ended.
        text: the answer: the likeliest option, or what was generated; None where there is none.
        reasoning: what the model wrote before its answer, where it keeps that apart.
        probabilities: of the options of the request, which sum to 1; None where the answer was generated.
        prompt_tokens: tokens of the prompt; None where the backend does not say.
        output_tokens: tokens that were generated, or that all options have together; None where it does not say.
        seconds: time spent on it; in a batch its share, by tokens.
        attempts: how often it was sent.
        error: the reason where there is no answer.
    """

    outcome: Outcome
    text: str | None = None
    reasoning: str | None = None
    probabilities: tuple[float, ...] | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    error: str | None = None


class Backend(ABC):
    """Answers prompts with one model, which it has loaded or reaches by network.

    An instance is used by one thread at a time, and closed at the end; it is its own context manager. Constructors take
    keyword arguments that follow from the config, and raise ModelError if the model is not there.

    Attributes:
        name: as configs and records give it.
        decides: whether it gives probabilities of options.
        generates: whether it writes text.
        enforces_schema: whether an answer that it gives under a schema is sure to fit it.
    """

    name: ClassVar[str]
    decides: bool
    generates: bool
    enforces_schema: bool

    @abstractmethod
    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        """Answer every request once: its id and the reply, in any order, each as soon as it is known.

        A request with options is decided where the backend decides, and otherwise generated. What goes wrong with one
        request is in its reply and does not touch the others. An exception means that no request can be answered.

        Raises:
            ModelError: the backend neither decides nor generates what is asked.
            OutOfMemory: host or device memory ran out, even for one request at a time.
        """

    @abstractmethod
    def count_tokens(self, messages: Sequence[Message]) -> int | None:
        """Tokens of the prompt that the messages make; None where the backend cannot know."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What shapes the answers, as JSON-like values, which become part of a key: the digest of the weights, the
        precision, the digest of the chat template, or the name of the model at an endpoint.
        """

    def close(self) -> None:
        """Give back memory, connections and processes; it may be called twice."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
