from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from podium.errors import ConfigError, ModelError
from podium.inference.backends.base import Backend
from podium.inference.backends.local import Local
from tests.unit.inference.backends.contract import BackendContract, ask
from tests.unit.models.toys import save_causal_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_causal_model(tmp_path_factory.mktemp("local"), chat=True)


class TestLocal(BackendContract):
    name: ClassVar[str] = "local"
    too_long: ClassVar[int | None] = 3000
    devices: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture(scope="class")
    def backend(self, folder: Path) -> Any:
        return Local(model=str(folder), precision="fp32", devices=self.devices)

    def test_it_can_be_closed_twice(self, folder: Path) -> None:  # type: ignore[override]
        with Local(model=str(folder), precision="fp32") as backend:
            backend.close()

    def test_tokens_are_counted_and_seconds_shared_out(self, backend: Backend) -> None:
        short, long = self.replies(backend, ask("a", 0, max_new_tokens=2), ask("a " * 50, 1, max_new_tokens=2)).values()
        counts = {reply.prompt_tokens for reply in (short, long)}
        assert counts == {backend.count_tokens(ask(text).messages) for text in ("a", "a " * 50)}
        assert all(reply.output_tokens in (1, 2) and reply.seconds > 0 for reply in (short, long))


class TestLocalOnTwoDevices(TestLocal):
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cpu")


def test_identity_names_weights_precision_and_chat_template(folder: Path, tmp_path: Path) -> None:
    one = Local(model=str(folder), precision="fp32").identity()
    other = Local(model=str(save_causal_model(tmp_path)), precision="bf16").identity()
    assert {name for name in one if one[name] != other[name]} == {"weights", "precision", "chat_template"}


def test_weights_are_not_quantised_on_a_cpu(folder: Path) -> None:
    with pytest.raises(ConfigError, match="need a GPU"):
        Local(model=str(folder), devices=("cpu",), bits=4)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="must have weights"):
        Local(model=str(tmp_path))
