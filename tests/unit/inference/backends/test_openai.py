"""Endpoints that speak chat completions, well and badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from podium.errors import ModelError
from podium.inference.backends.base import Backend, Reply
from podium.inference.backends.check import check
from podium.inference.backends.openai import OpenAI, option_probabilities
from tests.unit.inference.backends.chat_server import Answer, ChatServer, completion, likely, said, serving, well
from tests.unit.inference.backends.contract import BackendContract, ask

QUICK = {"attempts": 3, "longest_wait": 0.01, "timeout": 20.0}


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Importing the client takes a second, which no timeout of a test is to include."""
    import openai
    import tenacity

    assert openai and tenacity


def asking(monkeypatch: pytest.MonkeyPatch, server: ChatServer, **settings: Any) -> OpenAI:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return OpenAI(**{"model": "fake", **QUICK, **settings})


class TestContract(BackendContract):
    name: ClassVar[str] = "openai"

    @pytest.fixture
    def backend(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        with serving() as server, asking(monkeypatch, server, logprobs=True) as backend:
            yield backend


def reply(monkeypatch: pytest.MonkeyPatch, *answers: Answer, **settings: Any) -> tuple[Reply, ChatServer]:
    """The reply where the server gives these answers, one after the other, and the last one from then on."""

    def behave(body: dict[str, Any], times: int) -> Answer:
        return answers[min(times, len(answers) - 1)]

    with serving(behave) as server, asking(monkeypatch, server, **settings) as backend:
        ((_, found),) = backend.answer([ask("one", options=("yes", "no") if settings.get("logprobs") else ())])
        return found, server


GOOD = Answer(body=completion("fine"))


@pytest.mark.parametrize(
    "bad",
    [
        Answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "0"}),
        Answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "Mon, 30 Nov 2026 03:00:00 GMT"}),
        Answer(500, {"error": {"message": "oops"}}),
        Answer(503, b"<html>busy</html>", {"Content-Type": "text/html"}),
        Answer(body=completion("fine"), half=40),
        Answer(body=b'{"choices": [{"mess', headers={}),
        Answer(body=b"it is fine", headers={"Content-Type": "text/plain"}),
        Answer(body={"choices": []}),
        Answer(body={"error": {"message": "200, but no"}}),
        Answer(body=[1, 2]),
    ],
    ids=["429", "429-date", "500", "503-html", "half", "cut-json", "text", "no-choice", "error-200", "list"],
)
def test_what_may_pass_is_asked_again_and_its_attempts_are_counted(
    monkeypatch: pytest.MonkeyPatch, bad: Answer
) -> None:
    found, server = reply(monkeypatch, bad, bad, GOOD)
    assert (found.outcome, found.text, found.attempts, len(server.bodies)) == ("ok", "fine", 3, 3)
    found, server = reply(monkeypatch, bad)
    assert (found.outcome, found.attempts, len(server.bodies)) == ("transient", 3, 3)
    assert found.error


def test_the_server_is_given_the_time_that_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.3"})
    found, _ = reply(monkeypatch, later, GOOD)
    assert (found.outcome, found.attempts) == ("ok", 2)
    assert found.seconds >= 0.3


def test_a_server_that_hangs_fails_after_the_timeout_and_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    try:
        found, _ = reply(monkeypatch, Answer(body=completion("late"), hang=hang), timeout=0.2, attempts=2)
        assert (found.outcome, found.attempts) == ("transient", 2)
        assert "timed out" in str(found.error)
    finally:
        hang.set()


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (400, {"message": "no such parameter", "code": "bad"}, "permanent"),
        (422, {"message": "unprocessable"}, "permanent"),
        (400, {"message": "This model's maximum context length is 8 tokens"}, "too-long"),
        (400, {"message": "long", "code": "context_length_exceeded"}, "too-long"),
        (413, {"message": "too large"}, "too-long"),
        (400, {"message": "filtered", "code": "content_filter"}, "refused"),
    ],
)
def test_what_repeats_itself_is_kept_with_its_reason_and_asked_once(
    monkeypatch: pytest.MonkeyPatch, status: int, error: dict[str, str], outcome: str
) -> None:
    found, server = reply(monkeypatch, Answer(status, {"error": error}))
    assert (found.outcome, found.attempts, len(server.bodies)) == (outcome, 1, 1)
    assert error["message"] in str(found.error)


@pytest.mark.parametrize(
    ("status", "code"), [(401, "invalid_api_key"), (403, "no"), (404, "model_not_found"), (429, "insufficient_quota")]
)
def test_what_no_request_can_pass_ends_the_whole_call(monkeypatch: pytest.MonkeyPatch, status: int, code: str) -> None:
    with pytest.raises(ModelError, match=r"must answer requests for the model 'fake', but refuses them: .*why"):
        reply(monkeypatch, Answer(status, {"error": {"message": "why", "code": code}}))


def test_what_the_model_did_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = reply(monkeypatch, Answer(body=completion("cut", finish_reason="length")))
    assert (found.outcome, found.text) == ("truncated", "cut")
    found, _ = reply(monkeypatch, Answer(body=completion(None, refusal="I will not")))
    assert (found.outcome, found.text, found.error) == ("refused", None, "I will not")
    found, _ = reply(monkeypatch, Answer(body=completion("x", finish_reason="content_filter")))
    assert found.outcome == "refused"
    found, _ = reply(monkeypatch, Answer(body=completion("sport", reasoning_content="it says goal")))
    assert (found.text, found.reasoning) == ("sport", "it says goal")
    harmony = "<|channel|>analysis<|message|>a goal<|end|><|start|>assistant<|channel|>final<|message|>sport<|return|>"
    found, _ = reply(monkeypatch, Answer(body=completion(harmony)))
    assert (found.text, found.reasoning) == ("sport", "a goal")
    assert (found.prompt_tokens, found.output_tokens) == (7, 3)


def test_options_are_decided_by_the_first_token_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    top = Answer(body=completion("Yes, it is", logprobs=likely(Yes=0.6, **{" no": 0.2}, y=0.1, Maybe=0.1)))
    found, server = reply(monkeypatch, top, logprobs=True)
    assert (found.text, found.probabilities) == ("yes", pytest.approx((0.7 / 0.9, 0.2 / 0.9)))
    assert server.bodies[0]["top_logprobs"] == 20
    for silent in (completion("Yes"), completion("Hm", logprobs=likely(Hm=0.9, yes=0.1))):
        found, _ = reply(monkeypatch, Answer(body=silent), logprobs=True)
        assert (found.probabilities, found.outcome) == (None, "ok")
    assert option_probabilities({"not": -0.1}, ("not good", "not bad")) is None, "it may be either"


def test_requests_are_bounded_and_answers_belong_to_their_rows_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Barrier(4)

    def behave(body: dict[str, Any], times: int) -> Answer:
        gate.wait(60)
        return Answer(body=completion(f"answer to {said(body)}"))

    with serving(behave) as server, asking(monkeypatch, server, concurrency=4) as backend:
        found = dict(backend.answer([ask(f"text {number}", number) for number in range(20)]))
    assert {row: one.text for row, one in found.items()} == {f"row-{n}": f"answer to text {n}" for n in range(20)}
    assert server.most_at_once == 4
    assert server.keys == {"Bearer sk-test"}


def test_a_caller_that_stops_is_not_held_by_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()

    def behave(body: dict[str, Any], times: int) -> Answer:
        return Answer(body=completion("x"), hang=None if said(body) == "first" else hang)

    try:
        with serving(behave) as server, asking(monkeypatch, server, concurrency=2, timeout=600.0) as backend:
            replies = backend.answer([ask("first", 0), *(ask(f"text {number}", number) for number in range(1, 9))])
            assert next(iter(replies))[0] == "row-0"
            replies.close()  # type: ignore[attr-defined]
            asked = len(server.bodies)
            hang.set()
            assert asked <= 3
    finally:
        hang.set()


def test_the_schema_is_sent_unless_it_is_not_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}}
    with serving() as server:
        for sent in (True, False):
            backend = asking(
                monkeypatch, server, schema=sent, limit_field="max_completion_tokens" if sent else "max_tokens"
            )
            list(backend.answer([ask("x", schema=schema, temperature=0.5, seed=3, max_new_tokens=9)]))
    first, second = server.bodies
    assert first["response_format"]["json_schema"]["schema"] == schema
    assert (first["max_completion_tokens"], first["seed"], first["temperature"]) == (9, 3, 0.5)
    assert "response_format" not in second


def test_a_check_tells_what_the_server_really_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server, asking(monkeypatch, server, logprobs=True) as backend:
        assert {found.capability: found.works for found in check(backend)} == {
            "answers": True,
            "counts tokens": True,
            "repeats itself": True,
            "keeps the limit of tokens": True,
            "decides with probabilities": True,
            "enforces a schema": True,
        }

    def careless(body: dict[str, Any], times: int) -> Answer:
        body = {**body, "max_tokens": 1000}
        return well({name: value for name, value in body.items() if name not in ("response_format", "logprobs")}, times)

    with serving(careless) as server, asking(monkeypatch, server, logprobs=True) as backend:
        found = {one.capability: one for one in check(backend)}
    assert not any(found[name].works for name in list(found)[3:])
    assert found["enforces a schema"].seen.startswith("ignored: ok: 'Describe the weather")
    with serving(lambda body, times: Answer(400, {"error": {"message": "nothing works"}})) as server:
        (only,) = check(asking(monkeypatch, server))
    assert (only.works, "nothing works" in only.seen) == (False, True)


def test_a_missing_key_and_a_dead_server_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match=r"export one, as OPENAI_BASE_URL=http://localhost:8000/v1"):
        OpenAI(model="fake")
    with serving() as server:
        url = server.url.replace("//", "//user:secret@")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        backend = OpenAI(model="fake", **QUICK)  # type: ignore[arg-type]
        assert "secret" not in str(backend.identity())
        assert backend.models() == ["fake"]
    backend.close()
    ((_, dead),) = backend.answer([ask("x")])
    assert (dead.outcome, dead.attempts) == ("transient", 3)
    assert "Connection error" in str(dead.error)
    assert "secret" not in str(dead.error)
