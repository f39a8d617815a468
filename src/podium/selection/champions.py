"""The champion of each backbone: the best trial of its study, refitted and scored on held-out rows.

The best trial has the highest mean over all of its folds; ties go to the earlier one. It is never a trial that failed,
was stopped early, or was scored on fewer folds than others, so that no single lucky fold makes a champion. The spread
of the folds does not lower the mean: with a handful of folds the spread is mostly noise itself, and would reward luck
of another kind. It is reported, with the test against the runner-up.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from podium.errors import InputError
from podium.records import LeaderboardEntry, ModelRecord, StudyRecord
from podium.selection.fold_tests import against_runner_up


def leaderboard(
    studies: Sequence[StudyRecord],
    models: Sequence[ModelRecord],
    metric: str,
    min_trials: int,
    *,
    confidence: float = 0.95,
    data_fraction: float = 1.0,
) -> tuple[tuple[LeaderboardEntry, ...], tuple[str, ...]]:
    """The champions, best first, and warnings.

    A backbone whose study finished fewer than `min_trials` trials is left out with a warning, since its best trial says
    little about the backbone.

    Args:
        studies: one study per backbone.
        models: the refit of each study's best trial, in any order.
        metric: test metric that ranks, larger is better.
        min_trials: succeeded trials a study must have.
        confidence: of the test between the two best trials.
        data_fraction: share of its training rows that each fold was trained on.

    Raises:
        InputError: studies and models do not pair up, are not all for one task and its labels, or a model is not the
            refit of a trial that may be a champion, or lacks the metric or its weights.
    """
    _check_unique("study", (study.backbone for study in studies))
    _check_unique("model", (model.backbone for model in models))
    of_backbone = {model.backbone: model for model in models}
    if set(of_backbone) != {study.backbone for study in studies}:
        raise InputError(
            "every study must have the refit of its best trial and no other, but studies are of "
            f"{sorted(study.backbone for study in studies)} and models of {sorted(of_backbone)}"
        )
    _check_task(models)
    entries, warnings = [], []
    for study in studies:
        finished = _finished(study)
        if finished < min_trials:
            warnings.append(
                f"{study.backbone} finished {finished} of the {min_trials} trials that selection.min_trials asks for, "
                "so it is not a candidate; raise hpo.max_trials or lower selection.min_trials"
            )
        else:
            entry = champion(study, of_backbone[study.backbone], metric)
            test = against_runner_up(study, confidence=confidence, data_fraction=data_fraction)
            entries.append(entry.model_copy(update={"runner_up": test}))
    return rank(entries), tuple(sorted(warnings))


def champion(study: StudyRecord, model: ModelRecord, metric: str) -> LeaderboardEntry:
    """The leaderboard entry of the refit `model` of the best trial of `study`.

    Raises:
        InputError: the model is not the refit of the best trial, that trial did not finish on every fold, or the model
            lacks the metric or its weights.
    """
    if (model.backbone, model.trial) != (study.backbone, study.best):
        raise InputError(
            f"a champion must be the refit of the best trial ({study.backbone}, trial {study.best}), "
            f"but got {model.backbone}, trial {model.trial}"
        )
    _check_best(study)
    if metric not in model.metrics or "model" not in model.artifacts:
        raise InputError(
            f"the refit of {model.backbone} must have the metric {metric!r} and the artifact 'model', "
            f"but has {sorted(model.metrics)} and {sorted(model.artifacts)}"
        )
    folds = list(study.best_trial.fold_scores.values())
    artifact = model.artifacts["model"]
    return LeaderboardEntry(
        backbone=model.backbone,
        model_key=model.key,
        model_digest=artifact.digest,
        trial=model.trial,
        cv_score=model.cv_score,
        cv_std=statistics.stdev(folds) if len(folds) > 1 else 0.0,
        trials=_finished(study),
        test=model.metrics[metric],
        size_mb=artifact.size_bytes / 1e6,
        parameters=model.parameters,
    )


def rank(entries: Iterable[LeaderboardEntry]) -> tuple[LeaderboardEntry, ...]:
    """Entries by test score, best first; ties go to the smaller model, then by name of the backbone."""
    return tuple(sorted(entries, key=lambda entry: (-entry.test.value, entry.parameters, entry.backbone)))


def _check_best(study: StudyRecord) -> None:
    best = study.best_trial
    folds = max(len(trial.fold_scores) for trial in study.trials)
    if best.status != "succeeded" or len(best.fold_scores) < folds:
        raise InputError(
            f"a champion must have finished on all {folds} folds, but trial {best.number} of {study.backbone} "
            f"{best.status} with {len(best.fold_scores)}; run the search anew with run_mode=force_new"
        )


def _check_task(models: Sequence[ModelRecord]) -> None:
    kinds = {(model.task, frozenset(model.labels)) for model in models}
    if len(kinds) > 1:
        shown = "; ".join(f"{model.backbone}: {model.task} with {', '.join(model.labels)}" for model in models)
        raise InputError(f"all models must be for the same task and labels to be compared, but got {shown}")


def _finished(study: StudyRecord) -> int:
    return sum(trial.status == "succeeded" for trial in study.trials)


def _check_unique(what: str, names: Iterable[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise InputError(f"there must be one {what} per backbone, but {', '.join(repeated)} has several")
