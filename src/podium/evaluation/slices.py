"""Scores by the values of a column, and how far apart they are.

Disparities are those of fairlearn: the difference and the ratio of the extreme slices in each metric, and for each
label the differences of demographic parity (how often the label is answered) and of equalised odds (how often it is
found where it is true, and where it is not; the larger one counts). Extremes of small slices are mostly chance, so
slices of fewer than `LEAST_ROWS` rows are shown but take no part. Even so the extremes of several slices differ by
chance: the p-value is the share of random assignments of the rows to slices of the same sizes that differ as much.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.evaluation.answered import Answered, Scored
from podium.evaluation.bootstrap import interval_of
from podium.records.base import Frozen, Interval
from podium.tasks import TASKS
from podium.tasks.columns import missing
from podium.text import did_you_mean

LEAST_ROWS = 30
MOST_SLICES = 20
"""Further values of a column are put together."""
OTHERS, MISSING = "(all other values)", "(missing)"

_FEW_NUMBERS = 10
"""Different numbers that are slices of their own; more are cut into quarters of the rows."""
_DRAWS = 1000
_CELLS = 4_000_000
_MOST_LABELS = 50

Names = NDArray[np.str_]


class Slice(Frozen):
    """The rows with one value, and their scores by metric; a `small` slice takes no part in disparities."""

    value: str
    rows: int
    small: bool
    scores: dict[str, Interval]


class Disparity(Frozen):
    """How far the extreme slices are apart in one metric.

    Attributes:
        ratio: of the lowest to the highest; null where that is not a number.
        p_value: null where rows belong to documents, which cannot be assigned to slices one by one.
    """

    metric: str
    lowest: str
    highest: str
    difference: float
    ratio: float | None
    p_value: float | None


class Parity(Frozen):
    """How differently a label is answered across slices.

    Attributes:
        equalised_odds: null where a slice has only rows with the label, or none.
    """

    label: str
    demographic_parity: float
    equalised_odds: float | None


class Slicing(Frozen):
    """The slices of one column, the largest first, or in the order of numbers."""

    column: str
    slices: tuple[Slice, ...]
    disparities: tuple[Disparity, ...]
    parity: tuple[Parity, ...]
    notes: tuple[str, ...]


def slicing(one: Answered, column: str, confidence: float, resamples: int, seed: int) -> Slicing:
    """The rows by the values of a column.

    Raises:
        InputError: there is no such column.
    """
    if column not in one.columns:
        raise unknown_column(one.name, column, tuple(one.columns))
    names, order, notes = sliced(one.columns[column])
    rows_of = {value: np.flatnonzero(names == value) for value in order}
    slices = []
    for value, rows in rows_of.items():
        documents = None if one.documents is None else [one.documents[row] for row in rows]
        scores = {
            metric.name: interval_of(metric.of(rows), documents, confidence, resamples, seed) for metric in one.metrics
        }
        slices.append(Slice(value=value, rows=len(rows), small=len(rows) < LEAST_ROWS, scores=scores))
    large = [one.value for one in slices if not one.small]
    if small := len(slices) - len(large):
        notes.append(
            f"{small} of {len(slices)} slices have fewer than {LEAST_ROWS} rows: their scores say little, and they "
            "take no part in disparities"
        )
    if len(large) < 2:
        notes.append(f"there are no disparities: fewer than two slices have {LEAST_ROWS} rows")
        return Slicing(column=column, slices=tuple(slices), disparities=(), parity=(), notes=tuple(notes))
    kept = np.sort(np.concatenate([rows_of[value] for value in large]))
    if one.documents is not None:
        notes.append("rows of a document are alike, so there are no p-values: they would be too small")
    return Slicing(
        column=column,
        slices=tuple(slices),
        disparities=tuple(_disparity(one, metric, slices, names, kept, seed) for metric in one.metrics),
        parity=_parity(one, names[kept], kept, notes),
        notes=tuple(notes),
    )


def unknown_column(run: str, column: str, known: Sequence[str]) -> InputError:
    """The error for a column that the rows of a run do not have."""
    return InputError(
        f"--by must name a column of the rows of {run}, but got {column!r}{did_you_mean(column, known)}; its columns: "
        f"{', '.join(known) or 'none'}"
    )


def sliced(values: Sequence[Any]) -> tuple[Names, list[str], list[str]]:
    """The name of each value's slice; all names in the order in which they are shown; and what was done to get them."""
    notes: list[str] = []
    numbers = [_number(value) for value in values]
    lacking = np.array([missing(value) or value == "" for value in values])
    known = np.array([number for number, out in zip(numbers, lacking, strict=True) if not out and number is not None])
    if len(known) and len(known) == np.count_nonzero(~lacking) and len(np.unique(known)) > _FEW_NUMBERS:
        edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1], method="higher"))
        inner = edges[1:-1]
        ends = [f"{low:,.6g} to {high:,.6g}" for low, high in pairwise(edges)]
        ends = [
            text if place == len(ends) - 1 else text.replace(" to ", " to below ") for place, text in enumerate(ends)
        ]
        notes.append(f"its {len(np.unique(known))} different numbers are cut at the quartiles of the rows")
        names = np.array(
            [
                MISSING if out or number is None else ends[int(np.searchsorted(inner, number, side="right"))]
                for number, out in zip(numbers, lacking, strict=True)
            ]
        )
        return names, [one for one in (*ends, MISSING) if (names == one).any()], notes
    texts = [MISSING if out else _shown(value) for value, out in zip(values, lacking, strict=True)]
    counts = Counter(texts)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    if len(order) > MOST_SLICES:
        shown = set(order[: MOST_SLICES - 1])
        notes.append(
            f"it has {len(order)} different values; those after the {len(shown)} most frequent are put together"
        )
        texts = [text if text in shown else OTHERS for text in texts]
        order = [*order[: len(shown)], OTHERS]
    if len(known) == np.count_nonzero(~lacking) and OTHERS not in order:
        order.sort(key=lambda name: (name == MISSING, _number(name) or 0.0))
    return np.array(texts), order, notes


def _number(value: Any) -> float | None:
    """A value as a number, also where a file holds it as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "(none)"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())


def _disparity(
    one: Answered, metric: Scored, slices: Sequence[Slice], names: Names, kept: NDArray[np.int64], seed: int
) -> Disparity:
    large = sorted((part for part in slices if not part.small), key=lambda part: part.value)
    values = {part.value: part.scores[metric.name].value for part in large}
    lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    difference = values[highest] - values[lowest]
    return Disparity(
        metric=metric.name,
        lowest=lowest,
        highest=highest,
        difference=difference,
        ratio=values[lowest] / values[highest] if values[highest] else None,
        p_value=_p_value(metric, names, kept, difference, seed) if one.documents is None else None,
    )


def _p_value(metric: Scored, names: Names, kept: NDArray[np.int64], difference: float, seed: int) -> float:
    """Share of random assignments whose extremes are as far apart; one is added to both counts.

    Rows of a group add the same to the sums, so that an assignment is a random table of slices by groups.
    """
    from scipy.stats import random_table

    present, group = np.unique(metric.sums.group[kept], return_inverse=True)
    table = metric.sums.table[present]
    sizes = np.unique(names[kept], return_counts=True)[1]
    draw, groups = np.random.default_rng(seed), np.bincount(group.reshape(-1))
    step, as_far = max(1, _CELLS // (len(sizes) * len(groups))), 0
    for first in range(0, _DRAWS, step):
        drawn = random_table(sizes, groups).rvs(size=min(step, _DRAWS - first), random_state=draw)
        values = metric.sums.statistic(np.asarray(drawn, dtype=np.float64) @ table)
        as_far += int(np.count_nonzero(np.ptp(values, axis=-1) >= difference - 1e-12))
    return (1 + as_far) / (1 + _DRAWS)


def _parity(one: Answered, names: Names, kept: NDArray[np.int64], notes: list[str]) -> tuple[Parity, ...]:
    if one.predictions is None or TASKS.get(one.task).words:
        return ()
    labels: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {
        label: (_has(one.truth, label, kept), _has(one.answers, label, kept))
        for label in ((one.positive,) if one.positive else one.predictions.labels)
    }
    frequent = sorted(labels, key=lambda label: -int(labels[label][0].sum()))
    if len(frequent) > _MOST_LABELS:
        notes.append(f"parity is shown of the {_MOST_LABELS} most frequent of {len(frequent)} labels")
        frequent = frequent[:_MOST_LABELS]
    return tuple(_parity_of(label, *labels[label], names) for label in labels if label in frequent)


def _parity_of(label: str, true: NDArray[np.bool_], answered: NDArray[np.bool_], names: Names) -> Parity:
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    shares = [float(true[names == value].mean()) for value in np.unique(names)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parity = float(demographic_parity_difference(true, answered, sensitive_features=names))
        odds = None
        if min(shares) > 0 and max(shares) < 1:
            odds = float(equalized_odds_difference(true, answered, sensitive_features=names))
    return Parity(label=label, demographic_parity=parity, equalised_odds=odds)


def _has(values: Sequence[Any], label: str, kept: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of the kept rows has a label."""
    chosen = (values[row] for row in kept)
    return np.array([label in one if isinstance(one, list) else one == label for one in chosen], dtype=np.bool_)
