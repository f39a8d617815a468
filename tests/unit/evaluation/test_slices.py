from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from podium.errors import InputError
from podium.evaluation.answered import Answered, of_predictions, of_texts
from podium.evaluation.predictions import Predictions
from podium.evaluation.slices import MISSING, OTHERS, Slicing, sliced, slicing

ABOUT = {"name": "r1", "model": "m", "source": "run r1"}


def found_in(one: Answered, column: str) -> Slicing:
    return slicing(one, column, 0.95, 300, 0)


def with_column(predictions: Predictions, values: list, positive: str = "") -> Answered:
    return replace(of_predictions(predictions, positive, **ABOUT), columns={"source": values})


def unfair(rows: int = 400, worse: float = 0.5) -> tuple[Predictions, list[str]]:
    """A model that is right in nine of ten rows from the web, and in a share of `worse` of those in print."""
    draw = np.random.default_rng(0)
    source = draw.choice(["print", "web"], rows)
    truth = draw.integers(2, size=rows)
    wrong = draw.random(rows) > np.where(source == "web", 0.9, worse)
    ids = tuple(map(str, range(rows)))
    return Predictions("text-classification", ("no", "yes"), ids, truth, truth ^ wrong), source.tolist()


def test_scores_and_disparities_are_those_of_the_libraries() -> None:
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    predictions, source = unfair()
    found = found_in(with_column(predictions, source), "source")
    names = np.array(source)
    by_hand = {
        one: f1_score(predictions.truth[names == one], predictions.predicted[names == one], average="macro")
        for one in ("print", "web")
    }
    assert {one.value: one.scores["macro_f1"].value for one in found.slices} == pytest.approx(by_hand)
    assert sum(one.rows for one in found.slices) == 400
    worst = next(one for one in found.disparities if one.metric == "macro_f1")
    assert (worst.lowest, worst.highest) == ("print", "web")
    assert worst.difference == pytest.approx(by_hand["web"] - by_hand["print"])
    assert worst.ratio == pytest.approx(by_hand["print"] / by_hand["web"])
    assert worst.p_value == pytest.approx(1 / 1001)
    yes = found.parity[1]
    options = {"sensitive_features": names}
    truth, given = predictions.truth == 1, predictions.predicted == 1
    assert yes.demographic_parity == pytest.approx(demographic_parity_difference(truth, given, **options))
    assert yes.equalised_odds == pytest.approx(equalized_odds_difference(truth, given, **options))


def test_equal_slices_differ_by_chance_alone() -> None:
    values = []
    predictions, _ = unfair(worse=0.9)
    for seed in range(8):
        chance = np.random.default_rng(seed).choice(["a", "b", "c"], len(predictions)).tolist()
        found = found_in(with_column(predictions, chance), "source")
        values.append(next(one.p_value for one in found.disparities if one.metric == "accuracy"))
    assert 0.2 < np.mean(values) < 0.8
    assert min(values) > 0.01


def test_small_slices_are_marked_and_take_no_part() -> None:
    predictions, source = unfair()
    found = found_in(with_column(predictions, ["radio"] * 5 + source[5:]), "source")
    assert [(one.value, one.small) for one in found.slices][-1] == ("radio", True)
    assert "radio" not in {name for one in found.disparities for name in (one.lowest, one.highest)}
    assert found.notes[0].startswith("1 of 3 slices have fewer than 30 rows")
    alone = found_in(with_column(predictions, ["radio"] * 5 + ["web"] * 395), "source")
    assert alone.disparities == alone.parity == ()
    assert alone.notes[-1] == "there are no disparities: fewer than two slices have 30 rows"


def test_a_positive_label_and_a_slice_without_it() -> None:
    predictions, source = unfair()
    found = found_in(with_column(predictions, source, "yes"), "source")
    assert [one.label for one in found.parity] == ["yes"]
    of_label = np.where(predictions.truth == 1, "has it", "has it not").tolist()
    assert found_in(with_column(predictions, of_label, "yes"), "source").parity[0].equalised_odds is None


def test_parity_of_rows_with_several_labels_is_that_of_each_label() -> None:
    truth = np.tile([[1, 1], [1, 0]], (30, 1))
    given = np.where(np.arange(60)[:, None] < 30, truth, [[0, 1]])
    predictions = Predictions("multi-label", ("a", "b"), tuple(map(str, range(60))), truth, given)
    found = found_in(with_column(predictions, ["x"] * 30 + ["y"] * 30), "source").parity
    assert [(one.label, one.demographic_parity) for one in found] == [("a", 1.0), ("b", 0.5)]
    assert [one.equalised_odds for one in found] == [None, 1.0], "every row has the label a"


def test_documents_texts_and_sentences(tagged) -> None:
    one = tagged(rows=90)
    documents = tuple(str(row // 3) for row in range(90))
    sentences = replace(one, documents=documents)
    halves = ["a"] * 45 + ["b"] * 45
    found = found_in(with_column(sentences, halves), "source")
    assert {one.p_value for one in found.disparities} == {None}
    assert found.parity == ()
    assert found.slices[0].scores["f1"].method == "percentile bootstrap of documents"
    texts = replace(of_texts(one.ids, ["yes"] * 90, ["yes"] * 80 + ["no"] * 10, **ABOUT), columns={"half": halves})
    found = found_in(texts, "half")
    assert found.disparities[0].metric == "exact_match"
    assert found.disparities[0].difference == pytest.approx(10 / 45)


def test_numbers_are_cut_into_quarters_and_rare_values_put_together() -> None:
    names, order, notes = sliced([*map(str, range(100)), None])
    assert order == ["0 to below 25", "25 to below 50", "50 to below 75", "75 to 99", MISSING]
    assert notes == ["its 100 different numbers are cut at the quartiles of the rows"]
    assert [int((names == one).sum()) for one in order] == [25, 25, 25, 25, 1]
    assert sliced([3, 1, 2.0, 1, None])[1] == ["1", "2", "3", MISSING]
    assert sliced([2.5, 1.0])[1] == ["1", "2.5"]
    assert sliced([True, False, True])[1] == ["true", "false"]
    names, order, notes = sliced([f"v{number}" for number in range(50)] + ["v1"])
    assert (len(order), order[0], order[-1]) == (20, "v1", OTHERS)
    assert int((names == OTHERS).sum()) == 31
    assert "50 different values" in notes[0]
    assert sliced([["a", "b"], [], ["a", "b"]])[1] == ["a, b", "(none)"]
    skewed, order, _ = sliced([0] * 90 + list(range(1, 20)))
    assert set(skewed) == set(order)


def test_an_unknown_column_is_named() -> None:
    predictions, source = unfair(50)
    with pytest.raises(InputError, match="but got 'sauce'; did you mean \"source\"\\?; its columns: source"):
        found_in(with_column(predictions, source), "sauce")
