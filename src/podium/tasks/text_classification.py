"""Text classification: each text has one of several labels.

Metrics: `macro_f1`, the unweighted mean of F1 over the labels that occur in truth or answers (scikit-learn's default);
`accuracy`; `log_loss` where probabilities are known. A text without a valid answer is missed by its true label, and has
the largest log loss there is. A ratio whose denominator is zero counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.tasks.annotations import answered
from podium.tasks.base import NO_ANSWER, Decoded, LabelChoice, Task, Training
from podium.tasks.columns import (
    LABEL_NAMES,
    ROWS_PER_LABEL,
    Column,
    ambiguous,
    by_name,
    is_number,
    read_label,
    with_few_values,
)
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
    mean_ratio,
    share_of,
)
from podium.text import shortened

_MANY = 20
_SEVERAL = 0.05
_LEAST_PROBABILITY = float(np.finfo(np.float64).eps)


def score_rows(names: Sequence[str], columns: Sequence[Any]) -> dict[str, dict[str, float | int]]:
    """The table `scores` of `Task.details`, from precision, recall, F1 and support of each of `names`."""
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in zip(names, *columns, strict=True)
    }


def _macro_f1_sums(answers: Answers) -> Additive:
    group, is_true, is_found = _cells(answers)
    return Additive(group, np.hstack([is_true & is_found, is_true.astype(np.float64) + is_found]), mean_f1)


def _macro_sums(answers: Answers, of_found: bool) -> Additive:
    """Macro precision, or else macro recall."""
    group, is_true, is_found = _cells(answers)
    table = np.hstack([is_true & is_found, is_found if of_found else is_true, is_true | is_found])
    return Additive(group, table.astype(np.float64), mean_ratio)


def _cells(answers: Answers) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """The cell of the confusion matrix of each row; for each cell which of the occurring classes is true, and found."""
    classes = len(answers.labels)
    cells, group = np.unique(answers.truth * (classes + 1) + answers.predicted + 1, return_inverse=True)
    true, found = np.divmod(cells, classes + 1)
    found -= 1
    occurring = np.setdiff1d(np.union1d(true, found), [NO_ANSWER])
    return group.reshape(-1), true[:, None] == occurring, found[:, None] == occurring


def _positive_sums(positive: int, statistic: Callable[[Floats], Floats]) -> Callable[[Answers], Additive]:
    """A statistic of the rows with one label: how many are right, predicted and true. No answer is the wrong answer."""

    def compute(answers: Answers) -> Additive:
        true = answers.truth == positive
        found = np.where(answers.predicted == NO_ANSWER, ~true, answers.predicted == positive)
        sums = grouped(np.column_stack([true & found, found, true]).astype(np.int64))
        return Additive(*sums, statistic, COUNTS_WHOLES[statistic])

    return compute


def _log_loss(answers: Answers) -> float:
    from sklearn.metrics import log_loss

    answered = answers.predicted != NO_ANSWER
    probabilities = np.asarray(answers.probabilities)[answered]
    normal = probabilities / probabilities.sum(axis=1, keepdims=True)
    classes = np.arange(len(answers.labels))
    if answered.all():
        return float(log_loss(answers.truth, normal, labels=classes))
    worst = -np.log(_LEAST_PROBABILITY) * np.count_nonzero(~answered)
    known = log_loss(answers.truth[answered], normal, labels=classes, normalize=False) if answered.any() else 0.0
    return float((known + worst) / len(answered))


def _log_loss_sums(answers: Answers) -> Additive:
    probabilities = np.asarray(answers.probabilities)
    totals = probabilities.sum(axis=1)
    of_truth = probabilities[np.arange(len(totals)), answers.truth]
    normal = np.divide(of_truth, totals, out=np.zeros_like(totals), where=totals > 0)
    return share_of(-np.log(np.clip(normal, _LEAST_PROBABILITY, None)))


class TextClassification(Task):
    """One label per text."""

    name = "text-classification"
    title = "text classification"
    every_kind = True
    rewritten = "labels with blanks around them, which were removed"
    problem_type = "single_label_classification"
    decoding = "single"
    metrics = (
        Metric("macro_f1", _macro_f1_sums, title="macro F1"),
        Metric("accuracy", lambda one: share_of((one.truth == one.predicted).astype(np.int64))),
        Metric(
            "log_loss",
            _log_loss_sums,
            _log_loss,
            better="lower",
            objective=False,
            probabilities=True,
            title="log loss (lower is better)",
        ),
    )

    def read_target(self, value: Any, content: Any, options: Mapping[str, Any]) -> tuple[str, int]:
        if isinstance(value, list) and len(value) < 2:
            value = value[0] if value else None
        label = read_label(value)
        return label, int(isinstance(value, str) and value != value.strip())

    def kinds(self, target: str) -> Collection[str]:
        return (target,)

    def kinds_problem(self, kinds: Sequence[str], rows: int, column: str) -> str | None:
        whole = all(kind.lstrip("-").isdigit() for kind in kinds)
        if whole or len(kinds) <= max(_MANY, rows // ROWS_PER_LABEL) or not all(map(is_number, kinds)):
            return super().kinds_problem(kinds, rows, column)
        return (
            f"a data set for {self.title} must have labels, but this looks like regression: dataset.label_column "
            f"({column!r}) has {len(kinds)} different numbers in {rows} rows, such as {shortened(kinds, 3)}; name "
            "another column, or put the numbers into a few classes first"
        )

    def label_doubts(self, counts: Mapping[str, int], column: str) -> list[str]:
        rows = sum(counts.values())
        for separator in (",", ";", "|", "#"):
            several = {
                label: number
                for label, number in counts.items()
                if len(parts := [one.strip() for one in label.split(separator)]) > 1
                and any(one in counts for one in parts)
            }
            if (found := sum(several.values())) >= max(1, _SEVERAL * rows):
                return [
                    f"labels that look like several labels in one cell, as {min(several)!r}: {found} of {rows} rows; "
                    f"if they are, give --task multi-label (dataset.options.label_separator={separator!r})"
                ]
        return []

    def recognises(self, columns: Sequence[Column]) -> bool:
        return True

    def choose_target(
        self, columns: Sequence[Column], content: str, given: str | None
    ) -> tuple[str, str, Sequence[str]]:
        seen = {column.name: sorted(column.labels) for column in columns}
        if given is not None:
            return given, "given", seen[given]
        single = [column for column in columns if column.labels and not column.several and column.name != content]
        lists = [column.name for column in single if column.lists]
        answers = answered(single)
        if (chosen := answers[0].name if len(answers) == 1 else by_name(answers, LABEL_NAMES)) is not None:
            return chosen, "what annotators answered", seen[chosen]
        if (name := by_name(single, LABEL_NAMES)) is not None:
            said = next((column.name for column in single if column.name == "answer"), "")
            if len(seen[name]) == 1 and {"accept", "reject"} <= set(seen[said] if said else ()):
                return said, f"whether a text was accepted as {seen[name][0]!r}", seen[said]
            return name, "by its name", seen[name]
        if len(lists) == 1:
            made = next(column.parts for column in single if column.name == lists[0])
            why = "a single 1 in each row seen, so they are classes" if made else "lists of one label"
            return lists[0], why, seen[lists[0]]
        few = with_few_values(single)
        if len(few) != 1:
            raise ambiguous("label", "--label-column", columns)
        return few[0], f"{len(seen[few[0]])} different values", seen[few[0]]

    def classes(self, targets: Sequence[int]) -> NDArray[np.int64]:
        return np.asarray(targets)

    def reduce(self, logits: Any) -> Any:
        if hasattr(logits, "softmax"):
            return logits.double().softmax(dim=-1)
        powers = np.exp(np.asarray(logits, dtype=np.float64) - logits.max())
        return powers / powers.sum()

    def decode(self, reduced: Any, labels: Sequence[str]) -> Decoded:
        probabilities = np.asarray(reduced, dtype=np.float64)
        return Decoded(probabilities.argmax(axis=1), probabilities)

    def checked(self, values: Any, labels: Sequence[str], ids: Sequence[str], truth: Any = None) -> NDArray[np.int64]:
        name, array = "truth" if truth is None else "predicted", np.asarray(values)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"{name} must be a 1-d integer array, but got {array.dtype} of shape {array.shape}")
        if array.min() < (0 if truth is None else NO_ANSWER) or array.max() >= len(labels):
            also = "" if truth is None else f", or be {NO_ANSWER} where there is no valid answer"
            raise InputError(
                f"{name} must lie in 0..{len(labels) - 1} (indices into labels){also}, "
                f"but spans {array.min()}..{array.max()}"
            )
        return array.astype(np.int64)

    def named(self, values: Any, labels: Sequence[str]) -> list[str | None]:
        names: list[str | None] = [*labels, None]  # NO_ANSWER is the last one
        return [names[value] for value in values]

    def numbered(self, names: Sequence[Any], labels: Sequence[str]) -> NDArray[np.int64]:
        index: dict[str | None, int] = {label: number for number, label in enumerate(labels)}
        index[None] = NO_ANSWER
        return np.array([index[name] for name in names], dtype=np.int64)

    def check_probabilities(self, values: NDArray[np.float64], answered: NDArray[np.bool_]) -> None:
        if not (
            np.isfinite(values).all() and (values >= 0).all() and np.allclose(values.sum(axis=1), answered, atol=1e-3)
        ):
            raise InputError(
                "probabilities must be finite, not negative, and sum to 1 per row, or to 0 where there is no valid "
                "answer; apply softmax first"
            )

    def label_choices(self, answers: Answers) -> Sequence[LabelChoice]:
        return (LabelChoice(answers.truth, answers.probabilities, answers.labels),)

    def further_metrics(self, positive: int | None) -> tuple[Metric, ...]:
        """Macro precision and recall; and of the positive label, of which a text without a valid answer is a wrong one.

        It is missed where it has the label, and wrongly found where it has not.
        """
        macro = (
            Metric("macro_precision", lambda one: _macro_sums(one, of_found=True)),
            Metric("macro_recall", lambda one: _macro_sums(one, of_found=False)),
        )
        if positive is None:
            return macro
        return (
            *macro,
            Metric("precision", _positive_sums(positive, counts_precision)),
            Metric("recall", _positive_sums(positive, counts_recall)),
            Metric("f1", _positive_sums(positive, counts_f1), title="F1"),
        )

    def details(self, answers: Answers) -> dict[str, Any]:
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        classes = np.arange(len(answers.labels))
        matrix = confusion_matrix(answers.truth, answers.predicted, labels=classes)
        columns = precision_recall_fscore_support(answers.truth, answers.predicted, labels=classes, zero_division=0)
        return {
            "labels": list(answers.labels),
            "confusion": matrix.tolist(),
            "scores": score_rows(answers.labels, columns),
            "scores_of": "label",
        }

    def baseline(self, rows: Training, contents: Sequence[str], labels: Sequence[str]) -> Decoded:
        counts = np.bincount(np.asarray(rows.targets), minlength=len(labels))
        return self.decode(np.tile(counts / counts.sum(), (len(contents), 1)), labels)


TASK = TextClassification()
