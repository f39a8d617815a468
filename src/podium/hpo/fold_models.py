"""The models that the folds of the best trial ended with, for `hpo.fold_models=best`."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from podium.hpo.experiment import Direction
from podium.hpo.study import best_trial
from podium.hpo.trial import CrossValidationTrial
from podium.records import TrialRecord

if TYPE_CHECKING:
    from podium.training.spec import TrainingResult

_log = logging.getLogger(__name__)


class BestFoldModels:
    """Keeps the models of the best trial so far where the trial wrote them, and removes all others."""

    def __init__(self, trial: CrossValidationTrial, direction: Direction) -> None:
        self._trial = trial
        self._direction = direction
        self._best: TrialRecord | None = None

    def ended(self, record: TrialRecord) -> None:
        """Take a trial that ended into account, also one of an earlier session."""
        contenders = [trial for trial in (self._best, record) if trial is not None]
        if record.status == "succeeded":
            self._best = best_trial(contenders, self._direction)
        for trial in contenders:
            if self._best is None or trial.number != self._best.number:
                shutil.rmtree(self._trial.training_of(trial.number, trial.params).output, ignore_errors=True)


def fold_models_of(trial: CrossValidationTrial, record: TrialRecord) -> Path:
    """Directory with a model `fold-K` for every fold of a finished trial; to be called in a worker.

    Models that are missing, because the cache was cleared or another machine ran the trial, are trained again.

    Raises:
        InputError, ComputationFailed: see `podium.training.train.train`.
    """
    from podium.training.launch import cross_validate, fold_models

    spec = trial.training_of(record.number, record.params)
    kept = fold_models(spec.output)

    def compare(fold: int, result: TrainingResult) -> None:
        before, score = record.fold_scores[str(fold)], result.metrics[spec.metric]
        if score != before:
            _log.warning(
                "fold %d of trial %d was trained again for its model, and has %s=%s instead of %s: another machine or "
                "number of threads adds up in another order",
                fold,
                record.number,
                spec.metric,
                score,
                before,
            )

    whole = {fold for fold in range(trial.folds) if (kept / f"fold-{fold}").is_dir()}
    cross_validate(spec, trial.folds, whole, compare, at_once=trial.parallel_folds)
    return kept
