"""The config section that says what is measured, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from podium.config.section import Positive, Section

VariantName = Literal["eager", "bf16", "compile", "onnx", "onnx-int8"]
"""The deployable forms of a model; `podium.export.variants` says what each is."""


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError(f"names must not repeat, but got {', '.join(names)}")
    return names


class BenchmarkConfig(Section):
    """How the champions are measured."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    variants: Annotated[tuple[VariantName, ...], Field(min_length=1), AfterValidator(_unique)] = ("eager",)
    max_quality_loss: Annotated[float, Field(ge=0, lt=1)] = 0.01
    throughput_batch_size: Positive = 32
    repetitions: Annotated[int, Field(ge=1)] = 3
    samples: Annotated[int, Field(ge=20)] = 100
    max_seconds: Annotated[float, Field(gt=0)] = 20.0
    threads: Positive | None = None
