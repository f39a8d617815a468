"""Any endpoint that speaks OpenAI's chat completions: a server on this machine, in the cluster, or a service.

Its address and key come from the environment variables `OPENAI_BASE_URL` and `OPENAI_API_KEY`, never from the command
line, where other users of the machine could read them.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from podium.errors import ModelError
from podium.inference.backends.base import Backend, Message, Outcome, Reply, Request
from podium.models.prompted.replies import split_reasoning
from podium.text import redact

BASE_URL, API_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
SERVICE = "https://api.openai.com/v1"

_TRANSIENT_STATUS = {408, 409, 425, 429}
_TOP = 20
"""Likeliest tokens that are asked for: the most that OpenAI gives."""
_LEAST_MASS = 0.5
"""Probability that the options must have together among these tokens, or else nothing is decided."""
_LONGEST_REASON = 500
_LONGEST_WAIT = 300.0
_SHORTEST_WAIT = 0.5


class InvalidAnswerError(Exception):
    """The server answered with success, but not with a completion."""


class OpenAI(Backend):
    """A model at an endpoint; so many requests at once as `concurrency` says.

    Requests are repeated where that may help: after 408, 409, 425, 429 and 5xx, lost connections, timeouts and answers
    that are no completion. The wait is what the server asks for in `Retry-After`, or else grows with each attempt, by
    chance.
    """

    name: ClassVar[str] = "openai"
    generates = True
    enforces_schema = False
    connects: ClassVar[bool] = True
    """Whether requests are sent, for which a key may be needed."""

    def __init__(
        self,
        *,
        model: str,
        concurrency: int = 8,
        timeout: float = 120.0,
        attempts: int = 6,
        longest_wait: float = 60.0,
        logprobs: bool = False,
        schema: bool = True,
        limit_field: str = "max_tokens",
    ) -> None:
        """Connect to nothing yet.

        Args:
            model: as the endpoint calls it.
            concurrency: requests in flight.
            timeout: seconds for one attempt.
            attempts: how often a request is sent at most.
            longest_wait: seconds between attempts, where the server names none.
            logprobs: whether to decide by the probabilities of the first token; `podium infer --check` says whether the
                server gives them.
            schema: whether to send the schema of answers; `--check` says whether the server enforces it.
            limit_field: what the request calls the limit of output tokens; newer models of OpenAI want
                `max_completion_tokens`.

        Raises:
            ModelError: there is no key for OpenAI's own service.
        """
        url = os.environ.get(BASE_URL) or SERVICE
        key = os.environ.get(API_KEY)
        if not key and self.connects and url.startswith(SERVICE):
            raise ModelError(
                f"an endpoint must be named by {BASE_URL}, or a key for {SERVICE} by {API_KEY}, but the environment "
                "has neither; export one, as OPENAI_BASE_URL=http://localhost:8000/v1"
            )
        self.model = model
        self.url = url
        self.decides = logprobs
        self._key = key or "none"
        self._concurrency = concurrency
        self._timeout = timeout
        self._attempts = attempts
        self._longest_wait = longest_wait
        self._schema = schema
        self._limit_field = limit_field
        self._made: Any = None
        self._making = threading.Lock()

    def identity(self) -> dict[str, Any]:
        sent = {"logprobs": self.decides, "schema": self._schema}
        return {"backend": self.name, "endpoint": redact(self.url), "model": self.model, **sent}

    def count_tokens(self, messages: Sequence[Message]) -> None:
        return None

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        replies: queue.SimpleQueue[tuple[str, Reply | Exception]] = queue.SimpleQueue()
        for request in requests:
            waiting.put(request)
        stop = threading.Event()
        # Requests that were sent and whose reply the caller has not taken: what is lost where the caller stops.
        open_ones = threading.Semaphore(self._concurrency)

        def work() -> None:
            while True:
                open_ones.acquire()
                if stop.is_set():
                    return
                try:
                    one = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    replies.put((one.id, self._reply(one, stop)))
                except Exception as error:
                    replies.put((one.id, error))

        # Nobody waits for these threads where the caller stops early: a server may hang as long as it likes.
        for number in range(min(self._concurrency, len(requests))):
            threading.Thread(target=work, name=f"podium-openai-{number}", daemon=True).start()
        try:
            for _ in requests:
                row, found = replies.get()
                if isinstance(found, Exception):
                    raise found
                yield row, found
                open_ones.release()
        finally:
            stop.set()
            open_ones.release(self._concurrency)

    def models(self) -> list[str]:
        """Names of the models that the endpoint offers.

        Raises:
            ModelError: it does not answer.
        """
        import openai

        try:
            return [one.id for one in self._client().models.list()]
        except (openai.OpenAIError, ValueError) as error:
            raise ModelError(f"{self._place()} must list its models, but: {_reason(error)}") from error

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
            self._made = None

    def _client(self) -> Any:
        with self._making:
            if self._made is None:
                import openai

                self._made = openai.OpenAI(api_key=self._key, base_url=self.url, timeout=self._timeout, max_retries=0)
            return self._made

    def _reply(self, request: Request, stop: threading.Event) -> Reply:
        """Ask until there is a reply that is final."""
        import openai
        import tenacity

        began, attempts = time.perf_counter(), 0
        client = self._client()

        def ask() -> Reply:
            nonlocal attempts
            attempts += 1
            return self.read(client.chat.completions.create(**self.body(request)), request)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_after_attempt(self._attempts) | tenacity.stop_when_event_set(stop),
            wait=self._pause,
            sleep=tenacity.sleep_using_event(stop),
            reraise=True,
        )
        try:
            found = retrying(ask)
        except (openai.OpenAIError, InvalidAnswerError, ValueError) as error:
            found = self._failed(error)
        return found.model_copy(update={"attempts": attempts, "seconds": time.perf_counter() - began})

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent for a request."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [message.model_dump() for message in request.messages],
            "temperature": request.temperature,
            "seed": request.seed,
            self._limit_field: request.max_new_tokens,
        }
        if request.options and self.decides:
            body |= {"logprobs": True, "top_logprobs": _TOP}
        if request.schema is not None and self._schema:
            named = {"name": "answer", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def read(self, completion: Any, request: Request) -> Reply:
        """What a completion says.

        Raises:
            InvalidAnswerError: it is none.
        """
        choices: Any = getattr(completion, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        if message is None:
            raise InvalidAnswerError(f"the server answered with {_short(completion)} instead of a completion")
        usage, reason = getattr(completion, "usage", None), getattr(choices[0], "finish_reason", None)
        tokens = {
            "prompt_tokens": getattr(usage, "prompt_tokens", None),
            "output_tokens": getattr(usage, "completion_tokens", None),
        }
        text, reasoning = split_reasoning(message.content or "")
        extra = message.model_extra or {}
        apart = extra.get("reasoning_content") or extra.get("reasoning")
        if isinstance(apart, str) and apart:
            reasoning = apart
        refusal = getattr(message, "refusal", None)
        outcome: Outcome = "ok"
        error = None
        if refusal or reason == "content_filter":
            outcome, error = "refused", refusal or "the filter of the server stopped the answer"
        elif reason == "length":
            outcome, error = "truncated", f"the answer reached its limit of {request.max_new_tokens} tokens"
        probabilities = None
        if request.options and self.decides and outcome != "refused":
            probabilities = option_probabilities(_first_tokens(choices[0]), request.options)
            if probabilities is not None:
                outcome, error = "ok", None
                text = request.options[max(range(len(probabilities)), key=probabilities.__getitem__)]
        return Reply(
            outcome=outcome,
            text=None if outcome == "refused" else text,
            reasoning=reasoning,
            probabilities=probabilities,
            error=error,
            **tokens,
        )

    def _failed(self, error: Exception) -> Reply:
        """The reply for a request that was given up.

        Raises:
            ModelError: no request can be answered.
        """
        import openai

        code, status = getattr(error, "code", None), getattr(error, "status_code", None)
        if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)) or (
            code == "insufficient_quota"
        ):
            raise ModelError(
                f"{self._place()} must answer requests for the model {self.model!r}, but refuses them: {_reason(error)}"
            ) from error
        text = _reason(error)
        if _may_pass(error):
            return Reply(outcome="transient", error=text)
        if code == "content_filter":
            return Reply(outcome="refused", error=text)
        if code == "context_length_exceeded" or status == 413 or "maximum context length" in text:
            return Reply(outcome="too-long", error=text)
        return Reply(outcome="permanent", error=text)

    def _place(self) -> str:
        return redact(self.url)

    def _pause(self, state: Any) -> float:
        """Seconds until the next attempt."""
        import tenacity

        headers = getattr(getattr(state.outcome.exception(), "response", None), "headers", {})
        asked = _seconds(headers.get("retry-after-ms"), 1000) or _seconds(headers.get("retry-after"), 1)
        if asked is not None:
            return min(asked, _LONGEST_WAIT)
        grown = tenacity.wait_random_exponential(multiplier=_SHORTEST_WAIT * 2, max=self._longest_wait)
        return max(float(grown(state)), min(_SHORTEST_WAIT, self._longest_wait))


def option_probabilities(tokens: Mapping[str, float], options: Sequence[str]) -> tuple[float, ...] | None:
    """The probability of each option by the first token of an answer.

    A token counts for the option that begins with it, whatever its case, if that is one option alone. None where such
    tokens have less than half of the probability, since then nothing is known of the others.

    Args:
        tokens: log-probabilities of the likeliest first tokens.
    """
    found = [0.0] * len(options)
    folded = [option.strip().casefold() for option in options]
    for token, value in tokens.items():
        start = token.strip().casefold()
        meant = [place for place, option in enumerate(folded) if start and option.startswith(start)]
        if len(meant) == 1:
            found[meant[0]] += math.exp(value)
    total = sum(found)
    return tuple(one / total for one in found) if total >= _LEAST_MASS else None


def _first_tokens(choice: Any) -> dict[str, float]:
    content = getattr(getattr(choice, "logprobs", None), "content", None) or []
    return {one.token: one.logprob for one in content[0].top_logprobs} if content else {}


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    import openai

    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        return error.code != "insufficient_quota" and (status in _TRANSIENT_STATUS or status >= 500)
    return isinstance(
        error, (openai.APIConnectionError, openai.APIResponseValidationError, InvalidAnswerError, ValueError)
    )


def _seconds(text: str | None, divisor: int) -> float | None:
    """The wait that a header asks for: seconds, or a date."""
    if text is None:
        return None
    try:
        return max(float(text) / divisor, 0.0)
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
        except (ValueError, TypeError):
            return None


def _reason(error: Exception) -> str:
    """Why a request failed, without credentials, in one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__
    more = f" ({type(cause).__name__}: {cause})" if cause is not None and str(cause) not in said else ""
    return redact(_short(said + more))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + " …"
