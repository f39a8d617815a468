"""Stratified splits and folds as pure functions of contents and a seed.

Rows are shuffled by a hash of their content and the seed, not by a stream of random numbers: the result depends
neither on the order of rows nor on the version of a library, and duplicates, which share a content, stay together.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from podium.data.index import Ints, Mask

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def ranks(digests: npt.NDArray[np.uint64], seed: int, purpose: str) -> npt.NDArray[np.uint64]:
    """A pseudo-random number per row, equal for equal contents: shape (rows,).

    The finaliser of SplitMix64 (Steele, Lea and Flood, 2014) over the content digest and a salt that is drawn from
    `seed` and `purpose`, so that the choices made for different purposes are independent.
    """
    salt = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    with np.errstate(over="ignore"):
        value = _mix(digests[:, 0] ^ np.uint64(int.from_bytes(salt, "big")))
        return _mix(value ^ digests[:, 1])


def _mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * _MIX[0]
    value = (value ^ (value >> np.uint64(27))) * _MIX[1]
    return np.asarray(value ^ (value >> np.uint64(31)))


def quotas(counts: Ints, total: int, low: Ints, high: Ints) -> Ints:
    """How many members of each stratum to take so that `total` are taken in proportion to `counts`.

    Largest remainders, within `low <= quota <= high`; the bounds win over `total`.
    """
    share = counts * (total / max(1, int(counts.sum())))
    quota: Ints = np.clip(np.floor(share).astype(np.int64), low, np.maximum(low, high))
    while (missing := total - int(quota.sum())) != 0:
        step = 1 if missing > 0 else -1
        movable = np.flatnonzero(quota < high if step > 0 else quota > low)
        if not len(movable):
            break
        most_wanting = movable[np.argsort(step * (quota[movable] - share[movable]), kind="stable")]
        quota[most_wanting[: abs(missing)]] += step
    return quota


def choose(strata: Ints, groups: Ints, rank: npt.NDArray[np.uint64], quota: Ints) -> Mask:
    """Mark the rows of `quota[s]` groups of every stratum `s`, those of lowest rank.

    A group belongs to the stratum of its first row and is taken as a whole.
    """
    first, members = _first_rows(groups)
    order = np.lexsort((rank[first], strata[first]))
    ordered = strata[first][order]
    starts = np.searchsorted(ordered, np.arange(len(quota)))
    taken = np.zeros(len(first), dtype=np.bool_)
    taken[order] = np.arange(len(order)) - starts[ordered] < quota[ordered]
    return taken[members]


def deal_folds(strata: Ints, groups: Ints, rank: npt.NDArray[np.uint64], folds: int) -> Ints:
    """Fold number of every row: groups are dealt in turn, stratum after stratum.

    Counts of groups per fold differ by at most one, over all and within every stratum.
    """
    first, members = _first_rows(groups)
    order = np.lexsort((rank[first], strata[first]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(order)) % folds
    return fold[members]


def group_counts(strata: Ints, groups: Ints, size: int) -> Ints:
    """Number of groups in each of `size` strata."""
    first, _ = _first_rows(groups)
    return np.bincount(strata[first], minlength=size).astype(np.int64)


def over_groups(combine: np.ufunc, values: npt.NDArray[np.uint64], groups: Ints) -> npt.NDArray[np.uint64]:
    """For every row what `combine`, which leaves 0 as it is, makes of the values of all rows of its group."""
    first, members = _first_rows(groups)
    combined = np.zeros(len(first), dtype=np.uint64)
    combine.at(combined, members, values)
    return combined[members]


Kinds = Sequence[frozenset[str]]
"""Different sets of kinds that rows have; a row has the number of its set."""


def united_kinds(kinds: Kinds, kinds_of: Ints, groups: Ints) -> tuple[Kinds, Ints]:
    """Sets of kinds of whole groups, and the number of its group's set for every row."""
    first, members = _first_rows(groups)
    united: list[set[str]] = [set() for _ in first]
    for group, number in np.unique(np.column_stack([members, kinds_of]), axis=0):
        united[group] |= kinds[number]
    numbers: dict[frozenset[str], int] = {}
    of_group = np.array([numbers.setdefault(frozenset(own), len(numbers)) for own in united], dtype=np.int64)
    return list(numbers), of_group[members]


def rows_by_kind(kinds: Kinds, kinds_of: Ints) -> Counter[str]:
    """Number of rows that have each kind."""
    found: Counter[str] = Counter()
    for own, rows in zip(kinds, np.bincount(kinds_of, minlength=len(kinds)).tolist(), strict=True):
        found.update(dict.fromkeys(own, rows) if rows else {})
    return found


def rarest_kind(kinds: Kinds, kinds_of: Ints, names: Sequence[str]) -> Ints:
    """Stratum of every row: 1 + the position in `names` of the rarest kind that it has; 0 when it has none.

    After Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data (2011): what is rarest is what a
    split most easily gets wrong.
    """
    rows = rows_by_kind(kinds, kinds_of)
    position = {name: number for number, name in enumerate(names, start=1)}
    strata = [position[min(sorted(own, reverse=True), key=lambda name: rows[name])] if own else 0 for own in kinds]
    return np.array(strata, dtype=np.int64)[kinds_of]


def _first_rows(groups: Ints) -> tuple[Ints, Ints]:
    """First row of every group, and for every row the position of its group among them."""
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    return first.astype(np.int64), members.astype(np.int64)
