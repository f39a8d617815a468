"""The body of one of Podium's own trials: k-fold cross-validation in one worker process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import ValidationError

from podium.config.schema import TrainingConfig
from podium.errors import ComputationFailed, ConfigError, KilledFromOutside, TrialPruned
from podium.hpo.engines.base import TrialResult
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.metric_line import metric_line
from podium.records import Observed, Report, Scalar, StoppingRule, TrialRecord

if TYPE_CHECKING:
    from podium.training.spec import TrainingResult, TrainingSpec
    from podium.training.trainer import Evaluation


@dataclass(frozen=True)
class CrossValidationTrial:
    """Cross-validates the params of a trial; can be sent to a worker process.

    A fold is in the ledger as soon as it is done, with its metrics and the (fractional) `epoch` they were measured at.
    Continued after a kill, the trial runs only the folds the ledger lacks, the interrupted one from its checkpoint.

    Attributes:
        spec: the training that params are applied to; every trial works in a directory of its own below its `output`.
        folds: number of folds of the data.
        early_stopping: whether trials may be stopped early: folds are then evaluated once an epoch at least, and every
            report is printed for Katib's collector, not only the last.
        parallel_folds: how many folds run at once; more than one of them report at their ends alone.
    """

    spec: TrainingSpec
    folds: int
    early_stopping: bool = False
    parallel_folds: int = 1

    @property
    def event_fields(self) -> Mapping[str, Scalar]:
        """See `TrialFunction`."""
        return {**self.spec.context, "folds": self.folds}

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        """The mean score over all folds; the last line it prints has every metric.

        Raises:
            InputError, ComputationFailed: see `podium.training.train.train`.
            StoreError: the ledger cannot be written.
        """
        from podium.training.cross_validation import cross_validate

        spec = self.training_of(claim.number, claim.params)
        course = _Course(claim, ledger, spec.metric, self.folds, printed=self.early_stopping)
        try:
            course.judge(claim.record)
            cross_validate(
                spec, self.folds, course.done, course.fold_ended, course.evaluated, at_once=self.parallel_folds
            )
        except TrialPruned as stopped:
            shutil.rmtree(spec.output, ignore_errors=True)
            return course.result(pruned=str(stopped))
        except KilledFromOutside:
            # A fold's process; the trial may be continued from its checkpoints.
            raise
        except ComputationFailed:
            shutil.rmtree(spec.output, ignore_errors=True)
            raise
        if not spec.keep_model:
            shutil.rmtree(spec.output, ignore_errors=True)
        return course.result()

    def training_of(self, number: int, params: Mapping[str, Scalar]) -> TrainingSpec:
        """What the folds of a trial train, but for their numbers.

        Raises:
            ConfigError: see `training_with`.
        """
        config = training_with(self.spec.config, params)
        if self.early_stopping and self.parallel_folds == 1 and config.evaluations_per_epoch is None:
            config = config.model_copy(update={"evaluations_per_epoch": 1})
        return self.spec.model_copy(
            update={
                "config": config,
                "output": self.spec.output / f"trial-{number:06d}",
                "context": {**self.spec.context, "number": number},
            }
        )


class _Course:
    """The folds of a trial as they go: tells the ledger, and raises TrialPruned where the trial's rule stops it.

    The values of a fold are reported when all folds before it have ended, so that the reports of a trial are the same
    whichever of its folds ended first.
    """

    def __init__(self, claim: Claim, ledger: TrialLedger, metric: str, folds: int, printed: bool) -> None:
        record = claim.record
        self._claim, self._ledger, self._metric, self._folds, self._printed = claim, ledger, metric, folds, printed
        self.done = {
            int(fold): {**record.fold_metrics[fold], metric: score} for fold, score in record.fold_scores.items()
        }
        self._told = sum(report.epoch is None for report in record.reports)
        self._judged = 0
        self._metrics = self._means(self._told - 1) if self._told else {}
        self._said: dict[str, float] | None = None

    def evaluated(self, fold: int, evaluation: Evaluation, share: float) -> None:
        """Report what a fold has reached after `share` of its training."""
        self._metrics = self._means(fold - 1, evaluation.metrics)
        progress = round(fold + ceil(share * 100) / 100, 2)
        report = Report(
            value=self._metrics[self._metric], fold=fold, epoch=round(evaluation.epoch, 4), progress=progress
        )
        self._print()
        self.judge(self._ledger.report(self._claim, report))

    def fold_ended(self, fold: int, result: TrainingResult) -> None:
        """Keep a fold's result, and report it together with those that waited for it."""
        self.done[fold] = dict(result.metrics)
        reports = []
        while self._told in self.done:
            self._metrics = self._means(self._told)
            reports.append(Report(value=self._metrics[self._metric], fold=self._told, progress=self._told + 1.0))
            self._told += 1
            if self._told < self._folds:
                self._print()
        metrics = {**result.metrics, "epoch": result.epoch}
        score = result.metrics[self._metric]
        self.judge(self._ledger.fold_finished(self._claim, fold, score, metrics, result.seconds, reports))

    def judge(self, record: TrialRecord) -> None:
        """Apply the rule to reports that it was not applied to yet; a trial whose folds have all ended has nothing left
        to stop.
        """
        fresh = range(self._judged + 1, len(record.reports) + 1)
        self._judged = len(record.reports)
        if record.rule is None or len(self.done) == self._folds:
            return
        for count in fresh:
            if record.rule.stops(record.reports[:count]):
                raise TrialPruned(_why(self._metric, record.rule, record.reports[:count]))

    def result(self, pruned: str | None = None) -> TrialResult:
        """How the trial ended; its metrics are the last line printed."""
        if self._said is not self._metrics:
            print(metric_line(self._metrics), flush=True)
        metrics = {name: Observed.of([value]) for name, value in self._metrics.items()}
        return TrialResult(self._metrics[self._metric], metrics, pruned)

    def _print(self) -> None:
        if self._printed:
            print(metric_line(self._metrics), flush=True)
            self._said = self._metrics

    def _means(self, last: int, under_way: Mapping[str, float] | None = None) -> dict[str, float]:
        """Every metric's mean over the folds up to `last` and the one under way, the objective first."""
        folds = [self.done[fold] for fold in range(last + 1)] + ([] if under_way is None else [dict(under_way)])
        others = sorted(set.intersection(*(set(metrics) for metrics in folds)) - {self._metric, "epoch"})
        return {name: fmean(metrics[name] for metrics in folds) for name in (self._metric, *others)}


def _why(metric: str, rule: StoppingRule, reports: tuple[Report, ...]) -> str:
    last = reports[-1]
    at = f"at the end of fold {last.fold}" if last.epoch is None else f"at epoch {last.epoch:g} of fold {last.fold}"
    best = max if rule.direction == "maximize" else min
    value = best(report.value for report in reports) if rule.compared == "best" else last.value
    relation = "below" if rule.direction == "maximize" else "above"
    return (
        f"{metric} {value:.4f} is {relation} {rule.threshold(reports):.4f}, which {rule.algorithm} asks for {at} "
        f"(report {len(reports)})"
    )


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
