"""The typed configuration: frozen, strict, checked against itself.

Every field either shapes results, and so is part of the keys built from its section, or has a `NotKeyed` with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from podium.config.benchmark import QUANTILE_SAMPLES, BenchmarkConfig, LearningCurveConfig, SelectionConfig
from podium.config.cluster import ClusterConfig
from podium.config.dataset import DatasetConfig
from podium.config.entrants import ENTRANTS
from podium.config.plan import PlanConfig
from podium.config.profile import ProfileConfig
from podium.config.search import HpoConfig, SearchedFields
from podium.config.section import Defining, Place, Positive, Section
from podium.keys import NotKeyed
from podium.tasks import TASKS
from podium.text import did_you_mean

if TYPE_CHECKING:
    from podium.tasks.base import Task

NAME_PATTERN = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
"""What an entrant may be called: its name becomes part of task, run, file and Kubernetes object names."""

_MODEL_NAME = re.compile(r"\w([\w .-]{0,98}\w)?")
"""What a registered model may be called: the name becomes part of `models:/NAME@alias`, of paths and of searches."""
_NOT_IN_MODEL_NAME = re.compile(r"[^\w .-]+")


class EntrantConfig(Section):
    """A model that competes: a pretrained model that is fine-tuned, or one of another kind."""

    kind: Annotated[str, Defining()] = Field(
        "transformer",
        description="`transformer` fine-tunes a pretrained model, `linear` trains a linear model on words or word "
        "features, `llm` prompts a language model. Packages may bring others.",
    )
    path: Annotated[
        str | None,
        Place(hub=True, recorded=True),
        Defining(),
        NotKeyed("the weights are keyed by their digest, not by their place"),
    ] = Field(
        None,
        description="Pretrained model: directory, URI, hub id or `pkg:NAME/PATH`; for `llm` also a GGUF file. Required "
        "by `transformer` and `llm`.",
    )
    revision: Annotated[str | None, NotKeyed("the weights it resolves to are keyed by their digest")] = Field(
        None, description="Branch, tag or commit of a hub id."
    )
    licence: Annotated[str | None, NotKeyed("shown to people, changes no result")] = Field(
        None, description="Licence of the backbone, shown in the report."
    )
    trust_remote_code: bool = Field(False, description="Run the Python code that comes with a backbone.")


class TrainingConfig(Section):
    """How a transformer is trained. A study may search any field named in `TUNABLE`."""

    epochs: float = Field(2.0, gt=0, description="Passes over the rows.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate.")
    batch_size: Positive = Field(16, description="Rows per step.")
    gradient_accumulation: Positive = Field(1, description="Steps per update of the weights.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay.")
    warmup_ratio: float = Field(
        0.1, ge=0, lt=1, description="Share of the updates in which the learning rate rises to its peak."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Label smoothing.")
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="Dropout. `null`: as the backbone has it."
    )
    max_length: int = Field(256, ge=8, description="Tokens after which a row is cut, at least 8.")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced` weights the loss by inverse class frequency."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Precision of training. `auto`: bf16 or else fp16 on a GPU, fp32 elsewhere."
    )
    adapter: Literal["none", "lora"] = Field(
        "none", description="`lora` trains low-rank adapters in place of all weights, and merges them at the end."
    )
    lora_rank: Positive = Field(16, description="Rank of the adapters.")
    lora_alpha: Positive = Field(32, description="The adapters are scaled by this over their rank.")
    early_stopping_patience: Positive | None = Field(
        None, description="Evaluations without gain after which a trial stops. `null`: it never stops early."
    )
    evaluations_per_epoch: Positive | None = Field(
        None, description="Evaluations per epoch. `null`: one with early stopping, else one at the end."
    )
    eval_batch_size: Annotated[Positive, NotKeyed("batching of evaluation does not change predictions")] = Field(
        64, description="Rows per batch of an evaluation."
    )
    checkpoints_per_epoch: Annotated[Positive, NotKeyed("a resumed training ends with the same weights")] = Field(
        2, description="Checkpoints per epoch, from which a killed training continues."
    )
    threads: Annotated[Positive | None, NotKeyed("only the order of floating-point sums depends on it")] = Field(
        None, description="Compute threads. `null`: one in a trial, all cores in a refit."
    )
    timeout_seconds: Annotated[Positive | None, NotKeyed("bounds the time of a training, not its result")] = Field(
        None, description="Time limit of one training, in seconds."
    )


class LinearConfig(Section):
    """How a linear model is trained. Which fields matter depends on the task: see `Linear.tunable`."""

    C: float = Field(
        10.0, gt=0, description="Inverse strength of the L2 penalty on the weights, as scikit-learn defines it."
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced` weights the loss by inverse class frequency."
    )
    analyzer: Literal["word", "char_wb"] = Field(
        "word",
        description="Terms of a text: words and runs of them with `word`, runs of characters in words with `char_wb`.",
    )
    word_ngrams: Positive = Field(2, description="Words of the longest term, with `analyzer=word`.")
    char_ngrams: int = Field(5, ge=2, description="Characters of the longest term, with `analyzer=char_wb`.")
    min_df: Positive = Field(1, description="Texts that a term must be in.")
    max_features: Positive = Field(100_000, description="Terms that are kept at most, the most frequent ones.")
    window: int = Field(2, ge=0, description="Words to either side that are looked at to tag a word.")
    epochs: Positive = Field(10, description="Passes over the sentences.")


class LlmConfig(Section):
    """How a language model is prompted. A study may search any field that `Llm.tunable` names."""

    template: Annotated[str, Place(hub=True)] = Field(
        "", description="Prompt template: a name, or a YAML file. Empty: the one that suits the task."
    )
    strategy: str = Field("zero-shot", description="One of the strategies of the template.")
    label_descriptions: dict[str, str] = Field(
        default_factory=dict,
        description="What labels mean, by label, or types of entities, by type, as prompts say it.",
    )
    examples: int = Field(4, ge=0, description="Training rows that a prompt shows, where its strategy shows any.")
    example_choice: Literal["random", "similar"] = Field(
        "random",
        description="`random` shows the same rows in every prompt, `similar` those most like the row, by TF-IDF.",
    )
    mode: Literal["auto", "decide", "generate"] = Field(
        "auto",
        description="`decide` takes the likeliest label by the likelihoods of the labels, `generate` reads what the "
        "model writes. `auto`: decide, unless words are tagged or the strategy writes JSON.",
    )
    calibrate: bool = Field(True, description="Take out what the labels alone make likely, as training rows show it.")
    calibration_rows: Positive = Field(40, description="Training rows on which that is estimated.")
    max_length: int = Field(256, ge=8, description="Tokens after which a row is cut, at least 8.")
    max_new_tokens: Positive = Field(100, description="Tokens of an answer, with `mode=generate`.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Precision of the model. `auto`: the faster one, found by a short probe once on a machine."
    )
    max_calls: Positive | None = Field(
        200, description="Held-out rows that a trial asks for in each fold, stratified. `null`: all of them."
    )
    price_per_million_tokens: Annotated[
        float | None, Field(ge=0), NotKeyed("multiplies what was counted, which is kept")
    ] = Field(None, description="Price of a million tokens, shown beside the score.")


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
    "lora_rank",
    "lora_alpha",
)
"""Training fields that a search space may name."""


class ReportConfig(Section):
    """What the report shows beside figures."""

    examples: int = Field(
        0,
        ge=0,
        le=50,
        description="Rows with a suspicious label that are shown with their text. `0`: no text is shown.",
    )


class TrackingConfig(Section):
    """Where runs are recorded."""

    mode: Literal["mlflow", "off"] = Field("mlflow", description="`off` records nothing: no registry and no lineage.")
    uri: Annotated[str | None, Place()] = Field(
        None, description="MLflow server or database. `null`: `mlflow.db` in `output`."
    )
    experiment: str = Field("podium", description="MLflow experiment of the runs.")
    model_name: str | None = Field(None, description="Name of the registered model. `null`: from `dataset.name`.")

    @field_validator("model_name")
    @classmethod
    def _check_model_name(cls, name: str | None) -> str | None:
        if name is not None and not _MODEL_NAME.fullmatch(name):
            raise ValueError(
                "a registered model's name has at most 100 letters, digits, blanks, dots, dashes and underscores, and "
                f"starts and ends with a letter, digit or underscore, but got {name!r}; {_model_name(name)!r} would do"
            )
        return name


def _model_name(text: str) -> str:
    """`text` as a registered model may be called."""
    return _NOT_IN_MODEL_NAME.sub("-", text)[:100].strip(" .-") or "data"


class PodiumConfig(Section):
    """The configuration of one run of the pipeline."""

    seed: int = Field(13, description="Seed of splits, folds, search, training and bootstrap.")
    run_mode: Annotated[Literal["reuse", "force_new"], NotKeyed("decides whether to reuse, not what")] = Field(
        "reuse", description="`reuse` takes what is stored; `force_new` reads no stored result."
    )
    output: Annotated[str, Place(), NotKeyed("where files are kept does not change them")] = Field(
        "podium-out", description="Directory for runs, store and `mlflow.db`."
    )
    store: Annotated[str | None, Place(), NotKeyed("where results are kept does not change them")] = Field(
        None, description="Directory or URI of results (`s3://`, `gs://`). `null`: `store` in `output`."
    )
    dataset: DatasetConfig
    plan: Annotated[PlanConfig, NotKeyed("decides the values of other fields, which are keyed")] = PlanConfig()
    entrants: dict[str, EntrantConfig]
    training: TrainingConfig = TrainingConfig()
    linear: LinearConfig = LinearConfig()
    llm: LlmConfig = LlmConfig()
    hpo: HpoConfig = HpoConfig()
    selection: SelectionConfig = SelectionConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    learning_curve: LearningCurveConfig = LearningCurveConfig()
    profile: ProfileConfig = ProfileConfig()
    report: ReportConfig = ReportConfig()
    tracking: Annotated[TrackingConfig, NotKeyed("records results, does not shape them")] = TrackingConfig()
    cluster: Annotated[ClusterConfig, NotKeyed("where trials run does not change them")] = ClusterConfig()

    @property
    def model_name(self) -> str:
        return self.tracking.model_name or _model_name(self.dataset.name)

    @model_validator(mode="after")
    def _check(self) -> Self:
        task = TASKS.get(self.dataset.task)
        problems, metrics = list(_entrant_problems(self.entrants, task)), task.objectives
        if self.hpo.metric and self.hpo.metric not in metrics:
            problems.append(
                f"hpo.metric must be one of {', '.join(metrics)} for dataset.task={self.dataset.task}, but got "
                f"{self.hpo.metric!r}"
            )
        linear, llm = (ENTRANTS.get(name).tunable(task) for name in ("linear", "llm"))
        spaces = {
            "space": SearchedFields("hpo.space", "training", TrainingConfig, TUNABLE),
            "linear_space": SearchedFields(
                "hpo.linear_space", "linear", LinearConfig, linear, f" for {self.dataset.task}"
            ),
            "llm_space": SearchedFields("hpo.llm_space", "llm", LlmConfig, llm),
        }
        settled: dict[str, Any] = {"metric": self.hpo.metric or metrics[0]}
        for place, about in spaces.items():
            found, settled[place] = about.checked(getattr(self.hpo, place))
            problems += found
        problems += [
            f"hpo.space must name at least one parameter, since entrants.{name} is a {entrant.kind}, but it is empty"
            for name, entrant in self.entrants.items()
            if entrant.kind in ENTRANTS.names() and not ENTRANTS.get(entrant.kind).space_in(self)
        ]
        problems += _selection_problems(self)
        problems += [
            f"hpo.space.{name} has no effect with training.adapter=none; set training.adapter=lora or leave it out"
            for name in self.hpo.space
            if name.startswith("lora_") and self.training.adapter == "none"
        ]
        if self.hpo.engine == "katib" and self.cluster.image is None:
            problems.append("hpo.engine=katib runs trials in pods, which need an image: set cluster.image")
        if problems:
            raise ValueError("\n".join(problems))
        object.__setattr__(self, "hpo", self.hpo.model_copy(update=settled))
        return self


def _entrant_problems(entrants: dict[str, EntrantConfig], task: Task) -> Iterator[str]:
    if not entrants:
        yield "entrants must name at least one model; choose entrant=[...] or set entrants.NAME.path"
    for name, entrant in entrants.items():
        if entrant.kind not in ENTRANTS.names():
            known, hint = ", ".join(ENTRANTS.names()), did_you_mean(entrant.kind, ENTRANTS.names())
            yield f"entrants.{name}.kind must be one of {known}, but got {entrant.kind!r}{hint}"
        elif wrong := ENTRANTS.get(entrant.kind).check_entry(entrant):
            yield f"entrants.{name}.{wrong[0]}: {wrong[1]}"
        elif reason := ENTRANTS.get(entrant.kind).check_task(task):
            yield f"entrants.{name}: {reason}"
        if not NAME_PATTERN.fullmatch(name):
            yield (
                f"entrants.{name}: an entrant's name has at most 40 lower-case letters, digits and dashes and starts "
                f"with a letter, but got {name!r}; rename it"
            )


def _selection_problems(config: PodiumConfig) -> Iterator[str]:
    """What the rest of the config makes impossible."""
    selection, candidates, trials = config.selection, len(config.entrants), config.hpo.max_trials
    samples = config.benchmark.repetitions * config.benchmark.samples
    minima = {"min_trials": selection.min_trials, "promotion.min_trials": selection.promotion.min_trials}
    for name, minimum in minima.items():
        if minimum > trials:
            yield (
                f"selection.{name} <= hpo.max_trials must hold, but got selection.{name}={minimum}, "
                f"hpo.max_trials={trials}"
            )
    smallest = max(candidates - 1, 1) * 2 / (selection.resamples + 1)
    if smallest > 1 - selection.confidence:
        yield (
            f"selection.resamples={selection.resamples} cannot show a difference between {candidates} candidates at "
            f"selection.confidence={selection.confidence:g}, since no p-value can fall below {smallest:.2g}; raise "
            "resamples or lower confidence"
        )
    bounded = {name for name, bound in selection.constraints if bound is not None}
    for name, needed in QUANTILE_SAMPLES.items():
        if (name in bounded or name == selection.cost) and samples < needed:
            where = f"selection.constraints.{name}" if name in bounded else f"selection.cost={name}"
            yield (
                f"{where} needs {needed} latency samples, but benchmark.repetitions * benchmark.samples = {samples}; "
                "raise one of them"
            )
