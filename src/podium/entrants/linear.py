"""Linear models: TF-IDF and logistic regression for texts, and a feature-based tagger for words in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from podium.config.benchmark import VariantName
from podium.config.parameters import AnyParameter, CategoricalParameter, FloatParameter, IntParameter
from podium.config.section import Positive, Section
from podium.entrants.base import EntrantKind
from podium.tasks.base import Task
from podium.training.launch import FitSpec, TrainingResult

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation


class LinearEntry(Section):
    """A linear model that competes; there is nothing to say of it but its hyperparameters."""


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


_SPACES: dict[str, dict[str, AnyParameter]] = {
    "terms": {
        "C": FloatParameter(low=0.1, high=100.0, log=True),
        "class_weights": CategoricalParameter(choices=("none", "balanced")),
        "analyzer": CategoricalParameter(choices=("word", "char_wb")),
        "word_ngrams": IntParameter(low=1, high=2, when={"analyzer": ("word",)}),
        "char_ngrams": IntParameter(low=3, high=5, when={"analyzer": ("char_wb",)}),
        "min_df": IntParameter(low=1, high=3),
    },
    "words": {
        "C": FloatParameter(low=0.1, high=100.0, log=True),
        "class_weights": CategoricalParameter(choices=("none", "balanced")),
        "window": IntParameter(low=1, high=3),
        "epochs": IntParameter(low=5, high=20),
    },
}
"""The default space by what the model sees of a row (`Task.features`)."""

_TUNABLE = {"terms": (*_SPACES["terms"], "max_features"), "words": tuple(_SPACES["words"])}


class LinearSpec(FitSpec):
    """One training of a linear model."""

    kind: Literal["linear"] = "linear"
    config: LinearConfig


class Linear(EntrantKind):
    """A linear model, which trains in seconds and is deployed with numpy alone."""

    name = "linear"
    entry = LinearEntry
    settings = LinearConfig
    spec = LinearSpec
    variants: ClassVar[tuple[VariantName, ...]] = ("linear",)
    preload = ("seqeval.metrics", "podium.execution.workers", "podium.entrants.linear_training")

    def tunable(self, task: Task) -> tuple[str, ...]:
        return _TUNABLE[task.features]

    def space(self, task: Task) -> dict[str, AnyParameter]:
        return dict(_SPACES[task.features])

    def train(self, spec: Any, on_evaluation: Callable[[Evaluation, float], None] | None = None) -> TrainingResult:
        """There is nothing to report before the end, so `on_evaluation` is not called."""
        from podium.entrants.linear_training import train

        return train(spec)


LINEAR = Linear()
