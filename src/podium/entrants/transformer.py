"""Transformers: pretrained backbones that are fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

from podium.config.benchmark import VariantName
from podium.config.parameters import AnyParameter, CategoricalParameter, FloatParameter
from podium.config.schema import TUNABLE, BackboneConfig, TrainingConfig
from podium.entrants.base import EntrantKind
from podium.tasks.base import Task
from podium.training.launch import PRELOAD, TrainingResult, TrainingSpec

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation


class Transformer(EntrantKind):
    """A backbone with a head for the task, fine-tuned as a whole."""

    name = "transformer"
    entry = BackboneConfig
    settings = TrainingConfig
    spec = TrainingSpec
    variants: ClassVar[tuple[VariantName, ...]] = ("eager", "bf16", "compile", "onnx", "onnx-int8")
    preload = PRELOAD

    def tunable(self, task: Task) -> tuple[str, ...]:
        return TUNABLE

    def space(self, task: Task) -> dict[str, AnyParameter]:
        """Rare tags want more updates than whole texts do: smaller batches, higher rates."""
        if task.words:
            return {
                "learning_rate": FloatParameter(low=5e-5, high=2e-3, log=True),
                "batch_size": CategoricalParameter(choices=(8, 16)),
                "warmup_ratio": FloatParameter(low=0.0, high=0.2),
                "dropout": FloatParameter(low=0.0, high=0.3),
            }
        return {
            "learning_rate": FloatParameter(low=3e-5, high=1e-3, log=True),
            "batch_size": CategoricalParameter(choices=(8, 16, 32)),
            "weight_decay": FloatParameter(low=0.0, high=0.1),
            "dropout": FloatParameter(low=0.0, high=0.3),
        }

    def source(self, entry: BackboneConfig) -> dict[str, Any]:
        from podium.models.backbone import locate_backbone

        return {"backbone": locate_backbone(entry), "trust_remote_code": entry.trust_remote_code}

    def identity(self, entry: BackboneConfig) -> dict[str, Any]:
        from podium.models.backbone import backbone_digest, locate_backbone

        return {"backbone": backbone_digest(locate_backbone(entry)), "trust_remote_code": entry.trust_remote_code}

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

    def train(
        self, spec: TrainingSpec, on_evaluation: Callable[[Evaluation, float], None] | None = None
    ) -> TrainingResult:
        from podium.training.train import train

        return train(spec, on_evaluation)


TRANSFORMER = Transformer()
