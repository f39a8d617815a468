"""What every backend must do, whatever answers behind it."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from podium.inference.backends import BACKENDS
from podium.inference.backends.base import Backend, Message, Reply, Request


def ask(text: str, number: int = 0, **fields: Any) -> Request:
    return Request(id=f"row-{number}", messages=(Message(role="user", content=text),), **fields)


class BackendContract:
    """Subclasses give a loaded `backend`. Texts of a few words fit it, and one of `too_long` words does not.

    Attributes:
        name: of the backend in the registry.
        too_long: None where the backend does not know how long a prompt may be.
    """

    name: ClassVar[str]
    too_long: ClassVar[int | None] = None

    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError

    def replies(self, backend: Backend, *requests: Request) -> dict[str, Reply]:
        found = list(backend.answer(requests))
        assert sorted(name for name, _ in found) == sorted(one.id for one in requests), "each request once"
        return dict(found)

    def test_it_is_registered(self, backend: Backend) -> None:
        assert BACKENDS.get(self.name) is type(backend) and backend.name == self.name

    def test_it_does_something(self, backend: Backend) -> None:
        assert backend.decides or backend.generates

    def test_its_identity_is_plain_data_that_does_not_change(self, backend: Backend) -> None:
        identity = backend.identity()
        assert identity and json.loads(json.dumps(identity)) == identity == backend.identity()

    def test_nothing_asked_is_nothing_answered(self, backend: Backend) -> None:
        assert self.replies(backend) == {}

    def test_every_request_is_answered_once_whatever_its_length(self, backend: Backend) -> None:
        texts = ["short", "a somewhat longer text " * 5, "", "日本 🎉 é", "short"]
        requests = [ask(text, number, max_new_tokens=3) for number, text in enumerate(texts)]
        for reply in self.replies(backend, *requests).values():
            assert reply.outcome in ("ok", "truncated", "refused"), reply.error
            assert reply.seconds >= 0 and reply.attempts >= 1

    def test_options_are_decided_with_probabilities_or_generated(self, backend: Backend) -> None:
        asked = [ask(f"text {number}", number, options=("yes", "no", "not at all")) for number in range(5)]
        for reply in self.replies(backend, *asked).values():
            if not backend.decides:
                assert reply.probabilities is None
                continue
            assert reply.outcome == "ok" and reply.probabilities is not None
            assert len(reply.probabilities) == 3 and sum(reply.probabilities) == pytest.approx(1)
            assert reply.text == asked[0].options[reply.probabilities.index(max(reply.probabilities))]

    def test_rows_are_decided_alike_whatever_is_asked_with_them(self, backend: Backend) -> None:
        if not backend.decides:
            pytest.skip("it does not decide")
        asked = [
            ask("word " * (3 * number + 1), number, options=("yes", "no", "not at all")[: 2 + number % 2])
            for number in range(6)
        ]
        together = self.replies(backend, *asked)
        for request in asked:
            alone = self.replies(backend, request)[request.id]
            assert alone.probabilities == pytest.approx(together[request.id].probabilities, abs=1e-3)

    def test_the_order_of_options_changes_no_probability(self, backend: Backend) -> None:
        if not backend.decides:
            pytest.skip("it does not decide")
        one = self.replies(backend, ask("a text", options=("yes", "no", "never")))["row-0"].probabilities
        other = self.replies(backend, ask("a text", options=("never", "no", "yes")))["row-0"].probabilities
        assert one is not None and other is not None and one == pytest.approx(other[::-1], abs=1e-3)

    def test_an_answer_has_at_most_the_tokens_allowed(self, backend: Backend) -> None:
        if not backend.generates:
            pytest.skip("it does not generate")
        reply = self.replies(backend, ask("one two three four five six", max_new_tokens=2))["row-0"]
        assert reply.output_tokens is None or reply.output_tokens <= 2

    def test_equal_requests_give_equal_answers(self, backend: Backend) -> None:
        if not backend.generates:
            pytest.skip("it does not generate")
        first, second = (self.replies(backend, ask("one two three", max_new_tokens=4))["row-0"] for _ in range(2))
        assert first.text == second.text

    def test_a_schema_is_enforced_where_it_says_so(self, backend: Backend) -> None:
        if not backend.enforces_schema:
            pytest.skip("it does not enforce schemas")
        schema = {"type": "object", "properties": {"label": {"enum": ["yes", "no"]}}, "required": ["label"]}
        reply = self.replies(backend, ask("Is it so?", schema=schema))["row-0"]
        assert reply.text is not None and json.loads(reply.text)["label"] in ("yes", "no")

    def test_tokens_grow_with_the_prompt(self, backend: Backend) -> None:
        counts = [backend.count_tokens([Message(role="user", content="word " * size)]) for size in (2, 20)]
        assert None in counts or counts[0] < counts[1]  # type: ignore[operator]

    def test_a_prompt_that_does_not_fit_is_reported_and_the_others_are_answered(self, backend: Backend) -> None:
        if self.too_long is None:
            pytest.skip("it does not know how long a prompt may be")
        fields: dict[str, Any] = {"options": ("yes", "no")} if backend.decides else {"max_new_tokens": 2}
        found = self.replies(backend, ask("word " * self.too_long, 0, **fields), ask("word", 1, **fields))
        assert found["row-0"].outcome == "too-long" and "tokens" in str(found["row-0"].error)
        assert found["row-0"].text is None and found["row-1"].outcome in ("ok", "truncated")

    def test_it_can_be_closed_twice(self, backend: Backend) -> None:
        with backend:
            pass
        backend.close()
