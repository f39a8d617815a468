from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from podium.errors import InputError
from podium.evaluation.answered import of_predictions
from podium.evaluation.bootstrap import (
    bootstrap_interval,
    difference_of,
    interval_of,
    paired_difference,
    resampled_scores,
)
from podium.evaluation.metrics import all_metrics, metric_of, score
from podium.evaluation.predictions import Predictions
from podium.tasks.metrics import share_of

ALL = [
    (name, metric)
    for name, metrics in (
        ("classified", ("accuracy", "macro_f1", "log_loss")),
        ("tagged", ("f1", "precision", "recall", "token_accuracy")),
    )
    for metric in metrics
]
ABOUT = {"name": "r1", "model": "m", "source": "s"}
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
    sums = metric_of(given, metric).sums(given)
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
    sums = metric_of(given, metric).sums(given)
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


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("rows", [5, 60])
def test_no_wrong_row_of_a_few_is_no_proof_of_a_perfect_model(classified, rows, right):
    """Every resample is the same, so that the percentile interval would be [1, 1]."""
    held = classified(rows=rows)
    answers = held.truth if right else (held.truth + 1) % len(held.labels)
    held = dataclasses.replace(held, predicted=answers, probabilities=None)
    exact = binomtest(rows if right else 0, rows).proportion_ci(0.95, method="exact")
    for metric in ("accuracy", "macro_f1"):
        found = bootstrap_interval(held, metric, **BUDGET)
        assert (found.value, found.method) == (float(right), "exact binomial")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


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


NER = ("f1", "precision", "recall", "token_accuracy")


def in_documents(given: Predictions, documents) -> Predictions:
    return dataclasses.replace(given, documents=tuple(map(str, documents)))


def copied(given: Predictions, times: int) -> Predictions:
    """Every sentence so many times; the copies of one are a document."""
    rows = [row for row in range(len(given)) for _ in range(times)]
    return in_documents(take(given, rows), rows)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), rows=st.integers(2, 80), metric=st.sampled_from(NER), names=st.randoms())
def test_documents_of_one_row_are_rows(tagged, seed, rows, metric, names):
    a, b = tagged(rows=rows, kept=0.9, seed=seed), tagged(rows=rows, kept=0.7, seed=seed + 1)
    order = names.sample(range(rows), rows)
    c, d = in_documents(a, order), in_documents(b, order)
    budget = {"confidence": 0.9, "resamples": 50, "seed": seed}
    one, other = bootstrap_interval(a, metric, **budget), bootstrap_interval(c, metric, **budget)
    assert (one.low, one.value, one.high) == (other.low, other.value, other.high)
    paired, in_pairs = paired_difference(a, b, metric, **budget), paired_difference(c, d, metric, **budget)
    assert (paired[0].low, paired[0].high, paired[1]) == (in_pairs[0].low, in_pairs[0].high, in_pairs[1])
    np.testing.assert_array_equal(resampled_scores(a, metric, 50, seed), resampled_scores(c, metric, 50, seed))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), times=st.integers(2, 6), metric=st.sampled_from(NER))
def test_copies_of_a_sentence_tell_nothing(tagged, seed, times, metric):
    """With copies the interval is that of the sentences themselves, and wider than that of as many rows."""
    given = tagged(rows=60, kept=0.8, seed=seed)
    budget = {"confidence": 0.9, "resamples": 1000, "seed": seed}
    own, by_document = (
        bootstrap_interval(given, metric, **budget),
        bootstrap_interval(copied(given, times), metric, **budget),
    )
    assert (by_document.low, by_document.high) == pytest.approx((own.low, own.high), abs=1e-12)
    by_row = bootstrap_interval(dataclasses.replace(copied(given, times), documents=None), metric, **budget)
    assert by_document.high - by_document.low > by_row.high - by_row.low


@pytest.mark.parametrize("metric", NER)
def test_documents_agree_with_a_plain_loop(tagged, metric):
    rows = tagged(rows=300, kept=0.8)
    documents = np.random.default_rng(4).integers(60, size=300)
    fast = bootstrap_interval(in_documents(rows, documents), metric, 0.9, 4000, seed=1)
    members = [np.flatnonzero(documents == name) for name in np.unique(documents)]
    sums, generator = metric_of(rows, metric).sums(rows), np.random.default_rng(2)
    loop = []
    for _ in range(4000):
        drawn = np.concatenate([members[one] for one in generator.integers(len(members), size=len(members))])
        loop.append(float(sums.statistic(sums.table[sums.group[drawn]].sum(axis=0))))
    low, high = np.quantile(loop, [0.05, 0.95])
    assert (fast.low, fast.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_method_says_what_was_resampled(tagged):
    rows = tagged(rows=30)
    one, two = in_documents(rows, [0] * 30), in_documents(rows, [0] * 15 + [1] * 15)
    assert bootstrap_interval(rows, "f1", **BUDGET).method == "percentile bootstrap"
    assert bootstrap_interval(two, "f1", **BUDGET).method == "percentile bootstrap of documents"
    assert paired_difference(two, two, "f1", **BUDGET)[0].method == "paired percentile bootstrap of documents"
    alone = bootstrap_interval(one, "f1", **BUDGET)
    assert alone.method == "percentile bootstrap of the rows of one document"
    assert (alone.low, alone.high) == (
        bootstrap_interval(rows, "f1", **BUDGET).low,
        bootstrap_interval(rows, "f1", **BUDGET).high,
    )


def test_documents_known_of_one_model_are_those_of_both(tagged):
    a, b = tagged(rows=60, seed=1), tagged(rows=60, kept=0.7, seed=2)
    names = np.repeat(np.arange(20), 3)
    both = paired_difference(in_documents(a, names), in_documents(b, names), "f1", **BUDGET)
    turned = b.aligned_to(tuple(reversed(b.ids)))
    assert paired_difference(in_documents(a, names), turned, "f1", **BUDGET) == both
    assert paired_difference(a, in_documents(b, names), "f1", **BUDGET) == both
    with pytest.raises(InputError, match="same documents"):
        paired_difference(in_documents(a, names), in_documents(b, names[::-1] // 2), "f1", **BUDGET)


@pytest.mark.parametrize("metric", NER)
def test_resampling_documents_is_fast(tagged, metric):
    given = in_documents(tagged(rows=3000), np.arange(3000) // 15)
    start = time.process_time()
    bootstrap_interval(given, metric, 0.95, 2000, seed=1)
    assert time.process_time() - start < 1.5


def test_a_share_of_few_rows_has_the_interval_of_these_rows():
    truth, predicted = np.zeros(100, dtype=int), np.zeros(100, dtype=int)
    truth[:4] = 1
    ids = tuple(map(str, range(100)))
    missed = Predictions("text-classification", ("no", "yes"), ids, truth, predicted)
    found = {one.name: interval_of(one.sums, None, **BUDGET) for one in of_predictions(missed, "yes", **ABOUT).metrics}
    assert (found["recall"].low, found["recall"].high) == pytest.approx((0, 1 - 0.025 ** (1 / 4)))
    assert (found["precision"].low, found["precision"].high) == (0, 1), "nothing was found, so nothing is known"
    right = Predictions("text-classification", ("no", "yes"), ids, truth, truth)
    found = {one.name: interval_of(one.sums, None, **BUDGET) for one in of_predictions(right, "yes", **ABOUT).metrics}
    assert (found["recall"].low, found["recall"].high) == pytest.approx((0.025 ** (1 / 4), 1))
    assert (found["accuracy"].low, found["accuracy"].high) == pytest.approx((0.025 ** (1 / 100), 1))


def test_intervals_of_many_different_rows_are_those_of_their_normal_approximation() -> None:
    """Above some number of groups rows are drawn one by one, which must not change what is estimated."""
    values = np.random.default_rng(3).exponential(size=6000)
    found = interval_of(share_of(values), None, 0.95, 400, 5)
    spread = 1.96 * values.std() / np.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((values.mean() - spread, values.mean() + spread), abs=0.15 * spread)
    assert interval_of(share_of(values), None, 0.95, 400, 5) == found
    shifted = share_of(values - 0.01 * np.random.default_rng(4).random(len(values)))
    difference, p_value = difference_of(share_of(values), shifted, None, 0.95, 400, 5)
    assert 0.0048 < difference.low < difference.value < difference.high < 0.0052 and p_value < 0.01
