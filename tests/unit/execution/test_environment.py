from __future__ import annotations

import pytest

from podium.execution.environment import training_environment


def test_threads_seed_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "yes")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    environment = training_environment(3, seed=-1)
    assert {environment[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")} == {"3"}
    assert environment["TOKENIZERS_PARALLELISM"] == "false" and environment["HF_HUB_OFFLINE"] == "1"
    assert 0 <= int(environment["PYTHONHASHSEED"]) < 2**32
    assert environment["KEPT"] == "yes"
