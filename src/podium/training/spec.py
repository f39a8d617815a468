"""The description of one training, and its result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from podium.config.schema import TrainingConfig
from podium.config.section import Section, TaskName
from podium.keys import Key
from podium.tasks import TASKS

Scalar = bool | int | float | str


class TrainingSpec(Section):
    """One training: a fold of a cross-validation, or the refit on everything but the test rows.

    Attributes:
        task: name of the task, which decides head, tokenisation and metrics.
        labels: those of the data set, in the order of the model's outputs.
        data: directory of the `data` artifact.
        data_digest: digest of that artifact, the name its tokenised form is cached under; computed when empty.
        backbone: directory of the pretrained model (see `podium.models.backbone.locate_backbone`).
        metric: what early stopping watches and progress shows; higher is better.
        fold: train on the other folds and score this one; None: train on all of development, predict the test rows.
        keep_model: leave `{output}/model` after a fold too, with the weights that its score was measured with.
        data_fraction: share of the training rows to use, at least one row per class.
        threads: compute threads; only the order of floating-point sums depends on them.
        output: directory of this training alone; holds its checkpoints, `model` and `predictions`.
        cache: directory of tokenised data, shared by any number of processes.
        context: fields added to every progress event (trial number, backbone name).
    """

    task: TaskName
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    data: Path
    data_digest: str = ""
    backbone: Path
    trust_remote_code: bool = False
    config: TrainingConfig
    metric: str
    seed: int
    fold: Annotated[int, Field(ge=0)] | None = None
    keep_model: bool = False
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    threads: Annotated[int, Field(ge=1)] = 1
    output: Path
    cache: Path
    context: dict[str, Scalar] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = TASKS.get(self.task).objectives
        if self.metric not in known:
            raise ValueError(f"metric must be one of {', '.join(known)} for {self.task}, but got {self.metric!r}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels must be unique, but got {self.labels}")
        return self

    def fingerprint(self, data_digest: str, backbone_digest: str) -> str:
        """Digest of everything that shapes the weights: a checkpoint is resumed only under the same one."""
        own = ("task", "labels", "trust_remote_code", "config", "metric", "seed", "fold", "data_fraction")
        parts = {name: getattr(self, name) for name in own}
        return Key.of("training", **parts, data=data_digest, backbone=backbone_digest).digest


class TrainingResult(Section):
    """What a training achieved.

    Attributes:
        metrics: of the held-out fold, or of the test rows after a refit. With early stopping those of the best
            evaluation, otherwise those of the last.
        epoch: the (fractional) epoch those metrics were measured at.
        steps: optimiser steps up to that point.
        seconds: wall time of this process's share; a resumed training counts from its resumption.
        samples_per_second: training examples per second of the training loop, evaluations included.
        threads: torch threads used.
    """

    metrics: dict[str, float]
    epoch: float
    steps: int
    seconds: float
    samples_per_second: float
    threads: int
