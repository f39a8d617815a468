from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from podium.selection.champions import against_runner_up, fold_test


def scores(*values: float) -> dict[str, float]:
    return {str(fold): value for fold, value in enumerate(values)}


def test_against_the_formula_by_hand():
    """Differences 0.01, 0.02, 0.03 on three folds: mean 0.02, s = 0.01, n_test/n_train = 1/2."""
    found = fold_test(
        ("a", scores(0.81, 0.82, 0.83)), ("b", scores(0.80, 0.80, 0.80)), confidence=0.95, data_fraction=1.0
    )
    error = 0.01 * np.sqrt(1 / 3 + 1 / 2)
    assert found.difference.value == pytest.approx(0.02)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.02 / error, 2))
    assert found.difference.high == pytest.approx(0.02 + error * stats.t.ppf(0.975, 2))
    assert (found.challenger, found.reference, found.folds) == ("a", "b", 3)


def test_interval_and_p_value_agree():
    generator = np.random.default_rng(0)
    for _ in range(200):
        a, b = (scores(*generator.normal(0.8, 0.02, 5)) for _ in range(2))
        found = fold_test(("a", a), ("b", b), confidence=0.9, data_fraction=0.5)
        assert (found.p_value < 0.1) == (not found.difference.low <= 0 <= found.difference.high)


def test_trainings_on_fewer_rows_share_fewer_and_count_for_less():
    a, b = scores(0.81, 0.82, 0.83), scores(0.8, 0.8, 0.8)
    whole, tenth = (fold_test(("a", a), ("b", b), confidence=0.95, data_fraction=part) for part in (1.0, 0.1))
    assert tenth.p_value > whole.p_value


def test_it_keeps_its_level_where_the_plain_t_test_does_not():
    """Correlated differences with mean zero, as trainings on overlapping rows give: correlation 1/k of k folds."""
    generator, folds, runs = np.random.default_rng(1), 5, 2000
    correlation = 1 / folds
    shared = generator.normal(size=(runs, 1)) * np.sqrt(correlation)
    differences = 0.01 * (shared + generator.normal(size=(runs, folds)) * np.sqrt(1 - correlation))
    zeros = scores(*[0.0] * folds)
    corrected = [
        fold_test(("a", scores(*row)), ("b", zeros), confidence=0.95, data_fraction=1.0).p_value for row in differences
    ]
    plain = stats.ttest_1samp(differences, 0, axis=1).pvalue
    assert np.mean(np.array(corrected) < 0.05) < 0.065
    assert np.mean(plain < 0.05) > 0.1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (scores(0.9), scores(0.8)),
        (scores(0.9, 0.8), scores(0.9, 0.8)),
        (scores(0.9, 0.8), scores(0.8, 0.7)),
        (scores(0.9, 0.8), scores(0.8, 0.7, 0.6)),
        ({}, {}),
    ],
    ids=["one fold", "equal", "the same difference everywhere", "other folds", "no folds"],
)
def test_nothing_is_said_where_folds_do_not_tell(a, b):
    assert fold_test(("a", a), ("b", b), confidence=0.95, data_fraction=1.0) is None


def test_the_runner_up_is_the_second_best_that_succeeded(study):
    given = study(scores=(0.7, 0.9, 0.8), best=1)
    pruned = given.trials[2].model_copy(update={"status": "pruned"})
    uneven = given.trials[0].model_copy(update={"fold_scores": {"0": 0.65, "1": 0.75}})
    found = against_runner_up(given.model_copy(update={"trials": (uneven, given.trials[1], pruned)}), **LEVEL)
    assert found.reference == "trial 0"
    assert against_runner_up(study(scores=(0.9, None), best=0), **LEVEL) is None


def test_a_runner_up_may_have_a_score_of_zero(study):
    given = study(scores=(0.9, -0.2, 0.0), best=0)
    uneven = given.trials[2].model_copy(update={"fold_scores": {"0": -0.1, "1": 0.1}})
    found = against_runner_up(given.model_copy(update={"trials": (*given.trials[:2], uneven)}), **LEVEL)
    assert found.reference == "trial 2"


LEVEL = {"confidence": 0.95, "data_fraction": 1.0}
