"""Prompted language models: nothing is trained, and what is searched is the prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from podium.config.benchmark import VariantName
from podium.config.parameters import AnyParameter, CategoricalParameter
from podium.config.schema import EntrantConfig, LlmConfig, PodiumConfig
from podium.entrants.base import EntrantKind
from podium.errors import ConfigError
from podium.records.plan import Pace
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.text import did_you_mean, shortened
from podium.training.launch import FitSpec, TrainingResult

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation

TEMPLATES = {"single": "classify", "multi": "classify-each", "tokens": "entities"}
"""The template that suits a task, by its decoding."""

_SPACE: dict[str, AnyParameter] = {
    "strategy": CategoricalParameter(choices=("zero-shot", "few-shot")),
    "examples": CategoricalParameter(choices=(2, 4, 8)),
    "calibrate": CategoricalParameter(choices=(True, False)),
}


class LlmSpec(FitSpec):
    """One evaluation of a prompted model.

    Attributes:
        backbone: directory of the language model, with safetensors.
    """

    kind: Literal["llm"] = "llm"
    backbone: Path
    trust_remote_code: bool = False
    config: LlmConfig


class Llm(EntrantKind):
    """A causal language model that is asked; its answer is its likelihoods of the labels, or what it writes."""

    name = "llm"
    settings = LlmConfig
    section = "llm"
    spec = LlmSpec
    variants: ClassVar[tuple[VariantName, ...]] = ("eager", "bf16")
    memory_advice = "lower llm.max_length, llm.examples or hpo.parallel_trials"
    preload = ("seqeval.metrics", "podium.execution.workers", "podium.entrants.llm_training")

    def tunable(self, task: Task) -> tuple[str, ...]:
        return tuple(name for name in LlmConfig.model_fields if name not in ("price_per_million_tokens", "max_calls"))

    def settings_in(self, config: PodiumConfig, trial: bool = False) -> LlmConfig:
        return config.llm

    def decided(self, config: PodiumConfig) -> PodiumConfig:
        if config.llm.precision != "auto":
            return config
        from podium.models.precision import decided_precision

        precision = decided_precision()
        return config.model_copy(update={"llm": config.llm.model_copy(update={"precision": precision})})

    def asked_rows(self, config: PodiumConfig, rows: float) -> float:
        return min(rows, config.llm.max_calls or rows)

    def space_in(self, config: PodiumConfig) -> dict[str, AnyParameter]:
        # What is written has no probabilities, so that there is nothing to calibrate.
        unused = {"calibrate"} if TASKS.get(config.dataset.task).words else set()
        return config.hpo.llm_space or {name: one for name, one in _SPACE.items() if name not in unused}

    def check_entry(self, entry: EntrantConfig) -> tuple[str, str] | None:
        if entry.path is None:
            return "path", (
                "a prompted model is a causal language model; give a directory, a GGUF file, a hub id or pkg:NAME/PATH"
            )
        return None

    def source(self, entry: EntrantConfig) -> dict[str, Any]:
        from podium.models.gguf import causal_directory, locate_causal

        folder = causal_directory(locate_causal(str(entry.path), entry.revision))
        return {"backbone": folder, "trust_remote_code": entry.trust_remote_code}

    def identity(self, entry: EntrantConfig) -> dict[str, Any]:
        from podium.models.gguf import causal_digest, locate_causal

        digest = causal_digest(locate_causal(str(entry.path), entry.revision))
        return {"backbone": digest, "trust_remote_code": entry.trust_remote_code}

    def files(self, config: PodiumConfig) -> dict[str, Any]:
        """The digest of every template that may be used, by its name."""
        from podium.inference.prompts import template_named

        searched = self.space_in(config).get("template")
        names = searched.choices if isinstance(searched, CategoricalParameter) else (config.llm.template,)
        own = TEMPLATES.get(TASKS.get(config.dataset.task).decoding, "")
        return {"templates": {str(name): template_named(str(name) or own).digest for name in names}}

    def check(self, spec: LlmSpec) -> None:
        from podium.entrants.llm_training import template_of

        template_of(spec)
        known = TASKS.get(spec.task).kinds_of(spec.labels)
        for label in spec.config.label_descriptions:
            if label not in known:
                raise ConfigError(
                    f"llm.label_descriptions must name labels of the data, which are {shortened(known, 20)}, "
                    f"but got {label!r}{did_you_mean(label, known)}"
                )

    def measure(self, spec: Any) -> Pace:
        from podium.entrants.llm_training import measure

        return measure(spec)

    def train(self, spec: Any, on_evaluation: Callable[[Evaluation, float], None] | None = None) -> TrainingResult:
        """There is nothing to report before the end, so `on_evaluation` is not called."""
        from podium.entrants.llm_training import train

        return train(spec)


LLM = Llm()
