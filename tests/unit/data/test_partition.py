"""Splits are a partition, stratified, deterministic, and never part duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.config.schema import DatasetConfig
from podium.data.index import RowIndex, ValidRow, keep_rows
from podium.data.partition import Partition, deal_folds, partition, quotas, ranks, rarest_kind
from podium.errors import DataError

COUNTS = st.lists(st.integers(0, 200), min_size=1, max_size=8)


def index_of(rows: list[tuple[int, int]]) -> RowIndex:
    """Rows of (content, label)."""
    index = RowIndex("text-classification")
    for line, (content, label) in enumerate(rows, 1):
        digest = int(content).to_bytes(8, "big") + (content * 7919).to_bytes(8, "big")
        index.add(ValidRow("rows", line, "", f"label {label}", digest, 1), "train", "line")
    return index


def split(rows: list[tuple[int, int]], seed: int = 13, **fields: object) -> Partition:
    config = DatasetConfig.model_validate({"name": "x", "path": "x", "task": "text-classification", **fields})
    index = index_of(rows)
    groups = index.groups()
    return partition(index, groups, keep_rows(index, groups, config.deduplicate)[0], config, seed)


@given(COUNTS, st.integers(0, 1000))
def test_quotas_are_proportional_and_within_bounds(counts: list[int], total: int) -> None:
    array = np.array(counts, dtype=np.int64)
    total = min(total, int(array.sum()))
    quota = quotas(array, total, np.zeros_like(array), array)
    assert quota.sum() == total
    assert (np.abs(quota - array * total / max(1, array.sum())) < 1).all()


@given(COUNTS, st.integers(0, 1000), st.integers(0, 3), st.integers(0, 5))
def test_the_bounds_of_quotas_win(counts: list[int], total: int, least: int, leave: int) -> None:
    array = np.array(counts, dtype=np.int64)
    high = np.maximum(array - leave, 0)
    low = np.minimum(least, high)
    quota = quotas(array, total, low, high)
    assert (low <= quota).all() and (quota <= high).all()
    if low.sum() <= total <= high.sum():
        assert quota.sum() == total


ROWS = st.lists(st.integers(4, 40), min_size=2, max_size=5).flatmap(
    lambda sizes: st.permutations([(100 * label + n, label) for label, size in enumerate(sizes) for n in range(size)])
)


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(0, 99), st.integers(2, 3), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_splits_partition_and_stratify(
    rows: list[tuple[int, int]], seed: int, folds: int, test: float, validation: float
) -> None:
    parts = split(rows, seed, folds=folds, test_fraction=test, validation_fraction=validation)
    everything = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(everything) == list(range(len(rows)))
    labels = np.array([label for _, label in rows])
    for label in np.unique(labels):
        size = int((labels == label).sum())
        held_out = int((labels[parts.test] == label).sum())
        assert 1 <= held_out <= size - folds
        assert held_out == 1 or abs(held_out - test * size) <= 1 + len(np.unique(labels)) or size - held_out == folds
        assert (labels[parts.train] == label).any() and (labels[parts.validation] == label).any()
        development = labels[np.concatenate([parts.train, parts.validation])]
        sizes = np.bincount(parts.folds[development == label], minlength=folds)
        assert sizes.min() >= 1 and sizes.max() - sizes.min() <= 1
    assert abs(len(parts.test) - test * len(rows)) <= len(np.unique(labels)) + 0.5
    total = np.bincount(parts.folds, minlength=folds)
    assert total.max() - total.min() <= 1


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(0, 99))
def test_splits_follow_contents_and_seed_and_not_the_order(rows: list[tuple[int, int]], seed: int) -> None:
    def contents(rows: list[tuple[int, int]], seed: int) -> list[set[tuple[int, int]]]:
        parts = split(rows, seed)
        return [{rows[row] for row in part} for part in (parts.train, parts.validation, parts.test)]

    assert contents(rows, seed) == contents(sorted(rows), seed)


def test_another_seed_gives_another_split() -> None:
    rows = [(n, n % 2) for n in range(100)]
    assert not np.array_equal(split(rows, 1).test, split(rows, 2).test)


@settings(deadline=None, max_examples=50)
@given(ROWS, st.data())
def test_duplicates_stay_on_one_side(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    copies = data.draw(st.lists(st.sampled_from(rows), max_size=30))
    everything = data.draw(st.permutations([*rows, *copies]))
    parts = split(everything, deduplicate=False)
    sides = [{everything[row][0] for row in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert len(parts.train) + len(parts.validation) + len(parts.test) == len(everything)
    development = [everything[row][0] for row in (*parts.train, *parts.validation)]
    fold_of: dict[int, int] = {}
    for content, fold in zip(development, parts.folds, strict=True):
        assert fold_of.setdefault(content, int(fold)) == fold
    deduplicated = split(everything)
    kept = [everything[row] for row in (*deduplicated.train, *deduplicated.validation, *deduplicated.test)]
    assert sorted(kept) == sorted(set(rows))


@given(st.integers(1, 300), st.integers(1, 500))
def test_a_sample_is_stratified(majority: int, wanted: int) -> None:
    rows = [(n, 0) for n in range(200)] + [(1000 + n, 1) for n in range(majority + 4)]
    if wanted < 60 or round(wanted * (majority + 4) / len(rows)) < 5 or wanted >= len(rows):
        return
    parts = split(rows, max_rows=wanted)
    chosen = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(chosen) == wanted
    assert abs((chosen >= 200).sum() - wanted * (majority + 4) / len(rows)) <= 1


@given(st.integers(4, 9), st.integers(20, 400))
def test_a_sample_keeps_what_folds_and_splits_need_of_a_rare_class(rare: int, wanted: int) -> None:
    rows = [(n, 0) for n in range(1000)] + [(2000 + n, 1) for n in range(rare)]
    parts = split(rows, max_rows=wanted)
    chosen = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(chosen) == wanted
    assert (chosen >= 1000).sum() >= 4


def test_a_sample_too_small_for_its_classes_is_refused_with_its_size() -> None:
    rows = [(100 * label + n, label) for label in range(10) for n in range(50)]
    with pytest.raises(DataError, match=r"takes \d+ rows here, but got dataset.max_rows=20; raise it, or leave"):
        split(rows, max_rows=20)


def test_ranks_look_random() -> None:
    digests = np.stack([np.arange(10_000), np.zeros(10_000)], axis=1).astype(np.uint64)
    one, other = ranks(digests, 1, "test"), ranks(digests, 1, "folds")
    assert len(np.unique(one)) == len(one)
    assert abs(np.corrcoef(one.astype(float), other.astype(float))[0, 1]) < 0.05
    assert abs(np.corrcoef(one.astype(float), np.arange(10_000))[0, 1]) < 0.05
    counts, _ = np.histogram(one.astype(float), bins=10, range=(0, 2.0**64))
    assert counts.min() > 850


def test_ranks_never_change() -> None:
    """A golden value: splits of a data set must be the same with every version of Podium and of its libraries."""
    digests = np.array([[1, 2], [3, 4]], dtype=np.uint64)
    assert ranks(digests, 13, "test").tolist() == [16598373691464996446, 4933017562565083060]


def test_sentences_are_stratified_by_their_rarest_type() -> None:
    kinds = [frozenset(names) for names in ("", "b", "ab", "abc", "a")]
    assert rarest_kind(kinds, np.array([0, 1, 2, 1, 3, 4, 1]), ["a", "b", "c"]).tolist() == [0, 2, 1, 2, 3, 1, 2]


def test_folds_deal_every_stratum_evenly() -> None:
    strata = np.repeat([0, 1, 2], [7, 5, 3])
    rank = np.arange(15, dtype=np.uint64)
    folds = deal_folds(strata, rank, 3)
    assert [np.bincount(folds[strata == one], minlength=3).tolist() for one in range(3)] == [
        [3, 2, 2],
        [1, 2, 2],
        [1, 1, 1],
    ]
