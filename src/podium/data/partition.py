"""From kept rows to splits and folds, with the checks that make them usable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from podium.config.schema import DatasetConfig
from podium.data.duplicates import leaked
from podium.data.index import MAX_TYPES, Ints, Mask, RowIndex
from podium.data.sources import ROLES, Role
from podium.data.splits import choose, deal_folds, group_counts, over_groups, quotas, ranks, rarest_type
from podium.errors import DataError

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
        DataError: there are too few rows, classes, or rows of a class; or held-out rows have a class that train lacks.
    """
    return _Partitioner(index, groups, rows, config, seed, documents).run()


class _Partitioner:
    """The rows in play as aligned arrays; `self.role` says where each belongs now.

    Strata are numbered in name order and not as they were met, so that the order of rows changes nothing.
    """

    def __init__(
        self, index: RowIndex, groups: Ints, rows: Ints, config: DatasetConfig, seed: int, documents: Ints | None
    ) -> None:
        self.index = index
        self.config = config
        self.seed = seed
        self.ner = config.task == "ner"
        self.fixed = {role: bool((index.roles == number).any()) for number, role in enumerate(ROLES)}
        self.groups = groups
        self.documents = documents
        self.unit = "sentences" if documents is None else "documents"
        self.warnings: list[str] = []
        self._take(rows)

    def _take(self, rows: Ints) -> None:
        self.rows = rows
        self.group = (self.groups if self.documents is None else self.documents)[rows]
        self.role = self.index.roles[rows].astype(np.int64)
        self.digests = self.index.digests[rows]
        if self.ner:
            self.names = list(self.index.types)[:MAX_TYPES]
            self.entities = self.index.entities[rows]
            self.strata, self.size = rarest_type(self.entities, self.names), len(self.names) + 1
        else:
            self.names = sorted(self.index.vocabulary)
            position = {name: number for number, name in enumerate(self.names)}
            order = np.array([position[name] for name in self.index.vocabulary], dtype=np.int64)
            self.strata, self.size = order[self.index.targets[rows].astype(np.int64)], len(self.names)

    def run(self) -> Partition:
        if not len(self.rows):
            raise DataError("a data set must have rows, but none is left to train on")
        self._check_classes()
        self._check_unseen()
        if self.config.max_rows is not None and self.config.max_rows < len(self.rows):
            self._sample(self.config.max_rows)
            self._check_classes()
            self._check_unseen()
        if self.documents is not None:
            self.entities = over_groups(np.bitwise_or, self.entities, self.group)
            self.strata = rarest_type(self.entities, self.names)
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
        """Keep `total` rows in proportion to roles and strata: of documents some sentences, of as many as may be."""
        cells = self.role * self.size + self.strata
        counts = np.bincount(cells, minlength=len(ROLES) * self.size).astype(np.int64)
        quota = quotas(counts, total, np.zeros_like(counts), counts)
        self._take(self.rows[choose(cells, np.arange(len(cells)), ranks(self.digests, self.seed, "sample"), quota)])

    def _carve(self, role: Role, fraction: float, leave: int) -> None:
        """Move a stratified share of the train rows to `role`, leaving `leave` groups of every class in train."""
        pool = np.flatnonzero(self.role == 0)
        strata, group = self.strata[pool], self.group[pool]
        counts = group_counts(strata, group, self.size)
        low = np.zeros_like(counts) if self.ner else np.minimum(counts, 1)
        high = counts if self.ner else np.maximum(counts - leave, 0)
        quota = quotas(counts, round(fraction * int(counts.sum())), np.minimum(low, high), high)
        taken = choose(strata, group, self._rank(role)[pool], quota)
        self.role[pool[taken]] = ROLES.index(role)

    def _drop_leaked(self) -> int:
        """Take rows away whose content a document in a split nearer to the final test has, too; tell how many."""
        if self.documents is None:
            return 0
        stay = ~leaked(self.role, self.groups[self.rows])
        dropped = int(np.count_nonzero(~stay))
        if dropped:
            self.warnings.append(
                "sentences removed from train and validation because a document held out for validation or test has "
                f"the same: {dropped}"
            )
            self.rows, self.role, self.digests = self.rows[stay], self.role[stay], self.digests[stay]
            self.group, self.strata = self.group[stay], self.strata[stay]
        return dropped

    def _check_classes(self) -> None:
        """At least two classes; for NER at least one entity."""
        if self.ner:
            if not self.strata.any():
                raise DataError(
                    "a NER data set must have entities, but every tag is 'O'; check dataset.label_column, or the last "
                    "column of a CoNLL file"
                )
            return
        present = np.unique(self.strata)
        if len(present) < 2:
            raise DataError(
                f"a classification data set must have at least two classes, but all {len(self.rows)} rows have the "
                f"label {self.names[int(present[0])]!r}; check dataset.label_column ({self.config.label_column!r})"
            )

    def _check_unseen(self) -> None:
        """Every class of fixed validation and test rows occurs in train."""
        seen = self._present(self.role == 0)
        for number, role in enumerate(ROLES[1:], start=1):
            unseen = self._present(self.role == number) & ~seen
            if unseen.any():
                what = "entity types" if self.ner else "labels"
                names = self.names
                listed = ", ".join(repr(names[int(one)]) for one in np.flatnonzero(unseen)[:_SHOWN])
                known = ", ".join(sorted(repr(names[int(one)]) for one in np.flatnonzero(seen))[:_SHOWN])
                raise DataError(
                    f"{what} of the {role} rows must occur in train, but {listed} do not (train has {known}); correct "
                    f"dataset.{role}_path, or add rows with them to train"
                )

    def _present(self, where: Mask) -> Mask:
        if not self.ner:
            return np.bincount(self.strata[where], minlength=self.size) > 0
        bits = self.index.entities[self.rows[where]]
        both = np.bitwise_or.reduce(bits) if len(bits) else np.uint64(0)
        return np.array([bool((int(both) >> number) & 1) for number in range(self.size - 1)], dtype=np.bool_)

    def _check_sizes(self) -> None:
        """Enough rows of every class for the folds and the splits."""
        folds = self.config.folds
        development = self.role < (2 if self.fixed["test"] else 3)
        counts = group_counts(self.strata[development], self.group[development], self.size)
        need = folds + (0 if self.fixed["test"] else 1)
        if self.ner:
            self._check_sentences(counts, need)
            return
        present = np.unique(self.strata)
        short = {self.names[int(one)]: int(counts[one]) for one in present if counts[one] < need}
        if short:
            for_test = "" if self.fixed["test"] else " and 1 to test on"
            raise DataError(
                f"every class must have at least {need} distinct rows ({folds} for dataset.folds={folds}{for_test}), "
                f"but {_listed(short)}; add rows, drop these classes, or lower dataset.folds"
            )

    def _check_sentences(self, counts: Ints, need: int) -> None:
        total = int(counts.sum())
        if total < need + 1:
            remedy = "" if self.documents is None else ", or remove the -DOCSTART- lines to split by sentence"
            raise DataError(
                f"a NER data set must have at least {need + 1} distinct {self.unit} for "
                f"dataset.folds={self.config.folds} and the splits, but has {total}; add {self.unit} or lower "
                f"dataset.folds{remedy}"
            )
        units = self.entities if self.documents is None else self.entities[np.unique(self.group, return_index=True)[1]]
        found = {
            name: int(((units >> np.uint64(number)) & np.uint64(1)).sum()) for number, name in enumerate(self.names)
        }
        short = {name: count for name, count in found.items() if 0 < count < need}
        if short:
            self.warnings.append(
                f"entity types in fewer than {need} {self.unit} cannot be in every fold and split: {_listed(short)}"
            )


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    shown = ", ".join(f"{name!r} has {count}" for name, count in ordered[:_SHOWN])
    return shown + (f" and {len(ordered) - _SHOWN} more are short" if len(ordered) > _SHOWN else "")
