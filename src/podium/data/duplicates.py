"""Exact duplicates: which rows stay, so that no content is on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from podium.data.index import Ints, Mask, RowIndex
from podium.data.sources import ROLES
from podium.tasks import TASKS

_SHOWN = 3


@dataclass(frozen=True)
class Kept:
    """Rows that stay (ascending), how many duplicates went, and what people should know about it."""

    rows: Ints
    dropped: int
    warnings: tuple[str, ...]


def keep_rows(index: RowIndex, groups: Ints, deduplicate: bool) -> Kept:
    """Decide which rows stay.

    A content that fixed test rows have is removed from validation and train, one that fixed validation rows have from
    train: this holds whatever `deduplicate` says. With `deduplicate`, the first row of every content stays, also where
    its duplicates carry another label: the row is then as good as an annotator's first vote, and it is counted.
    """
    warnings = []
    gone = leaked(index.roles.astype(np.int64), groups)
    for role, count in zip(ROLES, np.bincount(index.roles[gone], minlength=len(ROLES)), strict=True):
        if count:
            held_out = "test" if role == "validation" else "validation or test"
            warnings.append(f"{role} rows removed because the same content is in the fixed {held_out} rows: {count}")
    rows = np.flatnonzero(~gone)
    warnings += _conflicts(index, groups, rows, deduplicate)
    if deduplicate:
        _, first = np.unique(groups[rows], return_index=True)
        rows = np.sort(rows[first])
    return Kept(rows, len(index) - len(rows), tuple(warnings))


def leaked(roles: Ints, groups: Ints) -> Mask:
    """Rows whose content also occurs in a role (by its position in `ROLES`) nearer to the final test."""
    strongest = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(strongest, groups, roles)
    return np.asarray(roles < strongest[groups])


def _conflicts(index: RowIndex, groups: Ints, rows: Ints, deduplicate: bool) -> list[str]:
    """Warn of contents that occur with different labels."""
    unique, first, members = np.unique(groups[rows], return_index=True, return_inverse=True)
    targets = index.targets[rows]
    differs = targets != targets[first][members]
    if not differs.any():
        return []
    contents = len(np.unique(members[differs]))
    examples = _examples(index, rows, first, members, np.flatnonzero(differs)[:_SHOWN])
    what = "tags" if TASKS.get(index.task).words else "labels"
    outcome = "the first of each was kept" if deduplicate else "all were kept, which puts a ceiling on every score"
    return [
        f"contents that occur with different {what}: {contents} of {len(unique)} (rows that disagree with the first: "
        f"{int(differs.sum())}); {outcome}. For example {'; '.join(examples)}"
    ]


def _examples(index: RowIndex, rows: Ints, first: Ints, members: Ints, found: Sequence[int] | Ints) -> list[str]:
    pairs = [index.places([int(rows[first[members[row]]]), int(rows[row])]) for row in found]
    return [f"{one} and {other}" for one, other in pairs]
