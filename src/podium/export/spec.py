"""What the process that builds variants is told, and what it answers."""

from __future__ import annotations

from pathlib import Path

from podium.config.benchmark import VariantName
from podium.inference.predictor import PredictorSpec
from podium.records import VariantCheck
from podium.records.base import Frozen


class BuildSpec(Frozen):
    """Variants of one model to make and check.

    Attributes:
        eager: the model as it was refitted.
        variants: what to make.
        data: directory of the data artifact whose test rows are predicted.
        reference: directory of the eager model's predictions on those rows.
        metric: the quality that is compared.
        margin: the loss of quality from which on a variant fails.
        seed: of the bootstrap and of the choice of rows whose logits are compared.
        output: directory that gets a folder per variant, with `model` and `predictions`.
    """

    eager: PredictorSpec
    variants: tuple[VariantName, ...]
    data: Path
    reference: Path
    metric: str
    margin: float
    seed: int
    output: Path


class Built(Frozen):
    """How it ended for one variant; `code` is empty where it is as good as the eager model."""

    code: str = ""
    reason: str = ""
    check: VariantCheck | None = None
    seconds: float = 0.0
