"""Step `select`: the champion of each backbone, ranked and compared, with the baselines beside them."""

from __future__ import annotations

from podium.errors import StudyFailed
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.predictions import Predictions
from podium.records import BaselineEntry, BaselineRecord, ModelRecord, SelectionRecord, StudyRecord
from podium.selection.champions import fold_test, leaderboard
from podium.selection.comparison import Budget, compare, compare_with_best, described, shown_better
from podium.stages.step import StepRun


def comparison_budget(step: StepRun) -> Budget:
    """How two models are compared in this run."""
    config, part = step.config, step.config.selection
    return Budget(metric=config.hpo.metric, confidence=part.confidence, resamples=part.resamples, seed=config.seed)


def compute(step: StepRun) -> SelectionRecord:
    """Rank the champions, compare each with the best and with every baseline, all on the same held-out rows.

    Raises:
        StudyFailed: no study has enough trials.
        InputError: studies and models do not pair up, or models and baselines are not for the same rows and labels.
    """
    baseline, studies, models = step.one(BaselineRecord), step.all(StudyRecord), step.all(ModelRecord)
    config, budget, metric = step.config.selection, comparison_budget(step), step.config.hpo.metric
    how = {"confidence": config.confidence, "data_fraction": step.config.hpo.data_fraction}
    ranked, warnings = leaderboard(studies, models, metric, config.min_trials, **how)
    if not ranked:
        raise StudyFailed(f"no backbone can be a champion: {'; '.join(warnings)}")
    predictions = {
        model.backbone: Predictions.load(step.store.fetch(model.artifacts["predictions"])) for model in models
    }
    baselines = {
        one.name: Predictions.load(step.store.fetch(baseline.artifacts[one.name])) for one in baseline.baselines
    }
    tests = {name: bootstrap_interval(held, **budget) for name, held in predictions.items()}
    ranked = tuple(entry.model_copy(update={"test": tests[entry.backbone]}) for entry in ranked)
    against_baselines = tuple(
        compare((entry.backbone, predictions[entry.backbone]), (name, baselines[name]), **budget)
        for entry in ranked
        for name in sorted(baselines)
    )
    entries = [
        BaselineEntry(name=one.name, test=bootstrap_interval(baselines[one.name], **budget), seconds=one.seconds)
        for one in baseline.baselines
    ]
    scores = {entry.backbone: entry.test for entry in ranked} | {f"baseline.{one.name}": one.test for one in entries}
    step.tracker.log_metrics(
        step.mlflow_run_id, {f"{name}.test_{metric}": interval.value for name, interval in scores.items()}
    )
    folds = {study.backbone: study.best_trial.fold_scores for study in studies}
    named = [(entry.backbone, folds[entry.backbone]) for entry in ranked]
    fold_tests = (fold_test(one, named[0], **how) for one in named[1:])
    unbeaten = (
        f"{item.challenger} does not measurably beat the {item.reference} baseline: the difference in {item.metric} is "
        f"{described(item.difference)}"
        for item in against_baselines
        if not shown_better(item)
    )
    return SelectionRecord(
        **step.stamp,
        metric=metric,
        rows=len(predictions[ranked[0].backbone]),
        leaderboard=ranked,
        comparisons=compare_with_best(ranked, predictions, **budget),
        baselines=tuple(sorted(entries, key=lambda one: (-one.test.value, one.name))),
        baseline_comparisons=against_baselines,
        fold_tests=tuple(test for test in fold_tests if test is not None),
        warnings=(*warnings, *unbeaten),
    )
