"""The body of one of Podium's own trials: k-fold cross-validation in one worker process."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from podium.config.entrants import ENTRANTS
from podium.config.fields import explain
from podium.config.section import Section
from podium.errors import ComputationFailed, ConfigError, KilledFromOutside, TrialPruned
from podium.evaluation.predictions import FILE
from podium.hpo.engines import TrialResult
from podium.hpo.experiment import Direction
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.study import best_trial
from podium.records import Observed, Report, Scalar, TrialRecord

if TYPE_CHECKING:
    from podium.training.launch import FitSpec, TrainingResult
    from podium.training.trainer import Evaluation

S = TypeVar("S", bound=Section)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidationTrial:
    """Cross-validates the params of a trial; can be sent to a worker process.

    A fold is in the ledger as soon as it has ended, with its metrics and the fractional `epoch` at which they were
    measured. A trial that is continued after a kill runs only the folds that the ledger lacks, and the interrupted one
    from its checkpoint.

    Attributes:
        spec: the training to which params are applied; every trial has its own directory below `output`.
        folds: number of folds of the data.
        early_stopping: whether trials may be stopped early. Folds are then evaluated at least once an epoch, and every
            report is printed for Katib's collector, not only the last one.
        parallel_folds: how many folds run at once; if several do, each reports only when it ends.
    """

    spec: FitSpec
    folds: int
    early_stopping: bool = False
    parallel_folds: int = 1

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        """The mean score over all folds; the last line it prints has every metric.

        Raises:
            InputError, ComputationFailed: see `podium.entrants.base.EntrantKind.train`.
            StoreError: the ledger cannot be written.
        """
        from podium.training.launch import cross_validate

        spec = self.training_of(claim.number, claim.params)
        scores = _FoldScores(claim, ledger, spec, self.folds, print_reports=self.early_stopping)
        pruned = None
        try:
            scores.stop_if_ruled(claim.record)
            cross_validate(
                spec, self.folds, scores.done, scores.fold_ended, scores.evaluated, at_once=self.parallel_folds
            )
        except TrialPruned as stopped:
            pruned = str(stopped)
        except KilledFromOutside:
            # A fold's process; the trial may be continued from its checkpoints.
            raise
        except ComputationFailed:
            shutil.rmtree(spec.output, ignore_errors=True)
            raise
        if pruned is not None or not spec.keep_model:
            shutil.rmtree(spec.output, ignore_errors=True)
        return scores.result(pruned)

    def training_of(self, number: int, params: Mapping[str, Scalar]) -> FitSpec:
        """What the folds of a trial train; the number of the fold is not set.

        Raises:
            ConfigError: see `settings_with`.
        """
        config = settings_with(self.spec.config, params)
        if self.early_stopping and self.parallel_folds == 1:
            config = ENTRANTS.get(self.spec.kind).reporting(config)
        return self.spec.model_copy(
            update={
                "config": config,
                "output": self.spec.output / f"trial-{number:06d}",
                "context": {**self.spec.context, "number": number},
            }
        )


class _FoldScores:
    """The metrics of the folds of one trial, from the trainings to the ledger and the trial's output.

    The end of a fold is reported when all folds before it have ended, so that the reports of a trial are the same
    whichever of its folds ended first.
    """

    def __init__(self, claim: Claim, ledger: TrialLedger, spec: FitSpec, folds: int, print_reports: bool) -> None:
        record, metric = claim.record, spec.metric
        self._claim, self._ledger, self._metric, self._folds = claim, ledger, metric, folds
        self._output, self._print_reports = spec.output, print_reports
        self.done = {
            int(fold): {**record.fold_metrics[fold], metric: score} for fold, score in record.fold_scores.items()
        }
        self._reported_folds = sum(report.epoch is None for report in record.reports)
        self._judged_reports = 0
        self._means = self._means_until(self._reported_folds - 1) if self._reported_folds else {}
        self._printed: dict[str, float] | None = None

    def evaluated(self, fold: int, evaluation: Evaluation, share: float) -> None:
        """Report the metrics of a fold after `share` of its training, and raise TrialPruned if the rule says so."""
        self._means = self._means_until(fold - 1, evaluation.metrics)
        progress = round(fold + ceil(share * 100) / 100, 2)
        report = Report(value=self._means[self._metric], fold=fold, epoch=round(evaluation.epoch, 4), progress=progress)
        if self._print_reports:
            self._print()
        self.stop_if_ruled(self._ledger.report(self._claim, report))

    def fold_ended(self, fold: int, result: TrainingResult) -> None:
        """Keep result and predictions of a fold, and report it and the folds that waited for it."""
        from podium.training.launch import fold_predictions

        if (file := fold_predictions(self._output, fold) / FILE).is_file():
            self._ledger.keep_predictions(self._claim, fold, file.read_bytes())
        self.done[fold] = dict(result.metrics)
        reports = []
        while self._reported_folds in self.done:
            number = self._reported_folds
            self._means = self._means_until(number)
            reports.append(Report(value=self._means[self._metric], fold=number, progress=number + 1.0))
            self._reported_folds += 1
            if self._print_reports and self._reported_folds < self._folds:
                self._print()
        metrics = {**result.metrics, "epoch": result.epoch}
        score = result.metrics[self._metric]
        self.stop_if_ruled(self._ledger.fold_finished(self._claim, fold, score, metrics, result.seconds, reports))

    def stop_if_ruled(self, record: TrialRecord) -> None:
        """Raise TrialPruned if the rule stops the trial at a new report, unless all folds have ended."""
        fresh = range(self._judged_reports + 1, len(record.reports) + 1)
        self._judged_reports = len(record.reports)
        rule = record.rule
        if rule is None or len(self.done) == self._folds:
            return
        for reports in (record.reports[:count] for count in fresh):
            if rule.stops(reports):
                last, more = reports[-1], rule.direction == "maximize"
                at = "the end" if last.epoch is None else f"epoch {last.epoch:g}"
                best = (max if more else min)(report.value for report in reports)
                raise TrialPruned(
                    f"{self._metric} {best if rule.compared == 'best' else last.value:.4f} is "
                    f"{'below' if more else 'above'} {rule.threshold(reports):.4f}, which {rule.algorithm} asks for at "
                    f"{at} of fold {last.fold} (report {len(reports)})"
                )

    def result(self, pruned: str | None) -> TrialResult:
        """How the trial ended; its metrics are the last line printed."""
        if self._printed is not self._means:
            self._print()
        metrics = {name: Observed.of([value]) for name, value in self._means.items()}
        return TrialResult(self._means[self._metric], metrics, pruned)

    def _print(self) -> None:
        print(metric_line(self._means), flush=True)
        self._printed = self._means

    def _means_until(self, last: int, unfinished: Mapping[str, float] | None = None) -> dict[str, float]:
        """The mean of every metric over the folds up to `last` and an unfinished one, the objective first."""
        folds = [self.done[fold] for fold in range(last + 1)] + ([] if unfinished is None else [dict(unfinished)])
        others = sorted(set.intersection(*(set(metrics) for metrics in folds)) - {self._metric, "epoch"})
        return {name: fmean(metrics[name] for metrics in folds) for name in (self._metric, *others)}


def settings_with(settings: S, params: Mapping[str, Scalar]) -> S:
    """Hyperparameters with the params of a trial in place of the fields they name.

    Raises:
        ConfigError: a param names no field, or has a value that field does not take.
    """
    try:
        return type(settings)(**{**settings.model_dump(), **params})
    except ValidationError as error:
        problems = "; ".join(explain(error, root=type(settings)))
        raise ConfigError(f"params {dict(params)} do not fit the hyperparameters of the entrant: {problems}") from error


def metric_line(metrics: Mapping[str, float]) -> str:
    """The time and `name=value` of every metric, as the default filter of Katib's collectors reads them.

    The filter (`pkg/metricscollector/v1beta1/common/const.go`) takes every `name=value` of a line. The time at the
    beginning decides which line is the latest. Values must be finite; they are written with all digits.
    """
    figures = (f"{name}={float(value)!r}" for name, value in metrics.items())
    return " ".join([datetime.now(UTC).isoformat(timespec="microseconds"), *figures])


class BestTrialFiles:
    """Keeps predictions and models of the best trial so far where the trial wrote them, and removes all others."""

    def __init__(self, trial: CrossValidationTrial, ledger: TrialLedger, direction: Direction) -> None:
        self._trial = trial
        self._ledger = ledger
        self._direction = direction
        self._best: TrialRecord | None = None

    def ended(self, record: TrialRecord) -> None:
        """Take a trial that ended into account, also one of an earlier session."""
        contenders = [trial for trial in (self._best, record) if trial is not None]
        if record.status == "succeeded":
            self._best = best_trial(contenders, self._direction)
        for trial in contenders:
            if self._best is None or trial.number != self._best.number:
                self._ledger.drop_predictions(trial)
                shutil.rmtree(self._trial.training_of(trial.number, trial.params).output, ignore_errors=True)


def fold_models_of(trial: CrossValidationTrial, record: TrialRecord) -> Path:
    """Directory with a model `fold-K` for every fold of a finished trial; to be called in a worker.

    Models that are missing, because the cache was cleared or another machine ran the trial, are trained again.

    Raises:
        InputError, ComputationFailed: see `podium.entrants.base.EntrantKind.train`.
    """
    from podium.training.launch import cross_validate, fold_models

    spec = trial.training_of(record.number, record.params)
    kept = fold_models(spec.output)

    def compare(fold: int, result: TrainingResult) -> None:
        before, score = record.fold_scores[str(fold)], result.metrics[spec.metric]
        if score != before:
            _log.warning(
                f"fold {fold} of trial {record.number} was trained again for its model, and has {spec.metric}={score} "
                f"instead of {before}: another machine or number of threads adds up in another order"
            )

    whole = {fold for fold in range(trial.folds) if (kept / f"fold-{fold}").is_dir()}
    cross_validate(spec, trial.folds, whole, compare, at_once=trial.parallel_folds)
    return kept
