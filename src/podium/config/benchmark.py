"""The config section that says what is measured, and how."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from podium.config.section import Positive, Section

VariantName = Literal["eager", "bf16", "compile", "onnx", "onnx-int8"]
"""The deployable forms of a model; `podium.export.variants` says what each is."""


ScenarioName = Literal["grid", "server", "cold-start"]
"""What can be measured beside latency and throughput; `podium.benchmarking.measure` says what each is."""

P = TypeVar("P", str, int)


def _unique(items: tuple[P, ...]) -> tuple[P, ...]:
    if len(set(items)) != len(items):
        raise ValueError(f"items must not repeat, but got {', '.join(str(item) for item in items)}")
    return items


class BenchmarkConfig(Section):
    """How the champions are measured.

    The bound of the server scenario is that of MLPerf Inference for BERT: 130 ms, held by 99 % of the queries.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    variants: Annotated[tuple[VariantName, ...], Field(min_length=1), AfterValidator(_unique)] = ("eager",)
    max_quality_loss: Annotated[float, Field(ge=0, lt=1)] = 0.01
    scenarios: Annotated[tuple[ScenarioName, ...], AfterValidator(_unique)] = ()
    throughput_batch_size: Positive = 32
    repetitions: Annotated[int, Field(ge=1)] = 3
    samples: Annotated[int, Field(ge=20)] = 100
    max_seconds: Annotated[float, Field(gt=0)] = 20.0
    threads: Positive | None = None
    grid_batch_sizes: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_unique)] = (1, 8, 32)
    grid_lengths: Annotated[tuple[Annotated[int, Field(ge=8)], ...], AfterValidator(_unique)] = ()
    server_latency_ms: Annotated[float, Field(gt=0)] = 130.0
    server_seconds: Annotated[float, Field(gt=0)] = 60.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "server" in self.scenarios and self.repetitions < 2:
            raise ValueError(
                "scenario server needs repetitions >= 2 to tell how sure its rate is, but got "
                f"repetitions={self.repetitions}; raise it, or take server out of scenarios"
            )
        return self
