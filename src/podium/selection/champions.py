"""The champion of each entrant: the best trial of its study, refitted and scored on held-out rows.

The best trial has the highest mean over all of its folds; ties go to the earlier one. It is never a trial that failed,
was stopped early, or was scored on fewer folds than others, so that no single lucky fold makes a champion. The spread
of the folds does not lower the mean: with a handful of folds the spread is mostly noise itself, and would reward luck
of another kind. It is reported, with the test against the runner-up: what the folds said before the test rows were
looked at.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from podium.errors import InputError
from podium.hpo.study import ranked
from podium.records import FoldTest, Interval, LeaderboardEntry, ModelRecord, StudyRecord

METHOD = "corrected resampled t"
_NO_SPREAD = 1e-12


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

    An entrant whose study finished fewer than `min_trials` trials is left out with a warning, since its best trial says
    little about the entrant. The notes of a refit are warnings, too. Champions are ranked by test score; ties go to the
    smaller model, then by name.

    Args:
        models: the refit of each study's best trial, in any order.
        metric: test metric that ranks, larger is better.
        min_trials: succeeded trials a study must have.
        data_fraction: share of its training rows that each fold was trained on.

    Raises:
        InputError: studies and models do not pair up, are not all for one task and its labels, or a model is not the
            refit of a trial that may be a champion.
    """
    of_entrant = {model.entrant: model for model in models}
    if sorted(model.entrant for model in models) != sorted(study.entrant for study in studies):
        raise InputError(
            "every study must have the refit of its best trial and no other, but studies are of "
            f"{sorted(study.entrant for study in studies)} and models of {sorted(model.entrant for model in models)}"
        )
    if len({(model.task, frozenset(model.labels)) for model in models}) > 1:
        shown = "; ".join(f"{model.entrant}: {model.task} with {', '.join(model.labels)}" for model in models)
        raise InputError(f"all models must be for the same task and labels to be compared, but got {shown}")
    entries, warnings = [], []
    for study in studies:
        finished = sum(trial.status == "succeeded" for trial in study.trials)
        if finished < min_trials:
            warnings.append(
                f"{study.entrant} finished {finished} of the {min_trials} trials that selection.min_trials asks for, "
                "so it is not a candidate; raise hpo.max_trials or lower selection.min_trials"
            )
        else:
            test = against_runner_up(study, confidence=confidence, data_fraction=data_fraction)
            entries.append(_champion(study, of_entrant[study.entrant], metric, finished, test))
    warnings += [
        f"{model.entrant}: {note}" for model in models for note in model.details.get("training", {}).get("notes", ())
    ]
    return rank(entries), tuple(sorted(warnings))


def _champion(
    study: StudyRecord, model: ModelRecord, metric: str, finished: int, test: FoldTest | None
) -> LeaderboardEntry:
    """The entry of the refit of the best trial of a study."""
    best, folds = study.best_trial, max(len(trial.fold_scores) for trial in study.trials)
    if (model.entrant, model.trial) != (study.entrant, study.best):
        raise InputError(
            f"a champion must be the refit of the best trial ({study.entrant}, trial {study.best}), "
            f"but got {model.entrant}, trial {model.trial}"
        )
    if best.status != "succeeded" or len(best.fold_scores) < folds:
        raise InputError(
            f"a champion must have finished on all {folds} folds, but trial {best.number} of {study.entrant} "
            f"{best.status} with {len(best.fold_scores)}; run the search anew with run_mode=force_new"
        )
    artifact = model.artifacts["model"]
    return LeaderboardEntry(
        entrant=model.entrant,
        model_key=model.key,
        model_digest=artifact.digest,
        trial=model.trial,
        cv_score=model.cv_score,
        cv_std=statistics.stdev(best.fold_scores.values()) if folds > 1 else 0.0,
        trials=finished,
        test=model.metrics[metric],
        size_mb=artifact.size_bytes / 1e6,
        parameters=model.parameters,
        runner_up=test,
    )


def rank(entries: Iterable[LeaderboardEntry]) -> tuple[LeaderboardEntry, ...]:
    """Entries by test score, best first; ties go to the smaller model, then by name of the entrant."""
    return tuple(sorted(entries, key=lambda entry: (-entry.test.value, entry.parameters, entry.entrant)))


def fold_test(
    challenger: tuple[str, Mapping[str, float]],
    reference: tuple[str, Mapping[str, float]],
    *,
    confidence: float,
    data_fraction: float,
) -> FoldTest | None:
    """Challenger minus reference on the same folds; None where there are fewer than two folds, or no spread.

    Fold scores are not independent, since trainings share most of their rows, so a plain paired t-test finds
    differences too often. The corrected resampled t-test (Nadeau and Bengio, "Inference for the Generalization Error",
    Machine Learning 52, 2003, section 3) widens the variance of the mean difference over k folds from s^2/k to

        (1/k + n_test/n_train) * s^2,        with k - 1 degrees of freedom,

    s^2 being the variance of the k differences. It was derived for random splits; for the folds of a cross-validation
    it is a heuristic that is known to keep its level (Bouckaert and Frank, 2004).

    Args:
        challenger: its name, and its scores by fold; as is `reference`.
        data_fraction: share of its training rows that each fold was trained on.
    """
    from scipy.special import stdtr, stdtrit

    scores, others = challenger[1], reference[1]
    folds = len(scores)
    if scores.keys() != others.keys() or folds < 2:
        return None
    differences = np.array([scores[fold] - others[fold] for fold in sorted(scores)])
    spread = float(differences.std(ddof=1))
    if spread < _NO_SPREAD:
        return None
    mean = float(differences.mean())
    error = spread * math.sqrt(1 / folds + 1 / ((folds - 1) * data_fraction))
    reach = error * float(stdtrit(folds - 1, (1 + confidence) / 2))
    return FoldTest(
        reference=reference[0],
        challenger=challenger[0],
        folds=folds,
        difference=Interval(
            value=mean, low=mean - reach, high=mean + reach, confidence=confidence, method=f"{METHOD} on {folds} folds"
        ),
        p_value=2 * float(stdtr(folds - 1, -abs(mean) / error)),
    )


def against_runner_up(study: StudyRecord, *, confidence: float, data_fraction: float) -> FoldTest | None:
    """The best trial of a study against the second best of those that succeeded; ties go to the earlier trial."""
    others = [trial for trial in ranked(study.trials, study.direction) if trial.number != study.best]
    if not others:
        return None
    second = others[0]
    return fold_test(
        (f"trial {study.best}", study.best_trial.fold_scores),
        (f"trial {second.number}", second.fold_scores),
        confidence=confidence,
        data_fraction=data_fraction,
    )
