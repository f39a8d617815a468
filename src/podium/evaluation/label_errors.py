"""Rows whose given label the models contradict with confidence.

Confident learning (Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal
of Artificial Intelligence Research 70, 2021), pruned by noise rate: of the rows given label i, as many are suspected
for label j as the confident joint estimates to be j in truth, and of these the ones with the largest margin. Each row
must have been predicted by a model that did not learn from it.

The probabilities of several models are averaged after each was calibrated by a temperature (Guo et al., On Calibration
of Modern Neural Networks, 2017), so that a model that is too sure of itself does not outvote the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.evaluation.predictions import Predictions
from podium.records import LabelCheck, LabelIssue
from podium.tasks import TASKS
from podium.tasks.base import LabelChoice

_CHANGED, _EXCHANGED = 0.05, 0.1
"""Share of the labels that the check changes, and of the rows among which it exchanges them at most."""
_REPEATS = 5
_LEAST_PROBABILITY = 1e-12
_ROUNDING = 1e-9
"""By which a mean of equal probabilities may exceed them."""
_LEAST_ROWS = 20
"""A label with fewer rows is not known well enough for them to be suspected: models give most of them another one."""
_LARGEST_POWER = 3.0
"""Bound of the natural logarithm of a temperature."""

Floats = NDArray[np.float64]


class Suspect(NamedTuple):
    """A row whose label looks wrong: its place, given and likely label, and the probabilities of both."""

    row: int
    given: int
    likely: int
    given_probability: float
    likely_probability: float


def label_issues(models: Mapping[str, Predictions], seed: int) -> tuple[list[LabelIssue], LabelCheck]:
    """The labels that look wrong, the clearest first, and how well planted ones are found on the same predictions.

    Args:
        models: out-of-fold predictions with probabilities of the same rows, by name of the model.
        seed: of the labels that the check exchanges.
    """
    first, *others = models.values()
    aligned = [first, *(other.aligned_to(first.ids) for other in others)]
    task, draw = TASKS.get(first.task), np.random.default_rng(seed)
    issues, checks = [], [0, 0, 0]
    for choices in zip(*(task.label_choices(one) for one in aligned), strict=True):
        own = [calibrated(choice) for choice in choices]
        given, names, mean = choices[0].given, choices[0].names, np.mean(own, axis=0)
        for found in suspects(given, mean):
            agreeing = tuple(
                name for name, one in zip(models, own, strict=True) if one[found.row].argmax() == found.likely
            )
            issue = LabelIssue(
                row=first.ids[found.row],
                given=names[found.given],
                suggested=names[found.likely],
                given_probability=found.given_probability,
                suggested_probability=found.likely_probability,
                agreeing=agreeing,
            )
            issues.append(issue)
        checks = [total + more for total, more in zip(checks, _planted(given, mean, draw), strict=True)]
    issues.sort(key=lambda one: one.given_probability - one.suggested_probability)
    return issues, LabelCheck(changed=checks[0], found=checks[1], suspected=checks[2])


def suspects(given: Sequence[int] | NDArray[np.int64], probabilities: Floats) -> list[Suspect]:
    """The rows whose label looks wrong, the clearest first.

    Args:
        given: label index of each row.
        probabilities: out-of-fold probabilities of each row, shape (rows, labels).
    """
    labels = np.asarray(given)
    joint = _confident_joint(labels, probabilities)
    sizes = np.bincount(labels, minlength=len(joint))
    expected = np.round(joint / np.maximum(joint.sum(axis=1, keepdims=True), 1) * sizes[:, None]).astype(np.int64)
    np.fill_diagonal(expected, 0)
    expected[sizes < _LEAST_ROWS] = 0
    best, found = probabilities.argmax(axis=1), []
    for one, other in np.argwhere(expected):
        rows = np.flatnonzero(labels == one)
        margins = probabilities[rows, other] - probabilities[rows, one]
        chosen = rows[np.argsort(-margins, kind="stable")[: expected[one, other]]]
        found += [
            Suspect(int(row), int(one), int(other), *probabilities[row, [one, other]].tolist())
            for row in chosen
            if best[row] == other
        ]
    return sorted(found, key=lambda item: (item.given_probability - item.likely_probability, item.row))


def calibrated(choice: LabelChoice) -> Floats:
    """The probabilities of a model at the temperature at which the given labels are likeliest."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax, softmax

    rows, logs = np.arange(len(choice.given)), np.log(np.maximum(choice.probabilities, _LEAST_PROBABILITY))

    def loss(power: float) -> float:
        return -float(log_softmax(np.exp(power) * logs, axis=1)[rows, choice.given].mean())

    bounds = (-_LARGEST_POWER, _LARGEST_POWER)
    power = minimize_scalar(loss, bounds=bounds, method="bounded").x
    result: Floats = softmax(np.exp(power) * logs, axis=1)
    return result


def _planted(given: NDArray[np.int64], probabilities: Floats, draw: np.random.Generator) -> tuple[int, int, int]:
    """How many labels were changed, how many of these were then suspected, and how many were suspected in all.

    The labels of random rows are exchanged among them, so that each label stays as frequent as it is.
    """
    alike = float(((np.bincount(given) / len(given)) ** 2).sum())
    count = round(min(_EXCHANGED, _CHANGED / max(1 - alike, _CHANGED)) * len(given))
    changed, found, suspected = 0, 0, 0
    for _ in range(_REPEATS):
        rows = draw.permutation(len(given))[:count]
        labels = given.copy()
        labels[rows] = given[draw.permutation(rows)]
        wrong = labels != given
        named = [item.row for item in suspects(labels, probabilities)]
        changed, found, suspected = changed + int(wrong.sum()), found + int(wrong[named].sum()), suspected + len(named)
    return changed, found, suspected


def _confident_joint(labels: NDArray[np.int64], probabilities: Floats) -> Floats:
    """Counts by given label (rows) and by the label that a row has with at least the usual confidence (columns).

    The usual confidence in a label is the mean probability of it in the rows that are given it.
    """
    count = probabilities.shape[1]
    usual = np.array([probabilities[labels == one, one].mean() if (labels == one).any() else 2 for one in range(count)])
    confident = np.where(probabilities >= usual - _ROUNDING, probabilities, -1.0)
    known = confident.max(axis=1) >= 0
    joint = np.zeros((count, count))
    np.add.at(joint, (labels[known], confident[known].argmax(axis=1)), 1)
    return joint
