"""The typed configuration: frozen, strict, checked against itself.

Every field either shapes results, and so is part of the keys built from its section, or carries a
`NotKeyed` marker with the reason it does not.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from podium.keys import NotKeyed

Task = Literal["text-classification", "ner"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]

METRICS: dict[Task, tuple[str, ...]] = {
    "text-classification": ("macro_f1", "accuracy"),
    "ner": ("f1", "precision", "recall"),
}
"""Metrics a study may maximise, per task; the first one is the default."""


class Section(BaseModel):
    """Base of every config section: frozen, and it refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class DatasetConfig(Section):
    """Where the labelled data is, what it looks like, and how it is split."""

    name: Annotated[str, NotKeyed("a label for people")]
    path: Annotated[str, NotKeyed("the bytes are keyed by their digest, not by their place")]
    test_path: Annotated[str | None, NotKeyed("keyed by the digest of its bytes")] = None
    validation_path: Annotated[str | None, NotKeyed("keyed by the digest of its bytes")] = None
    licence: Annotated[str | None, NotKeyed("shown to people, changes no result")] = None
    task: Task
    format: Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "conll", "folder", "sql", "datasets"] = "auto"
    query: str | None = None
    text_column: str = "text"
    label_column: str = "label"
    encoding: str = "utf-8"
    fallback_encoding: str | None = None
    on_bad_row: Literal["fail", "drop"] = "fail"
    max_row_bytes: Positive = 1_000_000
    deduplicate: bool = True
    max_rows: Positive | None = None
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.2
    folds: Annotated[int, Field(ge=2)] = 3

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction + test_fraction < 1 must hold, but got "
                f"{self.validation_fraction} + {self.test_fraction}; leave rows to train on"
            )
        if (self.format == "sql") != (self.query is not None):
            raise ValueError(f"format=sql and query go together, but got format={self.format}, query={self.query!r}")
        return self


class BackboneConfig(Section):
    """A pretrained model that competes: a directory, `pkg:NAME/PATH`, or a hub id."""

    path: Annotated[str, NotKeyed("the weights are keyed by their digest, not by their place")]
    revision: Annotated[str | None, NotKeyed("the weights it resolves to are keyed by their digest")] = None
    licence: Annotated[str | None, NotKeyed("shown to people, changes no result")] = None
    trust_remote_code: bool = False


class TrainingConfig(Section):
    """How one model is trained. A study may search any field named in `TUNABLE`."""

    epochs: Annotated[float, Field(gt=0)] = 2.0
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    batch_size: Positive = 16
    gradient_accumulation: Positive = 1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    max_length: Annotated[int, Field(ge=8)] = 256
    class_weights: Literal["none", "balanced"] = "none"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    early_stopping_patience: Positive | None = None
    evaluations_per_epoch: Positive = 1
    eval_batch_size: Annotated[Positive, NotKeyed("batching of evaluation does not change predictions")] = 64
    checkpoints_per_epoch: Annotated[Positive, NotKeyed("a resumed training ends with the same weights")] = 2
    threads: Annotated[Positive, NotKeyed("only the order of floating-point sums depends on it")] = 1
    timeout_seconds: Annotated[Positive | None, NotKeyed("bounds the time of a training, not its result")] = None


TUNABLE = (
    "epochs",
    "learning_rate",
    "batch_size",
    "gradient_accumulation",
    "weight_decay",
    "warmup_ratio",
    "label_smoothing",
    "dropout",
    "max_length",
)
"""Training fields that a search space may name."""


class ParameterConfig(Section):
    """One dimension of the search space."""

    type: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    step: Annotated[float, Field(gt=0)] | None = None
    log: bool = False
    choices: tuple[bool | int | float | str, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type == "categorical":
            if not self.choices or (self.low, self.high, self.step) != (None, None, None):
                raise ValueError("a categorical parameter has choices, and no low, high or step")
            return self
        if self.choices is not None or self.low is None or self.high is None:
            raise ValueError(f"a parameter of type {self.type} has low and high, and no choices")
        if self.low > self.high:
            raise ValueError(f"low <= high must hold, but got low={self.low}, high={self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError(f"a log scale needs low > 0 and no step, but got low={self.low}, step={self.step}")
        if self.type == "int" and any(v is not None and v != int(v) for v in (self.low, self.high, self.step)):
            raise ValueError("an int parameter has whole low, high and step")
        return self


class AlgorithmConfig(Section):
    """How the next trial is chosen. Settings are checked by the engine that knows them."""

    name: Literal["random", "tpe"] = "tpe"
    settings: dict[str, bool | int | float | str] = {}


class HpoConfig(Section):
    """The search: space, objective, algorithm and budgets."""

    engine: Annotated[Literal["embedded"], NotKeyed("engines give the same trials the same meaning")] = "embedded"
    algorithm: AlgorithmConfig = AlgorithmConfig()
    metric: str = ""
    goal: Annotated[float | None, NotKeyed("ends a study sooner, as a budget does")] = None
    space: dict[str, ParameterConfig]
    epochs: Annotated[float, Field(gt=0)] | None = None
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_trials: Annotated[Positive, NotKeyed("a budget: a study can be extended")] = 8
    max_failed_trials: Annotated[int, Field(ge=0), NotKeyed("a budget: it bounds a study, not a trial")] = 3
    parallel_trials: Annotated[Positive | None, NotKeyed("how many run at once; null: as many as the cores")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.space:
            raise ValueError("space must name at least one parameter")
        if self.max_failed_trials >= self.max_trials:
            raise ValueError(
                "max_failed_trials < max_trials must hold, but got "
                f"max_failed_trials={self.max_failed_trials}, max_trials={self.max_trials}"
            )
        return self


class ConstraintsConfig(Section):
    """Bounds that a winner must meet; null means unbounded."""

    latency_p90_ms: Annotated[float, Field(gt=0)] | None = None
    memory_mb: Annotated[float, Field(gt=0)] | None = None
    size_mb: Annotated[float, Field(gt=0)] | None = None


class PromotionConfig(Section):
    """When the winner replaces the incumbent."""

    min_gain: Annotated[float, Field(ge=0)] = 0.0
    force: bool = False
    reason: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.force and not self.reason:
            raise ValueError("a forced promotion states its reason: set selection.promotion.reason")
        return self


class SelectionConfig(Section):
    """How champions are compared and the winner is chosen."""

    confidence: Fraction = 0.95
    resamples: Annotated[int, Field(ge=100)] = 2000
    min_trials: Positive = 1
    cost: Literal["latency_p50_ms", "size_mb", "memory_mb"] = "latency_p50_ms"
    constraints: ConstraintsConfig = ConstraintsConfig()
    promotion: PromotionConfig = PromotionConfig()


class BenchmarkConfig(Section):
    """How the champions are measured."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    variants: tuple[Literal["eager"], ...] = ("eager",)
    throughput_batch_size: Positive = 32
    repetitions: Annotated[int, Field(ge=1)] = 3
    samples: Annotated[int, Field(ge=20)] = 100
    max_seconds: Annotated[float, Field(gt=0)] = 20.0
    threads: Positive | None = None


class TrackingConfig(Section):
    """Where runs are recorded."""

    mode: Literal["mlflow", "off"] = "mlflow"
    uri: str | None = None
    experiment: str = "podium"
    model_name: str | None = None


class PodiumConfig(Section):
    """Everything that one run of the pipeline is told."""

    seed: int = 13
    run_mode: Annotated[Literal["reuse", "force_new"], NotKeyed("decides whether to reuse, not what")] = "reuse"
    output: Annotated[str, NotKeyed("where files are kept does not change them")] = "podium-out"
    store: Annotated[str | None, NotKeyed("where results are kept does not change them")] = None
    dataset: DatasetConfig
    backbones: dict[str, BackboneConfig]
    training: TrainingConfig = TrainingConfig()
    hpo: HpoConfig
    selection: SelectionConfig = SelectionConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    tracking: Annotated[TrackingConfig, NotKeyed("records results, does not shape them")] = TrackingConfig()
