"""The precision that `auto` means is found once and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.config.compose import compose
from podium.models.precision import decided_precision
from podium.stages.prepare import new_run


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the next probes find, from the last one."""
    found = ["fp32", "bf16"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("podium.models.prompted.precision.fastest_precision", lambda *_: found.pop())
    return found


def test_the_first_probe_decides_for_all_later_runs(probes: list[str], tmp_path: Path) -> None:
    assert [decided_precision("cpu") for _ in range(3)] == ["bf16"] * 3 and probes == ["fp32"]
    (file,) = tmp_path.glob("podium/precision/*.json")
    file.write_text("torn")
    assert decided_precision("cpu") == "fp32", "what cannot be read is found again"


def test_a_run_with_a_prompted_model_names_its_precision(probes: list[str], tmp_path: Path) -> None:
    composed = compose(["entrant=smollm2", "tracking.mode=off"], tmp_path)
    run = new_run(composed.config, "a-run")
    assert (composed.config.llm.precision, run.config.llm.precision) == ("auto", "bf16")
    fixed = compose(["entrant=smollm2", "tracking.mode=off", "llm.precision=fp32"], tmp_path).config
    assert new_run(fixed, "a-run").config.llm.precision == "fp32"
    without = compose(["entrant=linear", "tracking.mode=off"], tmp_path).config
    assert new_run(without, "a-run").config.llm.precision == "auto" and probes == ["fp32"]
