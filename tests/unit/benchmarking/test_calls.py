from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.benchmarking.calls import deal, sample_rows
from podium.errors import InputError
from podium.inference.predictor import row_length as length

texts = st.lists(st.integers(0, 300).map(lambda n: "x" * n), min_size=1, max_size=200)


def corpus(count: int = 5000) -> list[str]:
    lengths = np.random.default_rng(5).lognormal(5, 1, count).astype(int) + 1
    return ["a" * int(size) for size in lengths]


def test_the_sample_mirrors_the_length_distribution() -> None:
    rows = corpus()
    truth = np.quantile([len(row) for row in rows], [0.1, 0.5, 0.9])
    for seed in range(20):
        drawn = np.quantile([len(row) for row in sample_rows(rows, 300, seed)], [0.1, 0.5, 0.9])
        assert drawn == pytest.approx(truth, rel=0.05)


def test_the_sample_is_in_random_order() -> None:
    lengths = [len(row) for row in sample_rows(corpus(), 300, 1)]
    assert abs(np.corrcoef(range(300), lengths)[0, 1]) < 0.2


@given(texts, st.integers(1, 300), st.integers(0, 5))
def test_any_count_comes_from_the_rows_and_is_repeatable(rows: list[str], count: int, seed: int) -> None:
    drawn = sample_rows(rows, count, seed)
    assert len(drawn) == count
    assert set(drawn) <= set(rows)
    assert drawn == sample_rows(rows, count, seed)


def test_no_row_is_drawn_more_often_than_needed() -> None:
    rows = [str(number) for number in range(100)]
    assert len(set(sample_rows(rows, 100, 0))) == 100
    assert len(set(sample_rows(rows, 60, 0))) == 60
    assert {rows.count(row) for row in rows} == {1}
    drawn = sample_rows(rows, 250, 0)
    assert {drawn.count(row) for row in rows} == {2, 3}


def test_tokens_are_rows_too() -> None:
    rows = [["EU", "rejects"], ["Peter"], ["a", "b", "c"]]
    drawn = sample_rows(rows, 3, 0)
    assert sorted(drawn) == sorted(rows)
    assert length(["EU", "rejects"]) == len("EU rejects ")


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(InputError, match="at least one row"):
        sample_rows([], 10, 0)


def test_hands_share_the_rows_and_have_nearly_equal_lengths() -> None:
    rows = sample_rows(corpus(), 300, 2)
    hands = deal(rows, 3, 100)
    assert sorted(row for hand in hands for row in hand) == sorted(rows)
    medians = [np.median([len(row) for row in hand]) for hand in hands]
    assert max(medians) / min(medians) < 1.05


@given(texts, st.integers(1, 5), st.integers(1, 40))
def test_every_hand_is_full_even_from_few_rows(rows: list[str], hands: int, count: int) -> None:
    dealt = deal(rows, hands, count)
    assert [len(hand) for hand in dealt] == [count] * hands
    assert {row for hand in dealt for row in hand} <= set(rows)
