from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from podium.errors import InputError
from podium.evaluation.answered import of_predictions, of_texts
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.evaluated import CONFIDENCE, RESAMPLES, SEED, Evaluation, evaluate
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions

ABOUT = {"model": "m", "source": "run r1"}


def take(one: Predictions, rows: list[int]) -> Predictions:
    ids = tuple(one.ids[row] for row in rows)
    given = None if one.probabilities is None else one.probabilities[rows]
    return Predictions(one.task, one.labels, ids, one.truth[rows], one.predicted[rows], given)


def test_figures_are_those_of_the_predictions(classified) -> None:
    one = classified()
    found = evaluate(of_predictions(one, name="r1", **ABOUT))
    values = {metric.name: metric.interval for metric in found.metrics}
    for name, value in all_metrics(one).items():
        assert values[name].value == value
        assert values[name] == bootstrap_interval(one, name, CONFIDENCE, RESAMPLES, SEED)
    assert found.run.right == int((one.truth == one.predicted).sum())
    assert found.details["labels"] == list(one.labels)
    sure = [example.probability for example in found.examples]
    assert sure == sorted(sure, reverse=True)
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_what_has_no_probabilities_says_so(classified) -> None:
    found = evaluate(of_predictions(classified(probabilities=False), name="r1", **ABOUT))
    assert found.calibration is None
    assert found.skipped["calibration"] == "the answers have no probabilities"


def test_two_models_are_compared_on_the_rows_that_both_have(classified) -> None:
    one, other = classified(accuracy=0.9, seed=1), classified(accuracy=0.6, seed=2)
    rows = [*range(250)]
    own, theirs = take(one, rows[:200]), take(other, rows[50:][::-1])
    found = evaluate(of_predictions(own, name="a", **ABOUT), of_predictions(theirs, name="b", **ABOUT)).against
    assert found is not None
    assert (found.rows, found.only_one, found.only_other) == (150, 50, 50)
    shared = take(one, rows[50:200]), take(other, rows[50:200])
    expected = paired_difference(*shared, "accuracy", CONFIDENCE, RESAMPLES, SEED)
    accuracy = next(metric for metric in found.metrics if metric.name == "accuracy")
    assert (accuracy.difference.value, accuracy.p_value) == (pytest.approx(expected[0].value), expected[1])
    assert accuracy.difference.low == pytest.approx(expected[0].low)
    assert accuracy.better
    loss = next(metric for metric in found.metrics if metric.name == "log_loss")
    assert loss.real == (loss.better is not None)
    right = [one_of.truth == one_of.predicted for one_of in shared]
    assert found.gained == int((right[0] & ~right[1]).sum())
    assert found.lost == int((right[1] & ~right[0]).sum())
    assert found.both_right + found.both_wrong + found.gained + found.lost == 150
    change = found.changes[0]
    assert (change.after == change.truth) == change.now_right


def test_sentences_of_documents_are_resampled_together(tagged) -> None:
    one, other = tagged(kept=0.9, seed=1), tagged(kept=0.7, seed=2)
    documents = tuple(str(row // 4) for row in range(len(one)))
    for a, b in ((replace(one, documents=documents), other), (one, replace(other, documents=documents))):
        found = evaluate(of_predictions(a, name="a", **ABOUT), of_predictions(b, name="b", **ABOUT)).against
        assert found is not None
        assert found.metrics[0].difference.method == "paired percentile bootstrap of documents"
        assert found.metrics[0].better


def test_what_cannot_be_compared_is_said(classified, tagged) -> None:
    one = of_predictions(classified(rows=20), name="a", **ABOUT)
    elsewhere = replace(one, name="b", ids=tuple(f"other:{row}" for row in one.ids))
    with pytest.raises(InputError, match=r"must have rows in common .*a \(0, ...\) and b \(other:0, ...\) have none"):
        evaluate(one, elsewhere)
    relabelled = replace(one, name="b", truth=["another label", *one.truth[1:]])
    with pytest.raises(InputError, match="same labels to be compared, but 1 of 20 differ"):
        evaluate(one, relabelled)
    with pytest.raises(InputError, match="must be of one task"):
        evaluate(one, of_predictions(tagged(rows=20), name="b", **ABOUT))


def test_texts_are_compared_too() -> None:
    truth = ["yes"] * 40
    a = of_texts([*map(str, range(40))], truth, ["yes"] * 35 + [None] * 5, name="a", **ABOUT)
    b = of_texts([*map(str, range(40))], truth, ["yes"] * 10 + ["yes, sure"] * 30, name="b", **ABOUT)
    found = evaluate(a, b)
    assert found.details == {"no_answer": 5}
    assert found.against is not None
    assert (found.against.gained, found.against.lost) == (25, 0)
    assert found.against.metrics[0].difference.value == pytest.approx(25 / 40)
    assert np.isclose(found.metrics[0].interval.value, 35 / 40)
