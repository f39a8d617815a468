"""Multi-label classification: each text has any number of labels, or none.

A cell holds its labels as a list, as a list in JSON, or as a text that `label_separator` divides.

Metrics: `micro_f1`, F1 over all pairs of a text and a label; `macro_f1`, the unweighted mean of F1 over the labels that
occur in truth or answers; `subset_accuracy`, the share of texts whose labels are all right. A text without a valid
answer misses all its labels, and counts as one wrong label in `micro_f1`. A ratio whose denominator is zero is 0.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.tasks.annotations import answered
from podium.tasks.base import NO_ANSWER, Decoded, LabelChoice, Option, Task, Training
from podium.tasks.columns import LABEL_NAMES, TEXT_NAMES, Column, ambiguous, by_name, found, missing, read_label
from podium.tasks.metrics import (
    COUNTS_WHOLES,
    Additive,
    Answers,
    Floats,
    Metric,
    counts_f1,
    counts_precision,
    counts_recall,
    grouped,
    mean_f1,
    share_of,
)
from podium.tasks.text_classification import score_rows

_SEPARATOR = ","


def _hits(answers: Answers) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Labels that are right, predicted and true, as 0 and 1 of shape (rows, labels)."""
    true, predicted = (np.asarray(labels == 1, dtype=np.int64) for labels in (answers.truth, answers.predicted))
    return true & predicted, predicted, true


def _micro_sums(statistic: Callable[[Floats], Floats]) -> Callable[[Answers], Additive]:
    """A statistic of pairs of a text and a label: how many are right, predicted and true."""

    def compute(answers: Answers) -> Additive:
        right, predicted, true = (labels.sum(axis=1) for labels in _hits(answers))
        silent = answers.predicted[:, 0] == NO_ANSWER
        sums = grouped(np.column_stack([right, predicted + silent, true]))
        return Additive(*sums, statistic, COUNTS_WHOLES[statistic])

    return compute


def _macro_sums(answers: Answers) -> Additive:
    right, predicted, true = _hits(answers)
    return Additive(*grouped(np.hstack([right, predicted + true])), mean_f1)


def _subset_sums(answers: Answers) -> Additive:
    return share_of((answers.truth == answers.predicted).all(axis=1).astype(np.int64))


class MultiLabel(Task):
    """Any number of labels per text."""

    name = "multi-label"
    title = "multi-label classification"
    target = "labels"
    several = True
    target_names = ("labels", "tags", "categories", "topics", "classes", "genres")
    options: ClassVar[Mapping[str, Option]] = {
        "label_separator": Option(_SEPARATOR, "What divides the labels of a cell that holds text and no list.")
    }
    problem_type = "multi_label_classification"
    pyfunc: ClassVar[Mapping[str, Any]] = {"truncation": True, "top_k": None}
    # A label that few texts have needs more steps than a class does before it is ever predicted.
    updates = 1000
    least_updates = 120
    decoding = "multi"
    metrics = (
        Metric("micro_f1", _micro_sums(counts_f1), title="micro F1"),
        Metric("macro_f1", _macro_sums, title="macro F1"),
        Metric("subset_accuracy", _subset_sums),
    )

    def read_target(self, value: Any, content: Any, options: Mapping[str, Any]) -> tuple[list[str], int]:
        if isinstance(value, str):
            value = _split(value, options["label_separator"])
        if missing(value) or isinstance(value, (dict, bytes)):
            raise ValueError(f"must be a list of labels, but {found(value)}")
        return sorted({read_label(label) for label in (value if isinstance(value, list) else [value])}), 0

    def kinds(self, target: Sequence[str]) -> Collection[str]:
        return target

    def recognises(self, columns: Sequence[Column]) -> bool:
        lists = _lists(columns)
        single = [column for column in columns if column.labels and not column.lists]
        clear = answered(lists) or by_name(lists, LABEL_NAMES) or not by_name(single, LABEL_NAMES)
        return len(lists) == 1 and lists[0].several and bool(clear) and any(column.texts for column in columns)

    def choose_target(
        self, columns: Sequence[Column], content: str, given: str | None
    ) -> tuple[str, str, Sequence[str]]:
        others = [column for column in columns if column.name != content]
        lists = _lists(others)
        names = (*self.target_names, *LABEL_NAMES)
        if given is not None:
            chosen, reason = given, "given"
        elif len(lists) == 1:
            chosen, reason = lists[0].name, "columns of 0 and 1" if lists[0].parts else "lists of labels"
            if max(map(len, lists[0].lists)) == 1 and lists[0].several:
                reason += ", of one or none; if those without one are only not labelled yet, give --task "
                reason += "text-classification and dataset.on_bad_row=drop"
        elif (name := by_name(lists or others, names)) is not None:
            chosen, reason = name, "by its name"
        else:
            raise ambiguous("label", "--label-column", columns)
        column = next(column for column in columns if column.name == chosen)
        cells = [*column.lists, *(_split(value, _SEPARATOR) for value in column.values)]
        return chosen, reason, sorted({str(label) for cell in cells for label in cell})

    def fits(self, architecture: str, config: Mapping[str, Any]) -> bool:
        return super().fits(architecture, config) and config.get("problem_type") == self.problem_type

    def encode_targets(self, targets: Sequence[Sequence[int]], labels: int) -> list[list[float]]:
        return [[float(label in row) for label in range(labels)] for row in targets]

    def linear_targets(self, targets: Sequence[Sequence[int]], labels: int) -> NDArray[np.int64]:
        return np.array(self.encode_targets(targets, labels), dtype=np.int64)

    def balanced_weights(self, labels: Sequence[Any], count: int) -> NDArray[np.float64]:
        """Weight of each label where it is true: rows without it by rows with it, so that both weigh alike."""
        rows = np.asarray(labels)
        present = rows.sum(axis=0)
        weights = np.ones(count)
        np.divide(len(rows) - present, present, out=weights, where=(present > 0) & (present < len(rows)))
        return weights

    def loss(self, logits: Any, labels: Any, weights: Any, smoothing: float) -> Any:
        from torch.nn import functional

        smoothed = labels * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights, reduction="sum")

    def reduce(self, logits: Any) -> Any:
        if hasattr(logits, "sigmoid"):
            return logits.double().sigmoid()
        from scipy.special import expit

        probabilities: NDArray[np.float64] = expit(np.asarray(logits, dtype=np.float64))
        return probabilities

    def decode(self, reduced: Any, labels: Sequence[str]) -> Decoded:
        probabilities = np.asarray(reduced, dtype=np.float64)
        return Decoded((probabilities > 0.5).astype(np.int8), probabilities)

    def truth(self, targets: Sequence[Any], labels: Sequence[str]) -> NDArray[np.int8]:
        return np.array(self.encode_targets(targets, len(labels)), dtype=np.int8)

    def checked(self, values: Any, labels: Sequence[str], ids: Sequence[str], truth: Any = None) -> NDArray[np.int8]:
        """A 1 for each label that a row has, a 0 for the others; `NO_ANSWER` for all where there is no valid answer."""
        array, shape = np.asarray(values), (len(ids), len(labels))
        silent = (array == NO_ANSWER).all(axis=-1)
        if array.shape != shape or not np.isin(array[~silent], (0, 1)).all() or (truth is None and silent.any()):
            name, also = "truth", ""
            if truth is not None:
                name, also = "predicted", f", or {NO_ANSWER} for all where there is no valid answer"
            raise InputError(f"{name} must have a 0 or 1 for each label of each row, shape {shape}{also}")
        return array.astype(np.int8)

    def named(self, values: Any, labels: Sequence[str]) -> list[Any]:
        return [
            None if row[0] == NO_ANSWER else [label for label, has in zip(labels, row, strict=True) if has]
            for row in values
        ]

    def numbered(self, names: Sequence[Any], labels: Sequence[str]) -> NDArray[np.int8]:
        index = {label: number for number, label in enumerate(labels)}
        rows = np.zeros((len(names), len(labels)), dtype=np.int8)
        for row, own in zip(rows, names, strict=True):
            row[slice(None) if own is None else [index[name] for name in own]] = NO_ANSWER if own is None else 1
        return rows

    def check_probabilities(self, values: NDArray[np.float64], answered: NDArray[np.bool_]) -> None:
        if not (np.isfinite(values).all() and (values >= 0).all() and (values <= answered[:, None]).all()):
            raise InputError(
                "probabilities must lie between 0 and 1, and be 0 where there is no valid answer; apply a sigmoid first"
            )

    def label_choices(self, answers: Answers) -> Sequence[LabelChoice]:
        """Of every label: without it, or with it."""
        given, likely = answers.truth.astype(np.int64), answers.probabilities
        return [
            LabelChoice(
                given[:, place], np.column_stack([1 - likely[:, place], likely[:, place]]), (f"not {name}", name)
            )
            for place, name in enumerate(answers.labels)
        ]

    def further_metrics(self, positive: int | None) -> tuple[Metric, ...]:
        return (
            Metric("micro_precision", _micro_sums(counts_precision)),
            Metric("micro_recall", _micro_sums(counts_recall)),
        )

    def details(self, answers: Answers) -> dict[str, Any]:
        from sklearn.metrics import precision_recall_fscore_support

        _, predicted, true = _hits(answers)
        columns = precision_recall_fscore_support(true, predicted, average=None, zero_division=0)
        return {"scores": score_rows(answers.labels, columns), "scores_of": "label"}

    def baseline(self, rows: Training, contents: Sequence[str], labels: Sequence[str]) -> Decoded:
        counts = Counter(tuple(row) for row in rows.targets)
        best = min(counts, key=lambda row: (-counts[row], row))
        return Decoded(self.truth([best] * len(contents), labels))


def _split(text: str, separator: str) -> list[Any]:
    """The labels in a cell of text: a list in JSON, or what the separator divides."""
    if text.strip().startswith("["):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            return listed
    return [part for part in text.split(separator) if part.strip()]


def _lists(columns: Sequence[Column]) -> list[Column]:
    """Columns with lists of labels; only those with the answers of annotators where there are such."""
    lists = [column for column in columns if _holds_labels(column)]
    return answered(lists) or lists


def _holds_labels(column: Column) -> bool:
    """Whether a column has lists, whose items are texts, whole numbers or truth values, and no name of texts."""
    if by_name([column], TEXT_NAMES) is not None:
        return False
    items = [item for row in column.lists for item in row]
    return bool(items) and all(
        isinstance(item, (str, int)) or (isinstance(item, float) and item.is_integer()) for item in items
    )


TASK = MultiLabel()
