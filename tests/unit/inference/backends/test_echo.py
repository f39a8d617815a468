from __future__ import annotations

from typing import ClassVar

import pytest

from podium.inference.backends.base import Backend
from podium.inference.backends.echo import Echo
from tests.unit.inference.backends.contract import BackendContract, ask


class TestEcho(BackendContract):
    name: ClassVar[str] = "echo"
    too_long: ClassVar[int | None] = 200

    @pytest.fixture
    def backend(self) -> Backend:
        return Echo(max_tokens=100)

    def test_it_decides_for_what_the_prompt_mentions(self, backend: Backend) -> None:
        reply = self.replies(backend, ask("sport, and more Sport", options=("politics", "sport")))["row-0"]
        assert reply.text == "sport" and reply.probabilities == pytest.approx((0.25, 0.75))
