"""K-fold cross-validation: one training per fold, each reported as soon as it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection

from podium.events import emit
from podium.training.spec import TrainingResult, TrainingSpec


def cross_validate(
    spec: TrainingSpec,
    folds: int,
    done: Collection[int],
    on_fold: Callable[[int, TrainingResult], None],
) -> dict[int, TrainingResult]:
    """Train and score the folds `0..folds-1` that are not in `done`, one after another in this process.

    A fold works in `{output}/fold-K`, which is removed when the fold is done: killed before that, the fold resumes from
    its checkpoint the next time.

    Args:
        spec: the training; its `fold` is replaced.
        done: folds finished earlier (any mapping by fold number serves).
        on_fold: called with each fold's number and result before the next fold starts; what it raises ends the rest.

    Returns:
        The results of the folds run now, by number.

    Raises:
        InputError, TrainingError: see `podium.training.train.train`.
    """
    from podium.training.train import train

    results: dict[int, TrainingResult] = {}
    for fold in range(folds):
        if fold in done:
            continue
        part = spec.model_copy(update={"fold": fold, "output": spec.output / f"fold-{fold}"})
        emit("fold_started", **spec.context, fold=fold, folds=folds)
        result = train(part)
        shutil.rmtree(part.output, ignore_errors=True)
        results[fold] = result
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
        on_fold(fold, result)
    return results
