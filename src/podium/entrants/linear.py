"""Linear models: TF-IDF and logistic regression for texts, and a feature-based tagger for words in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from podium.config.benchmark import VariantName
from podium.config.parameters import AnyParameter, CategoricalParameter, FloatParameter, IntParameter
from podium.config.schema import EntrantConfig, LinearConfig, PodiumConfig
from podium.entrants.base import EntrantKind
from podium.records.plan import Pace
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.training.launch import FitSpec, TrainingResult

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation


_SPACES: dict[str, dict[str, AnyParameter]] = {
    "terms": {
        "C": FloatParameter(low=0.1, high=100.0, log=True),
        "class_weights": CategoricalParameter(choices=("none", "balanced")),
        "analyzer": CategoricalParameter(choices=("word", "char_wb")),
        "word_ngrams": IntParameter(low=1, high=2),
        "char_ngrams": IntParameter(low=3, high=5),
        "min_df": IntParameter(low=1, high=3),
    },
    "words": {
        "C": FloatParameter(low=0.1, high=100.0, log=True),
        "class_weights": CategoricalParameter(choices=("none", "balanced")),
        "window": IntParameter(low=1, high=3),
        "epochs": IntParameter(low=5, high=20),
    },
}
"""The default space by what the model sees of a row (`Task.features`).

Of the two n-grams only that of the analyzer has an effect. They are not conditional, since Katib and most algorithms
search no conditional parameters.
"""

_TUNABLE = {"terms": (*_SPACES["terms"], "max_features"), "words": tuple(_SPACES["words"])}


class LinearSpec(FitSpec):
    """One training of a linear model."""

    kind: Literal["linear"] = "linear"
    config: LinearConfig


class Linear(EntrantKind):
    """A linear model, which trains in seconds and is deployed with numpy alone."""

    name = "linear"
    settings = LinearConfig
    section = "linear"
    spec = LinearSpec
    variants: ClassVar[tuple[VariantName, ...]] = ("eager",)
    memory_advice = "raise linear.min_df, or lower linear.max_features or hpo.parallel_trials"
    preload = ("seqeval.metrics", "podium.execution.workers", "podium.entrants.linear_training")

    def tunable(self, task: Task) -> tuple[str, ...]:
        return _TUNABLE[task.features]

    def settings_in(self, config: PodiumConfig, trial: bool = False) -> LinearConfig:
        return config.linear

    def space_in(self, config: PodiumConfig) -> dict[str, AnyParameter]:
        return config.hpo.linear_space or dict(_SPACES[TASKS.get(config.dataset.task).features])

    def check_entry(self, entry: EntrantConfig) -> tuple[str, str] | None:
        for name in ("path", "revision", "trust_remote_code"):
            if getattr(entry, name):
                return name, f"a linear model starts from nothing, so it has no {name}; leave it out"
        return None

    def measure(self, spec: Any) -> Pace:
        from podium.entrants.linear_training import measure

        return measure(spec)

    def train(self, spec: Any, on_evaluation: Callable[[Evaluation, float], None] | None = None) -> TrainingResult:
        """There is nothing to report before the end, so `on_evaluation` is not called."""
        from podium.entrants.linear_training import train

        return train(spec)


LINEAR = Linear()
