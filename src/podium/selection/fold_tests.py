"""The view before the test rows are looked at: do the scores of their folds show that two trials differ?

Fold scores are not independent, since trainings share most of their rows, so a plain paired t-test finds differences
too often. The corrected resampled t-test (Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning
52, 2003, section 3) widens the variance of the mean difference over k folds from s^2/k to

    (1/k + n_test/n_train) * s^2,        with k - 1 degrees of freedom,

s^2 being the variance of the k differences. It was derived for random splits; for the folds of a cross-validation it
is a heuristic that is known to keep its level (Bouckaert and Frank, 2004).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from podium.records import FoldTest, Interval, StudyRecord

METHOD = "corrected resampled t"
_NO_SPREAD = 1e-12


def fold_test(
    challenger: tuple[str, Mapping[str, float]],
    reference: tuple[str, Mapping[str, float]],
    *,
    confidence: float,
    data_fraction: float,
) -> FoldTest | None:
    """Challenger minus reference on the same folds; None where there are fewer than two folds, or no spread.

    Args:
        challenger: its name, and its scores by fold; as is `reference`.
        confidence: coverage of the interval.
        data_fraction: share of its training rows that each fold was trained on.
    """
    from scipy.stats import t as student

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
    reach = error * float(student.ppf((1 + confidence) / 2, folds - 1))
    return FoldTest(
        reference=reference[0],
        challenger=challenger[0],
        folds=folds,
        difference=Interval(
            value=mean, low=mean - reach, high=mean + reach, confidence=confidence, method=f"{METHOD} on {folds} folds"
        ),
        p_value=2 * float(student.sf(abs(mean) / error, folds - 1)),
    )


def against_runner_up(study: StudyRecord, *, confidence: float, data_fraction: float) -> FoldTest | None:
    """The best trial of a study against the second best of those that succeeded; ties go to the earlier trial."""
    others = [trial for trial in study.trials if trial.status == "succeeded" and trial.number != study.best]
    if not others:
        return None
    second = max(others, key=lambda trial: (trial.score or -math.inf, -trial.number))
    return fold_test(
        (f"trial {study.best}", study.best_trial.fold_scores),
        (f"trial {second.number}", second.fold_scores),
        confidence=confidence,
        data_fraction=data_fraction,
    )
