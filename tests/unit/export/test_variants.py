"""What a variant depends on, and where it cannot be made."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from podium.export import variants
from podium.export.variants import FORMS, environment, has_vnni, obstacle


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(variants, "cpu_features", lambda: found)
    return found


def test_every_name_of_the_config_is_a_kind() -> None:
    from typing import get_args

    from podium.config.benchmark import VariantName

    assert set(FORMS) == set(get_args(VariantName))


def test_bf16_is_skipped_where_the_cpu_would_emulate_it(features: list[str]) -> None:
    assert "no bf16 instructions" in (obstacle("bf16", "cpu") or "")
    features.append("avx512_bf16")
    assert obstacle("bf16", "cpu") is None


def test_compile_is_skipped_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "but g++ is not on the PATH; install g++" in (obstacle("compile", "cpu") or "")
    assert environment("compile", "cpu")["compiler"] == "none"
    (tmp_path / "mycxx").write_text("#!/bin/sh\n")
    (tmp_path / "mycxx").chmod(0o755)
    monkeypatch.setenv("CXX", "mycxx")
    assert obstacle("compile", "cpu") is None
    assert environment("compile", "cpu")["compiler"] == "present"


def test_on_a_gpu_int8_is_skipped_and_onnx_needs_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    assert "is for CPUs, but benchmark.device is cuda" in (obstacle("onnx-int8", "cuda") or "")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "install onnxruntime-gpu" in (obstacle("onnx", "cuda") or "")
    assert obstacle("onnx", "cpu") is None


def test_the_environment_holds_what_shapes_the_result_and_no_more(features: list[str]) -> None:
    features += ["avx2", "avx512_vnni"]
    assert environment("eager", "cpu") == {}
    assert environment("onnx", "cpu")["onnxruntime"] == version("onnxruntime")
    assert "cpu_features" not in environment("onnx", "cpu"), "a graph in fp32 is the same for every CPU"
    assert environment("onnx-int8", "cpu")["cpu_features"] == "avx512_vnni"
    assert has_vnni()
    features.clear()
    assert not has_vnni()
    assert environment("onnx-int8", "cpu")["cpu_features"] == ""
