from __future__ import annotations

import time

import numpy as np
import pytest

from podium.errors import InputError
from podium.evaluation.additive import additive
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.metrics import all_metrics, score
from podium.evaluation.predictions import Predictions

ALL = [
    (name, metric)
    for name, metrics in (
        ("classified", ("accuracy", "macro_f1", "log_loss")),
        ("tagged", ("f1", "precision", "recall", "token_accuracy")),
    )
    for metric in metrics
]
BUDGET = {"confidence": 0.95, "resamples": 500, "seed": 3}


def take(given: Predictions, rows) -> Predictions:
    ner = given.task == "ner"
    return Predictions(
        given.task,
        given.labels,
        tuple(map(str, range(len(rows)))),
        [given.truth[row] for row in rows] if ner else given.truth[rows],
        [given.predicted[row] for row in rows] if ner else given.predicted[rows],
        None if given.probabilities is None else given.probabilities[rows],
    )


@pytest.mark.parametrize(("kind", "metric"), ALL)
def test_sums_give_what_the_libraries_give_on_any_resample(request, kind, metric):
    given = request.getfixturevalue(kind)(rows=60)
    sums = additive(given, metric)
    generator = np.random.default_rng(5)
    for _ in range(20):
        rows = generator.integers(60, size=60)
        found = sums.statistic(sums.table[sums.group[rows]].sum(axis=0))
        assert found == pytest.approx(score(take(given, rows), metric), abs=1e-9)


@pytest.mark.parametrize(("kind", "metric"), ALL)
def test_interval_agrees_with_a_plain_loop(request, kind, metric):
    given = request.getfixturevalue(kind)(rows=150)
    fast = bootstrap_interval(given, metric, 0.9, 4000, seed=1)
    generator = np.random.default_rng(2)
    sums = additive(given, metric)
    draws = generator.integers(150, size=(4000, 150))
    loop = [float(sums.statistic(sums.table[sums.group[rows]].sum(axis=0))) for rows in draws]
    low, high = np.quantile(loop, [0.05, 0.95])
    assert fast.value == score(given, metric)
    assert (fast.low, fast.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_equal_seeds_give_equal_bounds(classified):
    given = classified()
    assert bootstrap_interval(given, "macro_f1", **BUDGET) == bootstrap_interval(given, "macro_f1", **BUDGET)
    other = bootstrap_interval(given, "macro_f1", **{**BUDGET, "seed": 4})
    assert other != bootstrap_interval(given, "macro_f1", **BUDGET)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        right = generator.random(200) < 0.8
        truth = np.zeros(200, dtype=int)
        given = Predictions("text-classification", ("x", "y"), tuple(map(str, range(200))), truth, (~right).astype(int))
        interval = bootstrap_interval(given, "accuracy", 0.9, 400, seed=1)
        covered += interval.low <= 0.8 <= interval.high
    assert 0.84 < covered / 300 < 0.95


def test_a_clear_difference_is_seen_and_signed(classified):
    better, worse = classified(rows=1000, accuracy=0.9, seed=1), classified(rows=1000, accuracy=0.7, seed=2)
    interval, p_value = paired_difference(better, worse, "macro_f1", **BUDGET)
    assert interval.low > 0
    assert p_value == pytest.approx(2 / 501)
    assert interval.value == pytest.approx(score(better, "macro_f1") - score(worse, "macro_f1"))
    reverse, same = paired_difference(worse, better, "macro_f1", **BUDGET)
    assert reverse.high < 0
    assert same == p_value


@pytest.mark.parametrize(("kind", "metric"), ALL)
def test_a_model_does_not_differ_from_itself(request, kind, metric):
    given = request.getfixturevalue(kind)()
    interval, p_value = paired_difference(given, given, metric, **BUDGET)
    assert (interval.low, interval.value, interval.high) == (0, 0, 0)
    assert p_value == 1


def test_pairing_narrows_the_interval(classified):
    a = classified(rows=1000, accuracy=0.8)
    changed = a.predicted.copy()
    changed[:10] = a.truth[:10]
    b = Predictions(a.task, a.labels, a.ids, a.truth, changed)
    paired, _ = paired_difference(b, a, "accuracy", **BUDGET)
    alone = bootstrap_interval(a, "accuracy", **BUDGET)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_false_alarms_are_as_rare_as_declared():
    generator = np.random.default_rng(1)
    truth, ids = np.zeros(300, dtype=int), tuple(map(str, range(300)))
    alarms = 0
    for _ in range(300):
        a, b = (
            Predictions("text-classification", ("x", "y"), ids, truth, (generator.random(300) > 0.8).astype(int))
            for _ in range(2)
        )
        interval, _ = paired_difference(a, b, "accuracy", 0.9, 400, seed=1)
        alarms += interval.low > 0 or interval.high < 0
    assert alarms / 300 < 0.16


def test_rows_are_paired_by_id_whatever_their_order(classified, tagged):
    for build in (classified, tagged):
        a, b = build(seed=1), build(seed=2)
        shuffled = b.aligned_to(tuple(reversed(b.ids)))
        metric = next(iter(all_metrics(a)))
        assert paired_difference(a, shuffled, metric, **BUDGET) == paired_difference(a, b, metric, **BUDGET)


def test_labels_in_another_order_are_the_same_truth(classified):
    a = classified(probabilities=False)
    turned = Predictions(a.task, a.labels[::-1], a.ids, 2 - a.truth, 2 - a.predicted)
    interval, _ = paired_difference(a, turned, "macro_f1", **BUDGET)
    assert (interval.low, interval.high) == pytest.approx((0, 0), abs=1e-12)


def test_other_rows_truth_or_task_cannot_be_compared(classified, tagged):
    a = classified()
    with pytest.raises(InputError, match="same rows"):
        paired_difference(a, classified(rows=299), "accuracy", **BUDGET)
    with pytest.raises(InputError, match="same truth"):
        other = Predictions(a.task, a.labels, a.ids, (a.truth + 1) % 3, a.predicted)
        paired_difference(a, other, "accuracy", **BUDGET)
    with pytest.raises(InputError, match="one task"):
        paired_difference(a, tagged(rows=300), "accuracy", **BUDGET)


def test_unknown_metric_is_refused(classified):
    with pytest.raises(InputError, match="bleu"):
        bootstrap_interval(classified(), "bleu", **BUDGET)


@pytest.mark.parametrize(("kind", "metric"), ALL)
def test_two_thousand_resamples_are_fast(request, kind, metric):
    given = request.getfixturevalue(kind)(rows=3000)
    start = time.process_time()
    bootstrap_interval(given, metric, 0.95, 2000, seed=1)
    assert time.process_time() - start < 1.5
