"""Step `select`: the champion of each backbone, ranked and compared."""

from __future__ import annotations

from collections.abc import Sequence

from podium.errors import StudyFailed
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.predictions import Predictions
from podium.records import Interval, ModelRecord, RunRecord, SelectionRecord, StudyRecord
from podium.selection.champions import leaderboard
from podium.selection.comparison import compare_with_best
from podium.stages.context import step_context
from podium.stages.keys import selection_key
from podium.stages.step import StepRun, run_step


def select(run: RunRecord, studies: Sequence[StudyRecord], models: Sequence[ModelRecord]) -> SelectionRecord:
    """Rank the champions, and compare each with the best on the same held-out rows.

    Raises:
        StudyFailed: no study has enough trials.
    """

    def compute(step: StepRun) -> SelectionRecord:
        return _compute(step, studies, models)

    with step_context("select") as directory:
        parents = {f"study.{study.backbone}": study.key for study in studies}
        parents |= {f"refit.{model.backbone}": model.key for model in models}
        key = selection_key(run.config, studies, models)
        return run_step(run, key, SelectionRecord, compute, parents=parents, directory=directory)


def _compute(step: StepRun, studies: Sequence[StudyRecord], models: Sequence[ModelRecord]) -> SelectionRecord:
    config = step.config.selection
    metric = step.config.hpo.metric
    ranked, warnings = leaderboard(studies, models, metric, config.min_trials)
    if not ranked:
        raise StudyFailed(f"no backbone can be a champion: {'; '.join(warnings)}")
    predictions = {
        model.backbone: Predictions.load(step.store.fetch(model.artifacts["predictions"])) for model in models
    }
    ranked = tuple(
        entry.model_copy(update={"test": _interval(step, predictions[entry.backbone], metric)}) for entry in ranked
    )
    comparisons = compare_with_best(
        ranked,
        predictions,
        metric=metric,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=step.config.seed,
    )
    step.tracker.log_metrics(step.mlflow_run_id, {f"{item.backbone}.test_{metric}": item.test.value for item in ranked})
    return SelectionRecord(**step.stamp, metric=metric, leaderboard=ranked, comparisons=comparisons, warnings=warnings)


def _interval(step: StepRun, predictions: Predictions, metric: str) -> Interval:
    """The test score with the interval that the selection is configured for."""
    config = step.config.selection
    return bootstrap_interval(predictions, metric, config.confidence, config.resamples, step.config.seed)
