"""The typed configuration: frozen, strict, checked against itself.

Every field either shapes results, and so is part of the keys built from its section, or carries a
`NotKeyed` marker with the reason it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from podium.config.benchmark import BenchmarkConfig
from podium.config.cluster import ClusterConfig
from podium.config.search import HpoConfig, ParameterConfig
from podium.config.section import Fraction, Place, Positive, Section
from podium.config.selection import BaselineConfig, SelectionConfig, selection_problems
from podium.keys import NotKeyed

Task = Literal["text-classification", "ner"]

METRICS: dict[Task, tuple[str, ...]] = {
    "text-classification": ("macro_f1", "accuracy"),
    "ner": ("f1", "precision", "recall"),
}
"""Metrics a study may maximise, per task; the first one is the default."""


NAME_PATTERN = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
"""What a backbone may be called: its name becomes part of task, run, file and Kubernetes object names."""


class DatasetConfig(Section):
    """Where the labelled data is, what it looks like, and how it is split."""

    name: Annotated[str, NotKeyed("a label for people")]
    path: Annotated[str, Place(), NotKeyed("the bytes are keyed by their digest, not by their place")]
    test_path: Annotated[str | None, Place(), NotKeyed("keyed by the digest of its bytes")] = None
    validation_path: Annotated[str | None, Place(), NotKeyed("keyed by the digest of its bytes")] = None
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

    path: Annotated[str, Place(hub=True), NotKeyed("the weights are keyed by their digest, not by their place")]
    revision: Annotated[str | None, NotKeyed("the weights it resolves to are keyed by their digest")] = None
    licence: Annotated[str | None, NotKeyed("shown to people, changes no result")] = None
    trust_remote_code: bool = False


class TrainingConfig(Section):
    """How one model is trained. A study may search any field named in `TUNABLE`.

    `evaluations_per_epoch` unset: once with early stopping, otherwise only at the end. `threads` unset: one in a
    trial, since as many trials run as there are cores, and all cores in a refit.
    """

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
    evaluations_per_epoch: Positive | None = None
    eval_batch_size: Annotated[Positive, NotKeyed("batching of evaluation does not change predictions")] = 64
    checkpoints_per_epoch: Annotated[Positive, NotKeyed("a resumed training ends with the same weights")] = 2
    threads: Annotated[Positive | None, NotKeyed("only the order of floating-point sums depends on it")] = None
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


class TrackingConfig(Section):
    """Where runs are recorded."""

    mode: Literal["mlflow", "off"] = "mlflow"
    uri: Annotated[str | None, Place()] = None
    experiment: str = "podium"
    model_name: str | None = None


class PodiumConfig(Section):
    """Everything that one run of the pipeline is told."""

    seed: int = 13
    run_mode: Annotated[Literal["reuse", "force_new"], NotKeyed("decides whether to reuse, not what")] = "reuse"
    output: Annotated[str, Place(), NotKeyed("where files are kept does not change them")] = "podium-out"
    store: Annotated[str | None, Place(), NotKeyed("where results are kept does not change them")] = None
    dataset: DatasetConfig
    backbones: dict[str, BackboneConfig]
    training: TrainingConfig = TrainingConfig()
    hpo: HpoConfig
    baseline: BaselineConfig = BaselineConfig()
    selection: SelectionConfig = SelectionConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    tracking: Annotated[TrackingConfig, NotKeyed("records results, does not shape them")] = TrackingConfig()
    cluster: Annotated[ClusterConfig, NotKeyed("where trials run does not change them")] = ClusterConfig()

    @property
    def model_name(self) -> str:
        """Name under which the winner is registered."""
        return self.tracking.model_name or self.dataset.name

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*_backbone_problems(self.backbones), *_metric_problems(self.hpo, self.dataset.task)]
        space: dict[str, ParameterConfig] = {}
        for name, parameter in self.hpo.space.items():
            found, space[name] = _checked_parameter(name, parameter)
            problems += found
            found, when = _checked_when(name, parameter, self.hpo.space)
            problems += found
            space[name] = space[name].model_copy(update={"when": when})
        problems += selection_problems(
            self.selection,
            self.baseline,
            candidates=len(self.backbones),
            trials=self.hpo.max_trials,
            samples=self.benchmark.repetitions * self.benchmark.samples,
        )
        if self.hpo.engine == "katib" and self.cluster.image is None:
            problems.append("hpo.engine=katib runs trials in pods, which need an image: set cluster.image")
        if problems:
            raise ValueError("\n".join(problems))
        metric = self.hpo.metric or METRICS[self.dataset.task][0]
        object.__setattr__(self, "hpo", self.hpo.model_copy(update={"metric": metric, "space": space}))
        return self


def _backbone_problems(backbones: dict[str, BackboneConfig]) -> Iterator[str]:
    if not backbones:
        yield "backbones must name at least one pretrained model; choose model=[...] or set backbones.NAME.path"
    for name in backbones:
        if not NAME_PATTERN.fullmatch(name):
            yield (
                f"backbones.{name}: a backbone's name has at most 40 lower-case letters, digits and dashes and starts "
                f"with a letter, but got {name!r}; rename it"
            )


def _metric_problems(hpo: HpoConfig, task: Task) -> Iterator[str]:
    known = METRICS[task]
    if hpo.metric and hpo.metric not in known:
        yield f"hpo.metric must be one of {', '.join(known)} for dataset.task={task}, but got {hpo.metric!r}"


def _checked_parameter(name: str, parameter: ParameterConfig) -> tuple[list[str], ParameterConfig]:
    """Problems of one dimension of the space, and the dimension with its choices in the field's own type."""
    here = f"hpo.space.{name}"
    if name not in TUNABLE:
        near = get_close_matches(name, TUNABLE, 1)
        hint = f"did you mean hpo.space.{near[0]}?" if near else f"these are {', '.join(TUNABLE)}"
        return [f"{here}: a space names training fields that can be searched, but got {name!r}; {hint}"], parameter
    if parameter.choices is not None:
        results = [_checked_value(name, choice) for choice in parameter.choices or ()]
        problems = [f"{here}.choices: {problem}" for problem, _ in results if problem]
        return problems, parameter.model_copy(update={"choices": tuple(value for _, value in results)})
    whole = TrainingConfig.model_fields[name].annotation is int
    if whole and parameter.type == "float":
        return [f"{here}.type: training.{name} is a whole number, but got type=float; set {here}.type=int"], parameter
    bounds = (("low", parameter.low), ("high", parameter.high))
    return [f"{here}.{at}: {problem}" for at, value in bounds if (problem := _checked_value(name, value)[0])], parameter


def _checked_when(
    name: str, parameter: ParameterConfig, space: Mapping[str, ParameterConfig]
) -> tuple[list[str], dict[str, tuple[Any, ...]]]:
    """Problems of the conditions of one dimension, and the conditions with their values in the type of their fields.

    That they do not depend on each other, and that the values are values of the parent, is checked by the space.
    """
    here, problems, when = f"hpo.space.{name}.when", [], {}
    for parent, values in parameter.when.items():
        if parent not in space:
            near = get_close_matches(parent, space, 1)
            hint = f"did you mean {near[0]}?" if near else f"these are {', '.join(space)}"
            problems.append(f"{here}: a condition names a parameter of hpo.space, but got {parent!r}; {hint}")
            continue
        results = [_checked_value(parent, value) for value in values]
        problems += [f"{here}.{parent}: {problem}" for problem, _ in results if problem]
        when[parent] = tuple(value for _, value in results)
    return problems, when


def _checked_value(name: str, value: Any) -> tuple[str | None, Any]:
    """What is wrong with `value` for the training field `name`, if anything, and the value in that field's type."""
    try:
        return None, getattr(TrainingConfig.model_validate({name: value}), name)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].removeprefix("Input ")
        return f"training.{name} {expected[0].lower()}{expected[1:]}, but got {value!r}", value
