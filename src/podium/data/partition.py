"""From kept rows to splits and folds, with the checks that make them usable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from podium.config.schema import DatasetConfig
from podium.data.index import Ints, RowIndex, leaked
from podium.data.sources import ROLES, Role
from podium.data.splits import (
    Kinds,
    choose,
    deal_folds,
    group_counts,
    over_groups,
    quotas,
    ranks,
    rarest_kind,
    rows_by_kind,
    united_kinds,
)
from podium.errors import DataError
from podium.tasks import TASKS

_SHOWN = 10


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
        rows: kept ones.
        documents: of all rows, as `podium.data.documents.documents` gives them.

    Raises:
        DataError: there are too few rows, kinds, or rows of a kind; or held-out rows have a kind that train lacks.
    """
    return _Partitioner(index, groups, rows, config, seed, documents).run()


class _Partitioner:
    """The rows in play as aligned arrays; `self.role` says where each belongs now.

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
        self._take(rows)

    def _take(self, rows: Ints) -> None:
        """Go on with these rows, and check that something can be learned from the kinds that they have."""
        if not len(rows):
            raise DataError("a data set must have rows, but none is left to train on")
        self.rows = rows
        self.group = (self.groups if self.documents is None else self.documents)[rows]
        self.role = self.index.column("role")[rows]
        self.digests = self.index.digests[rows]
        self.kinds: Kinds = list(self.index.kinds)
        self.kinds_of = self.index.column("kinds")[rows]
        self.names = sorted(set().union(*self.kinds))
        self.strata = rarest_kind(self.kinds, self.kinds_of, self.names)
        if problem := self.task.kinds_problem(
            sorted(self._present(self.kinds_of)), len(rows), self.config.label_column
        ):
            raise DataError(problem)
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

    def run(self) -> Partition:
        if self.config.max_rows is not None and self.config.max_rows < len(self.rows):
            self._sample(self.config.max_rows)
        if self.documents is not None:
            self.kinds, self.kinds_of = united_kinds(self.kinds, self.kinds_of, self.group)
            self.strata = rarest_kind(self.kinds, self.kinds_of, self.names)
        self._check_sizes()
        if not self.fixed["test"]:
            self._carve("test", self.config.test_fraction, self.config.folds)
        if not self.fixed["validation"]:
            rest = self.config.validation_fraction / (1 - (0 if self.fixed["test"] else self.config.test_fraction))
            self._carve("validation", rest, 1)
        dropped = self._drop_leaked()
        return self._folded(dropped)

    def _folded(self, dropped: int) -> Partition:
        """Deal folds to the rows as they are split now."""
        parts = [np.flatnonzero(self.role == number) for number in range(len(ROLES))]
        for role, part in zip(ROLES, parts, strict=True):
            if not len(part):
                whole = "" if self.documents is None else f" of {len(np.unique(self.group))} documents that stay whole"
                raise DataError(
                    f"every split must have rows, but {role} would have none of the {len(self.rows)}{whole}; add rows, "
                    "or raise dataset.max_rows or the fraction"
                )
        development = np.concatenate(parts[:2])
        folds = deal_folds(
            self.strata[development], self.group[development], self._rank("folds")[development], self.config.folds
        )
        train, validation, test = (self.rows[part] for part in parts)
        return Partition(train, validation, test, folds, tuple(self.warnings), dropped)

    def _rank(self, purpose: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
        """A pseudo-random number per row, the same for all rows of a document."""
        rank = ranks(self.digests, self.seed, purpose)
        return rank if self.documents is None else over_groups(np.add, rank, self.group)

    def _sample(self, total: int) -> None:
        """Keep `total` rows in proportion to roles and strata, taken from as many documents as possible."""
        size = len(self.names) + 1
        cells = self.role * size + self.strata
        counts = np.bincount(cells, minlength=len(ROLES) * size).astype(np.int64)
        quota = quotas(counts, total, np.zeros_like(counts), counts)
        self._take(self.rows[choose(cells, np.arange(len(cells)), ranks(self.digests, self.seed, "sample"), quota)])

    def _carve(self, role: Role, fraction: float, leave: int) -> None:
        """Move a stratified share of the train rows to `role`.

        Where every split must have rows of every kind, it gets one group of each at least, and leaves `leave` of them.
        """
        pool = np.flatnonzero(self.role == 0)
        strata, group = self.strata[pool], self.group[pool]
        counts = group_counts(strata, group, len(self.names) + 1)
        low, high = np.zeros_like(counts), counts
        if self.task.every_kind:
            low, high = np.minimum(counts, 1), np.maximum(counts - leave, 0)
        quota = quotas(counts, round(fraction * int(counts.sum())), np.minimum(low, high), high)
        taken = choose(strata, group, self._rank(role)[pool], quota)
        self.role[pool[taken]] = ROLES.index(role)

    def _drop_leaked(self) -> int:
        """Remove rows whose content a document in a split nearer to the final test has, too; return how many."""
        if self.documents is None:
            return 0
        stay = ~leaked(self.role, self.groups[self.rows])
        dropped = int(np.count_nonzero(~stay))
        if dropped:
            self.warnings.append(
                f"{self.task.unit} removed from train and validation because a document held out for validation or "
                f"test has the same: {dropped}"
            )
            self.rows, self.role, self.digests = self.rows[stay], self.role[stay], self.digests[stay]
            self.group, self.strata = self.group[stay], self.strata[stay]
        return dropped

    def _check_sizes(self) -> None:
        """Enough rows of every kind for the folds and the splits."""
        folds = self.config.folds
        development = self.role < (2 if self.fixed["test"] else 3)
        counts = group_counts(self.strata[development], self.group[development], len(self.names) + 1)
        need = folds + (0 if self.fixed["test"] else 1)
        if not self.task.every_kind:
            self._check_groups(int(counts.sum()), need)
            return
        short = {self.names[one - 1]: int(counts[one]) for one in np.unique(self.strata) if counts[one] < need}
        if short:
            for_test = "" if self.fixed["test"] else " and 1 to test on"
            raise DataError(
                f"every class must have at least {need} distinct rows ({folds} for dataset.folds={folds}{for_test}), "
                f"but {_listed(short)}; add rows, drop these classes, or lower dataset.folds"
            )

    def _check_groups(self, total: int, need: int) -> None:
        if total < need + 1:
            remedy = (
                "" if self.documents is None else f", or remove the -DOCSTART- lines to split by {self.task.unit[:-1]}"
            )
            raise DataError(
                f"a data set for {self.task.title} must have at least {need + 1} distinct {self.unit} for "
                f"dataset.folds={self.config.folds} and the splits, but has {total}; add {self.unit} or lower "
                f"dataset.folds{remedy}"
            )
        units = self.kinds_of if self.documents is None else self.kinds_of[np.unique(self.group, return_index=True)[1]]
        found = rows_by_kind(self.kinds, units)
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
