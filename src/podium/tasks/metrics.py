"""What a metric of a task is: a value, and the same value as a function of sums over rows.

The sums make the bootstrap of a metric cheap. Each row belongs to a group of rows that add the same counts. A resample
of the rows is then one multinomial draw of the group sizes, and the metric of the resample is a function of their
weighted sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Additive:
    """One metric of one set of predictions.

    Attributes:
        group: (rows,) group of each row.
        table: (groups, columns) what a row of each group adds to the sums.
        statistic: maps sums of shape (..., columns) to values of shape (...).
        wholes: the columns that the statistic divides by: a row in which they are all 0 has no part in it, such as one
            without the label for the recall of that label. Empty where every row has a part.
    """

    group: Integers
    table: Floats
    statistic: Callable[[Floats], Floats]
    wholes: tuple[int, ...] = ()

    def has_part(self, rows: Floats) -> NDArray[np.bool_]:
        """Which of some rows, or sums of rows, shape (rows, columns), have a part in the metric."""
        if not self.wholes:
            return np.ones(len(rows), dtype=np.bool_)
        return np.asarray(rows[:, list(self.wholes)].any(axis=1), dtype=np.bool_)

    def total(self) -> float:
        """The metric of all rows as they are."""
        return float(self.statistic(self.table[self.group].sum(axis=0)))


Answers = Any
"""Truth and answers of some rows, from which metrics are computed: `podium.evaluation.predictions.Predictions`.

`labels` names the labels; `truth` and `predicted` have the form that `Task.checked` gives them; `probabilities`
have shape (rows, labels), or are None.
"""


@dataclass(frozen=True)
class Metric:
    """A metric of a task. A row without a valid answer counts as wrong in each.

    Attributes:
        name: in configs, records and reports. Tasks may share a name for what is the same idea.
        sums: the metric as sums over rows, which the bootstrap resamples.
        exact: the metric of answers as its library rounds it, where sums would differ in the last digit.
        better: whether a higher or a lower value is better.
        objective: whether a study may maximise it; such a metric needs no probabilities.
        probabilities: whether it needs the probabilities of the answers.
        title: the name in a sentence; by default `name` with spaces for underscores.
    """

    name: str
    sums: Callable[[Answers], Additive]
    exact: Callable[[Answers], float] | None = None
    better: Literal["higher", "lower"] = "higher"
    objective: bool = True
    probabilities: bool = False
    title: str = ""

    def value(self, answers: Answers) -> float:
        return self.exact(answers) if self.exact else self.sums(answers).total()


def grouped(rows: NDArray[Any]) -> tuple[Integers, Floats]:
    """Group of each row of (rows, columns) such that equal rows share one, and (groups, columns) the row of each."""
    table, group = np.unique(rows, axis=0, return_inverse=True)
    return group.reshape(-1).astype(np.int64), table.astype(np.float64)


def share_of(parts: NDArray[Any], wholes: NDArray[Any] | None = None) -> Additive:
    """The sum of (rows,) `parts` divided by that of `wholes`; without these, the mean of the parts."""
    rows = np.column_stack([parts, np.ones_like(parts) if wholes is None else wholes])
    return Additive(*grouped(rows), lambda sums: ratio(sums[..., 0], sums[..., 1]), wholes=(1,))


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def mean_ratio(sums: Floats) -> Floats:
    """Mean of hits by sizes over the classes that occur.

    Args:
        sums: of hits, then of sizes, then of rows in which it occurs, of every class: shape (..., 3 * classes).
    """
    hits, size, occurs = np.split(sums, 3, axis=-1)
    return ratio(ratio(hits, size).sum(axis=-1), (occurs > 0).sum(axis=-1))


def mean_f1(sums: Floats) -> Floats:
    """Mean F1 over the classes that occur.

    Args:
        sums: of hits, then of sizes (true plus predicted), of every class: shape (..., 2 * classes).
    """
    hits, size = np.split(sums, 2, axis=-1)
    return ratio(ratio(2 * hits, size).sum(axis=-1), (size > 0).sum(axis=-1))


def counts_f1(sums: Floats) -> Floats:
    """F1 from sums of hits, of what is predicted and of what is true, shape (..., 3)."""
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def counts_precision(sums: Floats) -> Floats:
    """Precision from the same sums."""
    return ratio(sums[..., 0], sums[..., 1])


def counts_recall(sums: Floats) -> Floats:
    """Recall from the same sums."""
    return ratio(sums[..., 0], sums[..., 2])


COUNTS_WHOLES: dict[Callable[[Floats], Floats], tuple[int, ...]] = {
    counts_f1: (1, 2),
    counts_precision: (1,),
    counts_recall: (2,),
}
"""`Additive.wholes` of each of them."""
