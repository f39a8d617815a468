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

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models are measured. `auto`: cuda where there is one."
    )
    variants: Annotated[tuple[VariantName, ...], Field(min_length=1), AfterValidator(_unique)] = Field(
        ("eager",), description="[Deployable forms](#deployable-variants) that are built, checked and measured."
    )
    max_quality_loss: float = Field(
        0.01, ge=0, lt=1, description="A variant fails when it measurably loses more than this against `eager`."
    )
    scenarios: Annotated[tuple[ScenarioName, ...], AfterValidator(_unique)] = Field(
        (), description="[Scenarios](#scenarios) beside latency and throughput: `grid`, `server`, `cold-start`."
    )
    throughput_batch_size: Positive = Field(32, description="Rows per batch for throughput.")
    repetitions: int = Field(3, ge=1, description="Fresh processes per measured model.")
    samples: int = Field(100, ge=20, description="Latency samples per process, at least 20.")
    max_seconds: float = Field(20.0, gt=0, description="Time limit of each process, in seconds.")
    threads: Positive | None = Field(None, description="Compute threads of a measured process. `null`: all cores.")
    grid_batch_sizes: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_unique)] = Field(
        (1, 8, 32), description="Rows per batch in scenario `grid`."
    )
    grid_lengths: Annotated[tuple[Annotated[int, Field(ge=8)], ...], AfterValidator(_unique)] = Field(
        (), description="Tokens per row in scenario `grid`, beside the data's own lengths."
    )
    server_latency_ms: float = Field(
        130.0, gt=0, description="Bound on the latency in scenario `server`, queueing included."
    )
    server_seconds: float = Field(
        60.0, gt=0, description="About how long scenario `server` takes per process, in seconds."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "server" in self.scenarios and self.repetitions < 2:
            raise ValueError(
                "scenario server needs repetitions >= 2 to tell how sure its rate is, but got "
                f"repetitions={self.repetitions}; raise it, or take server out of scenarios"
            )
        return self
