"""K-fold cross-validation: one training per fold, each reported as soon as it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from podium.events import emit
from podium.execution.forks import fork_each
from podium.execution.slots import core_slots, release_slots
from podium.training.launch import TRAINING
from podium.training.spec import TrainingResult, TrainingSpec

if TYPE_CHECKING:
    from podium.training.trainer import Evaluation


def cross_validate(
    spec: TrainingSpec,
    folds: int,
    done: Collection[int],
    on_fold: Callable[[int, TrainingResult], None],
    on_evaluation: Callable[[int, Evaluation, float], None] | None = None,
    at_once: int = 1,
) -> None:
    """Train and score the folds `0..folds-1` that are not in `done`.

    A fold holds as many core slots as it has threads, and works in `{output}/fold-K`, which is removed when the fold is
    done: killed before that, the fold resumes from its checkpoint the next time. Where the spec keeps models, that of
    each fold stays in `fold_models(spec.output)`.

    Args:
        spec: the training; its `fold` is replaced.
        done: folds finished earlier (any mapping by fold number serves).
        on_fold: called with each fold's number and result as it ends; what it raises ends the rest.
        on_evaluation: called with a fold's number and what `podium.training.train.train` tells of its evaluations,
            where folds run one after another.
        at_once: 1: one after another in this process, in order; more: so many at a time, each in a fork of this
            process, which gives back the core slots that it holds.

    Raises:
        InputError, ComputationFailed: see `podium.training.train.train`; a fold that fails ends those beside it.
    """
    missing = [fold for fold in range(folds) if fold not in done]
    if at_once > 1 and len(missing) > 1:
        release_slots()
        fork_each(partial(_train, spec, folds, None), missing, at_once, on_fold, TRAINING)
        return
    for fold in missing:
        on_fold(fold, _train(spec, folds, on_evaluation, fold))


def fold_models(output: Path) -> Path:
    """Where a cross-validation in `output` keeps its models: a directory `fold-K` of each."""
    return output / "models"


def _train(
    spec: TrainingSpec, folds: int, on_evaluation: Callable[[int, Evaluation, float], None] | None, fold: int
) -> TrainingResult:
    from podium.training.train import train

    part = spec.model_copy(update={"fold": fold, "output": spec.output / f"fold-{fold}"})
    with core_slots(spec.threads):
        emit("fold_started", **spec.context, fold=fold, folds=folds)
        result = train(part, None if on_evaluation is None else partial(on_evaluation, fold))
    if spec.keep_model:
        kept = fold_models(spec.output) / f"fold-{fold}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(exist_ok=True)
        (part.output / "model").rename(kept)
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
