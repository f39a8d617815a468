"""Transformers: pretrained backbones that are fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

from podium.config.benchmark import VariantName
from podium.config.parameters import AnyParameter
from podium.config.schema import TUNABLE, EntrantConfig, PodiumConfig, TrainingConfig
from podium.entrants.base import EntrantKind
from podium.records.plan import Pace
from podium.tasks.base import Task
from podium.training.launch import PRELOAD, TrainingResult, TrainingSpec

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation


class Transformer(EntrantKind):
    """A backbone with a head for the task, fine-tuned as a whole or by low-rank adapters."""

    name = "transformer"
    settings = TrainingConfig
    section = "training"
    spec = TrainingSpec
    variants: ClassVar[tuple[VariantName, ...]] = ("eager", "bf16", "compile", "onnx", "onnx-int8")
    memory_advice = "lower training.batch_size, training.max_length or hpo.parallel_trials"
    preload = PRELOAD

    def tunable(self, task: Task) -> tuple[str, ...]:
        return TUNABLE

    def settings_in(self, config: PodiumConfig, trial: bool = False) -> TrainingConfig:
        """`hpo.epochs` bounds trials, not the refit."""
        if not trial or config.hpo.epochs is None:
            return config.training
        return config.training.model_copy(update={"epochs": config.hpo.epochs})

    def space_in(self, config: PodiumConfig) -> dict[str, AnyParameter]:
        return config.hpo.space

    def check_entry(self, entry: EntrantConfig) -> tuple[str, str] | None:
        if entry.path is None:
            return "path", "a transformer starts from a pretrained model; give a directory, a hub id or pkg:NAME/PATH"
        return None

    def source(self, entry: EntrantConfig) -> dict[str, Any]:
        from podium.models.backbone import check_weights, locate_backbone

        path = locate_backbone(str(entry.path), entry.revision)
        check_weights(path)
        return {"backbone": path, "trust_remote_code": entry.trust_remote_code}

    def identity(self, entry: EntrantConfig) -> dict[str, Any]:
        from podium.models.backbone import backbone_digest, locate_backbone
        from podium.models.tokenizer import READING

        digest = backbone_digest(locate_backbone(str(entry.path), entry.revision))
        return {"backbone": digest, "trust_remote_code": entry.trust_remote_code, "reading": READING}

    def check(self, spec: TrainingSpec) -> None:
        from podium.models.network import check_backbone

        check_backbone(spec.backbone, spec.task, spec.trust_remote_code)

    def reporting(self, config: TrainingConfig) -> TrainingConfig:
        return config if config.evaluations_per_epoch else config.model_copy(update={"evaluations_per_epoch": 1})

    def settled(self, config: TrainingConfig, folds: Sequence[Mapping[str, float]]) -> TrainingConfig:
        """Where trials stopped early, the refit trains for the median of the best epochs of the trial's folds."""
        if config.early_stopping_patience is None:
            return config
        epochs = median(metrics["epoch"] for metrics in folds)
        return TrainingConfig(**{**config.model_dump(), "epochs": epochs, "early_stopping_patience": None})

    def measure(self, spec: TrainingSpec) -> Pace:
        from podium.training.pace import measure

        return measure(spec)

    def train(
        self, spec: TrainingSpec, on_evaluation: Callable[[Evaluation, float], None] | None = None
    ) -> TrainingResult:
        from podium.training.train import train

        return train(spec, on_evaluation)


TRANSFORMER = Transformer()
