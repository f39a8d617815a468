from __future__ import annotations

import pytest

from podium.models.prompted.causal_lm import CausalModel
from tests.unit.models.prompted.models import ARCHITECTURES
from tests.unit.models.toys import save_causal_model


@pytest.fixture(scope="session", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    folder = save_causal_model(tmp_path_factory.mktemp("causal"), ARCHITECTURES[request.param])
    return CausalModel(folder, "fp32")


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    return CausalModel(save_causal_model(tmp_path_factory.mktemp("chat"), ARCHITECTURES["llama"], chat=True), "fp32")
