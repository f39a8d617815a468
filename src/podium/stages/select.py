"""Step `select`: the champion of each backbone, ranked and compared, with the baselines beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from podium.errors import StudyFailed
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.predictions import Predictions
from podium.records import (
    BaselineEntry,
    BaselineRecord,
    Comparison,
    FoldTest,
    Interval,
    LeaderboardEntry,
    ModelRecord,
    SelectionRecord,
    StudyRecord,
)
from podium.selection.champions import leaderboard
from podium.selection.comparison import compare, compare_with_best, described, shown_better
from podium.selection.fold_tests import fold_test
from podium.stages.step import StepInputs, StepRun


class Budget(TypedDict):
    """How two models are compared in a run."""

    metric: str
    confidence: float
    resamples: int
    seed: int


def comparison_budget(step: StepRun) -> Budget:
    """How two models are compared in this run."""
    config = step.config
    part = config.selection
    return Budget(metric=config.hpo.metric, confidence=part.confidence, resamples=part.resamples, seed=config.seed)


def compute(step: StepRun, inputs: StepInputs) -> SelectionRecord:
    """Rank the champions, compare each with the best and with every baseline, all on the same held-out rows.

    Raises:
        StudyFailed: no study has enough trials.
        InputError: studies and models do not pair up, or models and baselines are not for the same rows and labels.
    """
    baseline, studies, models = inputs.one(BaselineRecord), inputs.all(StudyRecord), inputs.all(ModelRecord)
    config = step.config.selection
    budget = comparison_budget(step)
    metric, fraction = budget["metric"], step.config.hpo.data_fraction
    ranked, warnings = leaderboard(
        studies, models, metric, config.min_trials, confidence=config.confidence, data_fraction=fraction
    )
    if not ranked:
        raise StudyFailed(f"no backbone can be a champion: {'; '.join(warnings)}")
    predictions = {
        model.backbone: Predictions.load(step.store.fetch(model.artifacts["predictions"])) for model in models
    }
    ranked = tuple(
        entry.model_copy(update={"test": _interval(predictions[entry.backbone], budget)}) for entry in ranked
    )
    baselines = {
        one.name: Predictions.load(step.store.fetch(baseline.artifacts[one.name])) for one in baseline.baselines
    }
    against_baselines = _against_baselines(ranked, predictions, baselines, budget)
    shown = {item.name: _interval(baselines[item.name], budget) for item in baseline.baselines}
    seconds = {item.name: item.seconds for item in baseline.baselines}
    scores = {**{entry.backbone: entry.test for entry in ranked}, **{f"baseline.{n}": one for n, one in shown.items()}}
    step.tracker.log_metrics(
        step.mlflow_run_id, {f"{name}.test_{metric}": interval.value for name, interval in scores.items()}
    )
    return SelectionRecord(
        **step.stamp,
        metric=metric,
        rows=len(predictions[ranked[0].backbone]),
        leaderboard=ranked,
        comparisons=compare_with_best(ranked, predictions, **budget),
        baselines=tuple(
            BaselineEntry(name=name, test=shown[name], seconds=seconds[name])
            for name in sorted(shown, key=lambda name: (-shown[name].value, name))
        ),
        baseline_comparisons=against_baselines,
        fold_tests=_fold_tests(ranked, studies, config.confidence, fraction),
        warnings=(*warnings, *_unbeaten(against_baselines)),
    )


def _interval(predictions: Predictions, budget: Budget) -> Interval:
    """The test score with the interval that the selection is configured for."""
    return bootstrap_interval(predictions, budget["metric"], budget["confidence"], budget["resamples"], budget["seed"])


def _against_baselines(
    ranked: Sequence[LeaderboardEntry],
    predictions: Mapping[str, Predictions],
    baselines: Mapping[str, Predictions],
    budget: Budget,
) -> tuple[Comparison, ...]:
    """Every champion against every baseline."""
    return tuple(
        compare((entry.backbone, predictions[entry.backbone]), (name, baselines[name]), **budget)
        for entry in ranked
        for name in sorted(baselines)
    )


def _fold_tests(
    ranked: Sequence[LeaderboardEntry], studies: Sequence[StudyRecord], confidence: float, fraction: float
) -> tuple[FoldTest, ...]:
    """Every champion but the best against the best, on the folds that chose them."""
    folds = {study.backbone: study.best_trial.fold_scores for study in studies}
    named = [(entry.backbone, folds[entry.backbone]) for entry in ranked]
    tests = (fold_test(one, named[0], confidence=confidence, data_fraction=fraction) for one in named[1:])
    return tuple(test for test in tests if test is not None)


def _unbeaten(comparisons: Sequence[Comparison]) -> list[str]:
    return [
        f"{item.challenger} does not measurably beat the {item.reference} baseline: the difference in {item.metric} is "
        f"{described(item.difference)}"
        for item in comparisons
        if not shown_better(item)
    ]
