"""What is evaluated: the truth and the answers of one model, with every metric that they support as sums over rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError
from podium.evaluation.calibration import calibration_error
from podium.evaluation.metrics import metrics_of
from podium.evaluation.predictions import Predictions
from podium.evaluation.texts import TEXT_METRICS, TextAnswers
from podium.tasks import TASKS
from podium.tasks.metrics import Additive, Integers, Metric
from podium.text import did_you_mean, shortened

FREE_TEXT = "text"
"""The name of what is no task of the registry: answers that are texts, each with one reference."""

_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Scored:
    """One metric of some rows; `exact` is its value where that is known better than from the sums."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    sums: Additive
    exact: float | None = None

    def of(self, rows: Integers) -> Additive:
        return replace(self.sums, group=self.sums.group[rows])


@dataclass(frozen=True, eq=False)
class Answered:
    """The rows of one model, with truth and answers by name.

    Attributes:
        name: as the user asked for it.
        task: of the registry, or `FREE_TEXT`.
        answers: None where there is no valid answer.
        right: whether each answer is right as a whole, shape (rows,).
        columns: what the rows can be sliced by, in their order.
        predictions: None for free text.
        positive: the label that is looked for; empty where all count alike.
        outcomes: how many rows ended in which way, where that is known.
    """

    name: str
    model: str
    source: str
    task: str
    ids: tuple[str, ...]
    truth: Sequence[Any]
    answers: Sequence[Any]
    right: NDArray[np.bool_]
    metrics: tuple[Scored, ...]
    documents: tuple[str, ...] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    predictions: Predictions | None = None
    positive: str = ""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unanswered(self) -> int:
        return sum(one is None for one in self.answers)


def of_predictions(predictions: Predictions, positive: str = "", **about: Any) -> Answered:
    """What predictions support.

    Args:
        positive: the label that precision, recall and F1 are also given of.

    Raises:
        InputError: there is no such label, or rows have several labels.
    """
    task = TASKS.get(predictions.task)
    if positive and task.decoding != "single":
        raise InputError(
            f"--positive must go with one label per row, but {about.get('name', '')} is of {task.title}: its table of "
            "scores has each label"
        )
    if positive and positive not in predictions.labels:
        raise InputError(
            f"--positive must be one of the labels {shortened(predictions.labels, _SHOWN)}, but got {positive!r}"
            f"{did_you_mean(positive, predictions.labels)}"
        )
    place = predictions.labels.index(positive) if positive else None
    known = [*metrics_of(predictions).values(), *task.further_metrics(place)]
    metrics = [_scored(metric, predictions) for metric in known]
    if predictions.probabilities is not None:
        error = calibration_error(predictions, place)
        metrics.append(Scored("calibration_error", "calibration error (ECE, lower is better)", "lower", error))
    truth, answers = predictions.named("truth"), predictions.named("predicted")
    return Answered(
        task=predictions.task,
        ids=predictions.ids,
        truth=truth,
        answers=answers,
        right=np.array([one == true for one, true in zip(answers, truth, strict=True)], dtype=np.bool_),
        metrics=tuple(metrics),
        documents=predictions.documents,
        predictions=predictions,
        positive=positive,
        **about,
    )


def of_texts(ids: Sequence[str], truth: Sequence[str], answers: Sequence[str | None], **about: Any) -> Answered:
    """Free texts, each with its reference; `about` has further fields of `Answered`."""
    texts = TextAnswers(truth, answers)
    return Answered(
        task=FREE_TEXT,
        ids=tuple(ids),
        truth=truth,
        answers=answers,
        right=texts.matches,
        metrics=tuple(_scored(metric, texts) for metric in TEXT_METRICS),
        **about,
    )


def outcomes_of(lines: Sequence[Any]) -> dict[str, int]:
    """How many rows ended in which way, the most frequent first, from the lines of a journal."""
    return dict(Counter(line.outcome for line in lines).most_common())


def _scored(metric: Metric, answers: Any) -> Scored:
    exact = metric.exact(answers) if metric.exact else None
    return Scored(
        metric.name, metric.title or metric.name.replace("_", " "), metric.better, metric.sums(answers), exact
    )
