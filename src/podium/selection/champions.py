"""The champion of each backbone: the best trial of its study, refitted and scored on held-out rows."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from podium.errors import InputError
from podium.records import LeaderboardEntry, ModelRecord, StudyRecord


def leaderboard(
    studies: Sequence[StudyRecord], models: Sequence[ModelRecord], metric: str, min_trials: int
) -> tuple[tuple[LeaderboardEntry, ...], tuple[str, ...]]:
    """The champions, best first, and warnings.

    A backbone whose study finished fewer than `min_trials` trials is left out with a warning, since its best trial says
    little about what it can do.

    Args:
        studies: one study per backbone.
        models: the refit of each study's best trial, in any order.
        metric: test metric that ranks, larger is better.
        min_trials: succeeded trials a study must have.

    Raises:
        InputError: studies and models do not pair up, or a model lacks the metric or its weights.
    """
    _check_unique("study", (study.backbone for study in studies))
    _check_unique("model", (model.backbone for model in models))
    of_backbone = {model.backbone: model for model in models}
    if set(of_backbone) != {study.backbone for study in studies}:
        raise InputError(
            "every study must have the refit of its best trial and no other, but studies are of "
            f"{sorted(study.backbone for study in studies)} and models of {sorted(of_backbone)}"
        )
    entries, warnings = [], []
    for study in studies:
        finished = _finished(study)
        if finished < min_trials:
            warnings.append(
                f"{study.backbone} finished {finished} of the {min_trials} trials that selection.min_trials asks for, "
                "so it is not a candidate; raise hpo.max_trials or lower selection.min_trials"
            )
        else:
            entries.append(champion(study, of_backbone[study.backbone], metric))
    return rank(entries), tuple(sorted(warnings))


def champion(study: StudyRecord, model: ModelRecord, metric: str) -> LeaderboardEntry:
    """The leaderboard entry of the refit `model` of the best trial of `study`.

    Raises:
        InputError: the model is not the refit of the best trial, or lacks the metric or its weights.
    """
    if (model.backbone, model.trial) != (study.backbone, study.best):
        raise InputError(
            f"a champion must be the refit of the best trial ({study.backbone}, trial {study.best}), "
            f"but got {model.backbone}, trial {model.trial}"
        )
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


def _finished(study: StudyRecord) -> int:
    return sum(trial.status == "succeeded" for trial in study.trials)


def _check_unique(what: str, names: Iterable[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise InputError(f"there must be one {what} per backbone, but {', '.join(repeated)} has several")
