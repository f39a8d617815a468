"""Step `select`: the champions ranked and compared, with each other and with the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from podium import records
from podium.errors import StudyFailed
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.predictions import Predictions
from podium.selection.champions import fold_test, leaderboard
from podium.selection.comparison import (
    Budget,
    baseline_named,
    compare,
    compare_with_best,
    compare_with_guessing,
    described,
    shown_better,
)
from podium.stages.labels import review_labels
from podium.stages.step import StepRun, all_failed
from podium.stages.train import MAJORITY


def comparison_budget(step: StepRun) -> Budget:
    """How two models are compared in this run."""
    config, part = step.config, step.config.selection
    return Budget(metric=config.hpo.metric, confidence=part.confidence, resamples=part.resamples, seed=config.seed)


def compute(step: StepRun) -> records.SelectionRecord:
    """Rank the champions, compare each with the best and with every baseline, all on the same held-out rows.

    An entrant that failed is no candidate, and nothing of the result depends on it.

    Raises:
        InputError, StepFailed: every entrant failed.
        StudyFailed: no study has enough trials.
        InputError: studies and models do not pair up, or models and baselines are not for the same rows and labels.
    """
    baseline, models, failed = step.one(records.BaselineRecord), step.all(records.ModelRecord), step.failed
    if not models:
        raise all_failed(failed)
    gone = {one.entrant for one in failed}
    studies = [study for study in step.all(records.StudyRecord) if study.entrant not in gone]
    config, budget, metric = step.config.selection, comparison_budget(step), step.config.hpo.metric
    how = {"confidence": config.confidence, "data_fraction": step.config.hpo.data_fraction}
    ranked, warnings = leaderboard(studies, models, metric, config.min_trials, **how)
    if not ranked:
        raise StudyFailed(f"no entrant can be a champion: {'; '.join(warnings)}")
    predictions = {
        model.entrant: Predictions.load(step.store.fetch(model.artifacts["predictions"])) for model in models
    }
    baselines = {
        one.name: Predictions.load(step.store.fetch(baseline.artifacts[one.name])) for one in baseline.baselines
    }
    tests = {name: bootstrap_interval(held, **budget) for name, held in predictions.items()}
    ranked = tuple(entry.model_copy(update={"test": tests[entry.entrant]}) for entry in ranked)
    beside_baselines = tuple(
        chain.from_iterable(
            against_baselines((entry.entrant, predictions[entry.entrant]), baselines, budget) for entry in ranked
        )
    )
    entries = [
        records.BaselineEntry(
            name=one.name, test=bootstrap_interval(baselines[one.name], **budget), seconds=one.seconds
        )
        for one in baseline.baselines
    ]
    scores = {entry.entrant: entry.test for entry in ranked} | {f"baseline.{one.name}": one.test for one in entries}
    step.tracker.log_metrics(
        step.mlflow_run_id, {f"{name}.test_{metric}": interval.value for name, interval in scores.items()}
    )
    folds = {study.entrant: study.best_trial.fold_scores for study in studies}
    named = [(entry.entrant, folds[entry.entrant]) for entry in ranked]
    fold_tests = (fold_test(one, named[0], **how) for one in named[1:])
    unbeaten = (
        f"{item.challenger} does not measurably beat {baseline_named(item.reference)}: the difference in {item.metric} "
        f"is {described(item.difference)}"
        for item in beside_baselines
        if not shown_better(item)
    )
    majority = max((one.test.value for one in entries if one.name == MAJORITY), default=-1.0)
    futile = (
        f"The search of {study.entrant} found nothing better than the majority baseline: {metric} "
        f"{study.best_score:.3f} in cross-validation, {majority:.3f} by the baseline on the test rows. Its best trial "
        "is an arbitrary one; train for longer (--time-limit, hpo.epochs, hpo.data_fraction) or widen its search space"
        for study in studies
        if study.best_score <= majority
    )
    review, artifacts = review_labels(step, [study for study in studies if study.entrant in dict(named)])
    return records.SelectionRecord(
        **step.stamp,
        metric=metric,
        rows=len(predictions[ranked[0].entrant]),
        leaderboard=ranked,
        comparisons=compare_with_best(ranked, predictions, **budget),
        baselines=tuple(sorted(entries, key=lambda one: (-one.test.value, one.name))),
        baseline_comparisons=beside_baselines,
        fold_tests=tuple(test for test in fold_tests if test is not None),
        warnings=(*warnings, *futile, *unbeaten),
        labels=review,
        artifacts=artifacts,
    )


def against_baselines(
    own: tuple[str, Predictions], baselines: Mapping[str, Predictions], budget: Budget
) -> tuple[records.Comparison, ...]:
    """A model, given as its name and its predictions, against every baseline and against guessing."""
    guessed = compare_with_guessing(*own, **budget)
    found = [compare(own, (name, baselines[name]), **budget) for name in sorted(baselines)]
    return (*found, *([guessed] if guessed else []))
