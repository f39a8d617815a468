"""From kept rows to stratified splits and folds, with the checks that make them usable.

Rows are shuffled by a hash of their content and the seed, not by a stream of random numbers: the result depends
neither on the order of rows nor on the version of a library, and duplicates, which share a content, stay together.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from podium.config.schema import DatasetConfig
from podium.data.index import Ints, Mask, RowIndex, leaked
from podium.data.sources import ROLES, Role
from podium.errors import DataError
from podium.tasks import TASKS

Ranks = npt.NDArray[np.uint64]

Kinds = Sequence[frozenset[str]]
"""Different sets of kinds that rows have; a row has the number of its set."""

_SHOWN = 10
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Partition:
    """Rows of every split, ascending, and the fold of every development row (train, then validation).

    `dropped` counts rows that went because their content is in a split nearer to the final test.
    """

    train: Ints
    validation: Ints
    test: Ints
    folds: Ints
    warnings: tuple[str, ...]
    dropped: int = 0


def partition(
    index: RowIndex, groups: Ints, rows: Ints, config: DatasetConfig, seed: int, documents: Ints | None = None
) -> Partition:
    """Sample, split and fold the rows that were kept.

    Roles that files fix are honoured; a missing test or validation split is taken from the train rows, stratified.
    What stays together there and in folds are documents, and rows of equal content where there are none.

    Args:
        groups: of rows of equal content.
        documents: of all rows, as `podium.data.index.documents` gives them.

    Raises:
        DataError: there are too few rows, kinds, or rows of a kind; or held-out rows have a kind that train lacks.
    """
    return _Partitioner(index, groups, rows, config, seed, documents).run()


class _Partitioner:
    """The rows in play, and the units that stay together, as aligned arrays; `self.role` says where a unit belongs now.

    A row belongs to the stratum of its rarest kind: its label, or the rarest of its labels or entity types. Kinds are
    numbered in the order of their names, not as they were met, so that the order of rows changes nothing.
    """

    def __init__(
        self, index: RowIndex, groups: Ints, rows: Ints, config: DatasetConfig, seed: int, documents: Ints | None
    ) -> None:
        self.index = index
        self.config = config
        self.seed = seed
        self.task = TASKS.get(config.task)
        self.fixed = {role: bool((index.column("role") == number).any()) for number, role in enumerate(ROLES)}
        self.groups = groups
        self.documents = documents
        self.unit = self.task.unit if documents is None else "documents"
        self.warnings: list[str] = []
        self.kinds: Kinds = list(index.kinds)
        self.names = sorted(set().union(*self.kinds))
        self._take(rows)
        if config.max_rows is not None and config.max_rows < len(rows):
            self._take(rows[self._sample(rows, config.max_rows)])
        self._unite()

    def _take(self, rows: Ints) -> None:
        """Go on with these rows, and check that something can be learned from the kinds that they have."""
        if not len(rows):
            raise DataError("a data set must have rows, but none is left to train on")
        self.rows = rows
        self.role = self.index.column("role")[rows]
        self.kinds_of = self.index.column("kinds")[rows]
        self.strata = rarest_kind(self.kinds, self.kinds_of, self.names)
        present = sorted(self._present(self.kinds_of))
        if problem := self.task.kinds_problem(present, len(rows), self.config.label_column):
            raise DataError(problem)
        if not (self.role == 0).any():
            raise DataError(
                "train must have rows of its own, but each has the content of a row that is held out for validation or "
                "test; are two files the same?"
            )
        seen = self._present(self.kinds_of[self.role == 0])
        for number, role in enumerate(ROLES[1:], start=1):
            if unseen := self._present(self.kinds_of[self.role == number]) - seen:
                listed, known = (", ".join(map(repr, sorted(names)[:_SHOWN])) for names in (unseen, seen))
                raise DataError(
                    f"{self.task.kinds_word} of the {role} rows must occur in train, but {listed} do not (train has "
                    f"{known}); correct dataset.{role}_path, or add rows with them to train"
                )

    def _present(self, kinds_of: Ints) -> set[str]:
        return set().union(*(self.kinds[number] for number in np.unique(kinds_of)))

    def _sample(self, rows: Ints, total: int) -> Mask:
        """Mark `total` rows in proportion to roles and strata, taken from as many documents as possible.

        Every kind stays: with as many rows as folds and splits need where each must have it, otherwise with one.
        """
        size = len(self.names) + 1
        cells = self.role * size + self.strata
        counts = np.bincount(cells, minlength=len(ROLES) * size)
        low = np.minimum(counts, self.config.folds + 2 if self.task.every_kind else 1)
        if (least := int(low.sum())) > total:
            raise DataError(
                f"a sample must keep all {self.task.kinds_word} in folds and splits, which takes {least} rows here, "
                f"but got dataset.max_rows={total}; raise it, or leave it out to use all {len(rows)} rows"
            )
        quota = quotas(counts, total, low, counts)
        return choose(cells, ranks(self.index.digests[rows], self.seed, "sample"), quota)

    def _unite(self) -> None:
        """From now on, roles and strata are those of documents, or of rows of equal content where there are none."""
        group = (self.groups if self.documents is None else self.documents)[self.rows]
        _, self.first, self.unit_of = np.unique(group, return_index=True, return_inverse=True)
        if self.documents is not None:
            united: list[set[str]] = [set() for _ in self.first]
            for unit, number in np.unique(np.column_stack([self.unit_of, self.kinds_of]), axis=0):
                united[unit] |= self.kinds[number]
            numbers: dict[frozenset[str], int] = {}
            self.kinds_of = np.array([numbers.setdefault(frozenset(own), len(numbers)) for own in united])
            self.kinds = list(numbers)
            self.strata = rarest_kind(self.kinds, self.kinds_of[self.unit_of], self.names)
        self.strata = self.strata[self.first]
        self.role = self.role[self.first]

    def run(self) -> Partition:
        self._check_sizes()
        if not self.fixed["test"]:
            self._carve("test", self.config.test_fraction, self.config.folds)
        if not self.fixed["validation"]:
            rest = self.config.validation_fraction / (1 - (0 if self.fixed["test"] else self.config.test_fraction))
            self._carve("validation", rest, 1)
        role = self.role[self.unit_of]
        dropped = 0
        if self.documents is not None:
            gone = leaked(role, self.groups[self.rows])
            self.rows, self.unit_of, role = self.rows[~gone], self.unit_of[~gone], role[~gone]
            if dropped := int(np.count_nonzero(gone)):
                self.warnings.append(
                    f"{self.task.unit} removed from train and validation because a document held out for validation or "
                    f"test has the same: {dropped}"
                )
        parts = [np.flatnonzero(role == number) for number in range(len(ROLES))]
        for name, part in zip(ROLES, parts, strict=True):
            if not len(part):
                left = len(np.unique(self.unit_of))
                whole = "" if self.documents is None else f" of {left} documents that stay whole"
                raise DataError(
                    f"every split must have rows, but {name} would have none of the {len(role)}{whole}; add rows, or "
                    "raise dataset.max_rows or the fraction"
                )
        units, members = np.unique(self.unit_of[np.concatenate(parts[:2])], return_inverse=True)
        folds = deal_folds(self.strata[units], self._rank("folds")[units], self.config.folds)[members]
        train, validation, test = (self.rows[part] for part in parts)
        return Partition(train, validation, test, folds, tuple(self.warnings), dropped)

    def _rank(self, purpose: str) -> Ranks:
        """A pseudo-random number per unit."""
        rank = ranks(self.index.digests[self.rows], self.seed, purpose)
        if self.documents is None:
            return rank[self.first]
        combined = np.zeros(len(self.first), dtype=np.uint64)
        np.add.at(combined, self.unit_of, rank)
        return combined

    def _carve(self, role: Role, fraction: float, leave: int) -> None:
        """Move a stratified share of the train units to `role`.

        Where every split must have rows of every kind, it gets one unit of each at least, and leaves `leave` of them.
        """
        pool = np.flatnonzero(self.role == 0)
        counts = np.bincount(self.strata[pool], minlength=len(self.names) + 1)
        low, high = np.zeros_like(counts), counts
        if self.task.every_kind:
            low, high = np.minimum(counts, 1), np.maximum(counts - leave, 0)
        quota = quotas(counts, round(fraction * int(counts.sum())), np.minimum(low, high), high)
        self.role[pool[choose(self.strata[pool], self._rank(role)[pool], quota)]] = ROLES.index(role)

    def _check_sizes(self) -> None:
        """Enough rows of every kind for the folds and the splits."""
        folds = self.config.folds
        development = self.role < (2 if self.fixed["test"] else 3)
        counts = np.bincount(self.strata[development], minlength=len(self.names) + 1)
        need = folds + (0 if self.fixed["test"] else 1)
        if self.task.every_kind:
            short = {self.names[one - 1]: int(counts[one]) for one in np.unique(self.strata) if counts[one] < need}
            if short:
                for_test = "" if self.fixed["test"] else " and 1 to test on"
                raise DataError(
                    f"every class must have at least {need} distinct rows ({folds} for dataset.folds={folds}{for_test}"
                    f"), but {_listed(short)}; add rows, drop these classes, or lower dataset.folds"
                )
            return
        total = int(counts.sum())
        if total < need + 1:
            remedy = (
                "" if self.documents is None else f", or remove the -DOCSTART- lines to split by {self.task.unit[:-1]}"
            )
            raise DataError(
                f"a data set for {self.task.title} must have at least {need + 1} distinct {self.unit} for "
                f"dataset.folds={folds} and the splits, but has {total}; add {self.unit} or lower dataset.folds{remedy}"
            )
        found = rows_by_kind(self.kinds, self.kinds_of)
        short = {name: found[name] for name in self.names if 0 < found[name] < need}
        if short:
            self.warnings.append(
                f"{self.task.kinds_word} in fewer than {need} {self.unit} cannot be in every fold and split: "
                f"{_listed(short)}"
            )


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    shown = ", ".join(f"{name!r} has {count}" for name, count in ordered[:_SHOWN])
    return shown + (f" and {len(ordered) - _SHOWN} more are short" if len(ordered) > _SHOWN else "")


def ranks(digests: npt.NDArray[np.uint64], seed: int, purpose: str) -> Ranks:
    """A pseudo-random number per row, equal for equal contents: shape (rows,).

    The finaliser of SplitMix64 (Steele, Lea and Flood, 2014) over the content digest and a salt that is drawn from
    `seed` and `purpose`, so that the choices made for different purposes are independent.
    """
    salt = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    with np.errstate(over="ignore"):
        value = _mix(digests[:, 0] ^ np.uint64(int.from_bytes(salt, "big")))
        return _mix(value ^ digests[:, 1])


def _mix(value: Ranks) -> Ranks:
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


def choose(strata: Ints, rank: Ranks, quota: Ints) -> Mask:
    """Mark the `quota[s]` members of lowest rank of every stratum `s`."""
    order = np.lexsort((rank, strata))
    ordered = strata[order]
    starts = np.searchsorted(ordered, np.arange(len(quota)))
    taken = np.zeros(len(strata), dtype=np.bool_)
    taken[order] = np.arange(len(order)) - starts[ordered] < quota[ordered]
    return taken


def deal_folds(strata: Ints, rank: Ranks, folds: int) -> Ints:
    """Fold number of every member: they are dealt in turn, stratum after stratum.

    Their counts per fold differ by at most one, over all and within every stratum.
    """
    fold = np.empty(len(strata), dtype=np.int64)
    fold[np.lexsort((rank, strata))] = np.arange(len(strata)) % folds
    return fold


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
