"""The body of one of Podium's own trials: k-fold cross-validation in one worker process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import ValidationError

from podium.config.schema import TrainingConfig
from podium.errors import ConfigError, TrainingError
from podium.hpo.engines.base import TrialResult
from podium.hpo.ledger import Claim, TrialLedger
from podium.records import Scalar

if TYPE_CHECKING:
    from podium.training.spec import TrainingResult, TrainingSpec


@dataclass(frozen=True)
class CrossValidationTrial:
    """Cross-validates the params of a trial; can be sent to a worker process.

    A fold is in the ledger as soon as it is done, with its metrics and the (fractional) `epoch` they were measured at.
    Continued after a kill, the trial runs only the folds the ledger lacks, the interrupted one from its checkpoint.

    Attributes:
        spec: the training that params are applied to; every trial works in a directory of its own below its `output`.
        folds: number of folds of the data.
    """

    spec: TrainingSpec
    folds: int

    @property
    def event_fields(self) -> Mapping[str, Scalar]:
        """See `TrialFunction`."""
        return {**self.spec.context, "folds": self.folds}

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        """The mean score over all folds.

        Raises:
            InputError, TrainingError: see `podium.training.train.train`.
            StoreError: the ledger cannot be written.
        """
        from podium.training.cross_validation import cross_validate
        from podium.training.execution.slots import core_slots

        scores = {int(fold): score for fold, score in claim.record.fold_scores.items()}
        output = self.spec.output / f"trial-{claim.number:06d}"
        spec = self.spec.model_copy(
            update={
                "config": training_with(self.spec.config, claim.params),
                "output": output,
                "context": {**self.spec.context, "number": claim.number},
            }
        )

        def keep(fold: int, result: TrainingResult) -> None:
            scores[fold] = result.metrics[spec.metric]
            metrics = {**result.metrics, "epoch": result.epoch}
            ledger.fold_finished(claim, fold, scores[fold], metrics, result.seconds)

        try:
            with core_slots(spec.threads):
                cross_validate(spec, self.folds, set(scores), keep)
        except TrainingError:
            shutil.rmtree(output, ignore_errors=True)
            raise
        shutil.rmtree(output, ignore_errors=True)
        return TrialResult(fmean(scores[fold] for fold in range(self.folds)))


def training_with(training: TrainingConfig, params: Mapping[str, Scalar]) -> TrainingConfig:
    """`training` with the params of a trial in place of the fields they name.

    Raises:
        ConfigError: a param names no training field, or has a value that field does not take.
    """
    try:
        return TrainingConfig(**{**training.model_dump(), **params})
    except ValidationError as error:
        problems = "; ".join(f"training.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"params {dict(params)} do not fit the training: {problems}") from error
