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

    A fold holds as many core slots as it has threads. It works in `{output}/fold-K`, which is removed when the fold is
    done; a fold that was killed before resumes from its checkpoint there. Where the spec keeps models, the model of
    each fold stays in `fold_models(spec.output)`.

    Args:
        spec: the training; its `fold` is replaced.
        done: folds finished earlier.
        on_fold: called with number and result of each fold as it ends. An exception that it raises ends the others.
        on_evaluation: called with the number of a fold and the arguments of `on_evaluation` of
            `podium.training.train.train`; only where folds run one after another.
        at_once: how many folds run at a time. 1 runs them in this process, in order. More run each in a fork of this
            process, which gives back the core slots that it holds.

    Raises:
        InputError, ComputationFailed: see `podium.training.train.train`. A fold that fails ends the others.
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
