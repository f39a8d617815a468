"""The description of a training, its result, and how it is run: in a process of its own, or once per fold."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SerializeAsAny

from podium.config.entrants import ENTRANTS
from podium.config.schema import TrainingConfig
from podium.config.section import Section, TaskName
from podium.events import emit
from podium.execution.calls import fork_each
from podium.execution.environment import training_environment
from podium.execution.failures import Purpose
from podium.execution.launch import run_program
from podium.execution.slots import core_slots, release_slots
from podium.keys import Key
from podium.records.base import Scalar

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation

PRELOAD = ("seqeval.metrics", "sklearn.metrics", "podium.execution.workers", "podium.training.train")
"""What the fork server of a worker pool loads once, since every training needs it (see `WorkerPool`)."""

GRACE_SECONDS = 30.0
"""How much longer than its own time limit a training may take to notice it (imports, one long step)."""


class FitSpec(Section):
    """One training of an entrant of any kind: a fold of a cross-validation, or the refit on all but the test rows.

    Attributes:
        kind: name of the kind of entrant (`podium.config.entrants.ENTRANTS`), whose subclass of this class it is.
        task: name of the task, which decides what is learned, and its metrics.
        labels: those of the data set, in the order of the model's outputs.
        data: directory of the `data` artifact.
        data_digest: digest of that artifact, the name its tokenised form is cached under; computed when empty.
        metric: what early stopping watches and progress shows; higher is better.
        fold: train on the other folds and score this one; None: train on all of development, predict the test rows.
        keep_model: leave `{output}/model` after a fold too, with the weights that its score was measured with.
        data_fraction: share of the training rows to use, at least one row per class.
        threads: compute threads; only the order of floating-point sums depends on them.
        output: directory of this training alone; holds its checkpoints, `model` and `predictions`.
        cache: directory of tokenised data, shared by any number of processes.
        context: fields added to every progress event (trial number, entrant).
    """

    kind: str
    task: TaskName
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    data: Path
    data_digest: str = ""
    config: SerializeAsAny[Section]
    metric: str
    seed: int
    fold: Annotated[int, Field(ge=0)] | None = None
    keep_model: bool = False
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    threads: Annotated[int, Field(ge=1)] = 1
    output: Path
    cache: Path
    context: dict[str, Scalar] = Field(default_factory=dict)

    @property
    def time_limit(self) -> float | None:
        """Seconds after which the training fails; None for no limit."""
        return None


class TrainingSpec(FitSpec):
    """One training of a transformer.

    Attributes:
        backbone: directory of the pretrained model (see `podium.models.backbone.locate_backbone`).
    """

    kind: Literal["transformer"] = "transformer"
    backbone: Path
    trust_remote_code: bool = False
    config: TrainingConfig

    @property
    def time_limit(self) -> float | None:
        return self.config.timeout_seconds

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
        steps: optimiser steps up to that point; of a linear model, passes over its rows.
        seconds: wall time of this process's share; a resumed training counts from its resumption.
        samples_per_second: training examples per second of the training loop, evaluations included.
        facts: what else was measured or counted, by name.
        notes: what a reader of the score must know, as sentences.
    """

    metrics: dict[str, float]
    epoch: float
    steps: int
    seconds: float
    samples_per_second: float
    facts: dict[str, Scalar] = {}
    notes: tuple[str, ...] = ()


def run_training(spec: FitSpec, log: Path) -> TrainingResult:
    """Run `spec` as a process in its own session, once as many cores are free as it has threads.

    Its checkpoints stay in `spec.output`, so that the same call resumes it. Its output is appended to `log`.

    Raises:
        InputError: ConfigError, DataError or ModelError, as the training raised it.
        OutOfMemory: device or host memory ran out.
        NonFiniteLoss: the loss or a metric became NaN or infinite.
        ProcessKilled: a signal ended the process.
        TimeLimitExceeded: `spec.time_limit` passed.
        ComputationFailed: it ended in any other way without a result.
    """
    result = run_program(
        "podium.entrants.train",
        spec,
        spec.output,
        log,
        purpose=_purpose(spec),
        environment=training_environment(spec.threads, spec.seed),
        cores=spec.threads,
        limit=spec.time_limit,
        grace=GRACE_SECONDS,
    )
    return TrainingResult.model_validate(result)


def cross_validate(
    spec: FitSpec,
    folds: int,
    done: Collection[int],
    on_fold: Callable[[int, TrainingResult], None],
    on_evaluation: Callable[[int, Evaluation, float], None] | None = None,
    at_once: int = 1,
) -> None:
    """Train and score the folds `0..folds-1` that are not in `done`.

    A fold holds as many core slots as it has threads. It works in `{output}/fold-K`, which is removed when the fold is
    done; a fold that was killed before resumes from its checkpoint there. Its predictions stay in
    `fold_predictions(spec.output, K)`. Where the spec keeps models, the model of each fold stays in
    `fold_models(spec.output)`. A fold that fails ends the others, with the errors of
    `podium.entrants.base.EntrantKind.train`.

    Args:
        spec: the training; its `fold` is replaced.
        on_fold: called with number and result of each fold as it ends. An exception that it raises ends the others.
        on_evaluation: called with the number of a fold and the arguments of `on_evaluation` of
            `podium.entrants.base.EntrantKind.train`; only where folds run one after another.
        at_once: how many folds run at a time. 1 runs them in this process, in order. More run each in a fork of this
            process, which gives back the core slots that it holds.
    """
    missing = [fold for fold in range(folds) if fold not in done]
    if at_once > 1 and len(missing) > 1:
        release_slots()
        fork_each(partial(_train, spec, folds, None), missing, at_once, on_fold, _purpose(spec))
        return
    for fold in missing:
        on_fold(fold, _train(spec, folds, on_evaluation, fold))


def _purpose(spec: FitSpec) -> Purpose:
    advice = ENTRANTS.get(spec.kind).memory_advice
    return Purpose("the training", advice, time_advice="raise training.timeout_seconds, or train less")


def fold_models(output: Path) -> Path:
    """Where a cross-validation in `output` keeps its models: a directory `fold-K` of each."""
    return output / "models"


def fold_predictions(output: Path, fold: int) -> Path:
    """Where a cross-validation in `output` leaves the held-out predictions of a fold that have probabilities."""
    return output / "predictions" / f"fold-{fold}"


def _train(
    spec: FitSpec, folds: int, on_evaluation: Callable[[int, Evaluation, float], None] | None, fold: int
) -> TrainingResult:
    part = spec.model_copy(update={"fold": fold, "output": spec.output / f"fold-{fold}"})
    with core_slots(spec.threads):
        emit("fold_started", **spec.context, fold=fold, folds=folds)
        report = None if on_evaluation is None else partial(on_evaluation, fold)
        result: TrainingResult = ENTRANTS.get(spec.kind).train(part, report)
    kept = {"predictions": fold_predictions(spec.output, fold)}
    if spec.keep_model:
        kept["model"] = fold_models(spec.output) / f"fold-{fold}"
    for name, place in kept.items():
        if (part.output / name).is_dir():
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(exist_ok=True)
            (part.output / name).rename(place)
    shutil.rmtree(part.output, ignore_errors=True)
    emit(
        "fold_finished",
        **spec.context,
        fold=fold,
        folds=folds,
        metric=spec.metric,
        score=result.metrics[spec.metric],
        epoch=round(result.epoch, 4),
        seconds=round(result.seconds, 3),
    )
    return result
