"""The config sections that say what is measured and how, and when a champion is chosen and promoted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from podium.config.section import DeferredSection, Fraction, Positive, Section, unique
from podium.plugins import Registry
from podium.text import did_you_mean

VariantName = Literal["eager", "bf16", "compile", "onnx", "onnx-int8"]
"""The deployable forms of a model; `eager` is the form in which it is trained. See `podium.export.variants`."""

SCENARIOS: Registry[Any] = Registry(
    "podium.scenarios",
    "scenario",
    {
        "latency": "podium.benchmarking.scenarios.classifiers:LATENCY",
        "throughput": "podium.benchmarking.scenarios.classifiers:THROUGHPUT",
        "generation": "podium.benchmarking.scenarios.generation:GENERATION",
        "grid": "podium.benchmarking.scenarios.classifiers:GRID",
        "server": "podium.benchmarking.scenarios.server:SERVER",
        "cold-start": "podium.benchmarking.scenarios.classifiers:COLD_START",
    },
)
"""The ways to measure a model; each is imported only when it is asked for."""

ALWAYS_MEASURED = ("latency", "throughput", "generation")
"""Scenarios that nobody chooses: the first two are measured of every classifier, the last one of a language model."""


def optional_scenarios() -> tuple[str, ...]:
    """Names of the scenarios that `benchmark.scenarios` can add."""
    return tuple(name for name in SCENARIOS.names() if name not in ALWAYS_MEASURED)


@cache
def settings_section(names: Iterable[str]) -> type[Section]:
    """A section with the settings of some scenarios, each below its name; scenarios without settings are left out."""
    settings = {name: SCENARIOS.get(name).Settings for name in names}
    fields: dict[str, Any] = {name: (kind, kind()) for name, kind in settings.items() if kind.model_fields}
    return cast("type[Section]", create_model("ScenarioSettings", __base__=Section, **fields))


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    if always := [name for name in names if name in ALWAYS_MEASURED]:
        raise ValueError(
            f"{', '.join(always)} must be left out of the scenarios: what fits the model is measured anyway"
        )
    known = optional_scenarios() if names else ()
    for name in names:
        if name not in known:
            raise ValueError(f"a scenario is one of {', '.join(known)}, but got {name!r}{did_you_mean(name, known)}")
    return names


class BenchmarkConfig(Section):
    """How the champions are measured."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models are measured. `auto`: cuda where there is one."
    )
    variants: Annotated[tuple[VariantName, ...], Field(min_length=1), AfterValidator(unique)] = Field(
        ("eager",), description="[Deployable forms](#deployable-variants) that are built, checked and measured."
    )
    max_quality_loss: float = Field(
        0.01, ge=0, lt=1, description="A variant fails when it measurably loses more than this against `eager`."
    )
    scenarios: Annotated[tuple[str, ...], AfterValidator(unique), AfterValidator(_known)] = Field(
        (), description="[Scenarios](#scenarios) beside latency and throughput: `grid`, `server`, `cold-start`."
    )
    throughput_batch_size: Positive = Field(32, description="Rows per batch for throughput.")
    repetitions: int = Field(3, ge=1, description="Fresh processes per measured model.")
    samples: int = Field(100, ge=20, description="Latency samples per process, at least 20.")
    max_seconds: float = Field(20.0, gt=0, description="Time limit of each process, in seconds.")
    threads: Positive | None = Field(None, description="Compute threads of a measured process. `null`: all cores.")
    settings: Annotated[SerializeAsAny[Section], DeferredSection(lambda: settings_section(SCENARIOS.names()))] = Field(
        default_factory=Section, validate_default=True, description="Settings of the scenarios, by their names."
    )

    @field_validator("settings", mode="plain")
    @classmethod
    def _read_settings(cls, given: Any, info: ValidationInfo) -> Section:
        """Read what is given, and fill in the defaults of the chosen scenarios."""
        values = given.model_dump() if isinstance(given, Section) else given
        wanted = {*info.data.get("scenarios", ()), *(values if isinstance(values, Mapping) else ())}
        names = tuple(name for name in SCENARIOS.names() if name in wanted) if wanted else ()
        return settings_section(names).model_validate(values)

    def settings_of(self, scenario: str) -> Any:
        return getattr(self.settings, scenario, None) or SCENARIOS.get(scenario).Settings()

    @model_validator(mode="after")
    def _check_repetitions(self) -> Self:
        for name in self.scenarios:
            least = SCENARIOS.get(name).least_repetitions
            if self.repetitions < least:
                raise ValueError(
                    f"scenario {name} needs repetitions >= {least} to tell how sure its figures are, but got "
                    f"repetitions={self.repetitions}; raise it, or take {name} out of scenarios"
                )
        return self


Bound = Annotated[float, Field(gt=0)]

QUANTILE_SAMPLES = {"latency_p50_ms": 20, "latency_p90_ms": 100, "latency_p95_ms": 200}
"""Latency samples below which the benchmark leaves a quantile out: ten are expected beyond it."""


class ConstraintsConfig(Section):
    """Bounds that a winner must meet; null means unbounded. Energy is per row."""

    latency_p50_ms: Bound | None = Field(
        None, description="Upper bound on p50 of latency. `null`: unbounded, as for all constraints."
    )
    latency_p90_ms: Bound | None = Field(None, description="Upper bound on p90 of latency.")
    latency_p95_ms: Bound | None = Field(None, description="Upper bound on p95 of latency.")
    memory_mb: Bound | None = Field(None, description="Upper bound on peak memory.")
    size_mb: Bound | None = Field(None, description="Upper bound on the size of the model's files.")
    energy_j: Bound | None = Field(None, description="Upper bound on energy, in joules per row.")


class PromotionConfig(Section):
    """When the winner replaces the incumbent.

    It does for its quality; with `min_saving`, a share of the declared cost, also for that saving alone where it is
    shown to be as good within `selection.margin`.
    """

    min_gain: float = Field(0.0, ge=0, description="Gain over the incumbent that a promotion needs.")
    min_saving: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="Share of the cost that a winner saves over the incumbent, to be promoted when it is as good. "
        "`null`: cost alone does not promote.",
    )
    min_test_rows: int = Field(0, ge=0, description="Held-out rows below which nothing is promoted.")
    min_trials: int = Field(0, ge=0, description="Finished trials of the winner below which it is not promoted.")
    must_beat_baselines: bool = Field(
        True, description="Promote only what measurably beats the majority class and guessing."
    )
    force: bool = Field(False, description="Promote the winner, whatever speaks against it.")
    reason: str | None = Field(None, description="Reason of a forced promotion; required by `force`, and recorded.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.force and not self.reason:
            raise ValueError("a forced promotion states its reason: set selection.promotion.reason")
        return self


class SelectionConfig(Section):
    """How champions are compared and the winner is chosen."""

    confidence: Fraction = Field(0.95, description="Confidence of score intervals and comparisons.")
    resamples: int = Field(2000, ge=100, description="Resamples of the bootstrap, at least 100.")
    min_trials: Positive = Field(1, description="Finished trials that an entrant needs to compete.")
    margin: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="A cheaper model is as good as the best where it is shown to lose at most this much of the metric: "
        "0.01 is one point.",
    )
    cost: Literal["latency_p50_ms", "latency_p95_ms", "size_mb", "memory_mb", "energy_j"] = Field(
        "latency_p50_ms", description="Cost by which the winner is chosen among models that are shown to be as good."
    )
    constraints: ConstraintsConfig = ConstraintsConfig()
    promotion: PromotionConfig = PromotionConfig()


def _increasing(fractions: tuple[float, ...]) -> tuple[float, ...]:
    if list(fractions) != sorted(set(fractions)):
        raise ValueError(f"fractions must increase, but got {', '.join(map(str, fractions))}")
    return fractions


class LearningCurveConfig(Section):
    """Whether more rows would make the winner better: on which shares of the rows it is trained to find out."""

    fractions: Annotated[tuple[Fraction, ...], AfterValidator(_increasing)] = Field(
        (),
        description="[Shares of the rows](#is-more-data-worth-it) on which the winner is cross-validated besides all "
        "of them, in ascending order; three allow an extrapolation. Empty: no learning curve.",
    )
