"""Is a score better than guessing? A permutation test of the answers of one model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from podium.evaluation.metrics import metric_of, score
from podium.evaluation.predictions import Predictions
from podium.records import Interval

METHOD = "permutation of the answers"
_FEWEST, _MOST = 100, 1000
_ROWS = 5_000_000
"""Rows that are scored in all, of which large data sets leave few permutations; their scores differ little."""


def beyond_guessing(predictions: Predictions, metric: str, confidence: float, seed: int) -> tuple[Interval, float]:
    """The score minus that of guessing, and the two-sided p-value of no difference.

    To guess is to give the model's own answers to the rows by chance, so a model whose answers have nothing to do with
    the rows scores like that, whatever the metric and however often it gives each answer (Ojala and Garriga,
    "Permutation Tests for Studying Classifier Performance", Journal of Machine Learning Research 11, 2010, test 1). A
    baseline of the most frequent label is no such mark for macro F1, which guessing beats.

    The interval is of the score minus the scores of the permutations: it lies above zero where the score exceeds all
    but a share of (1 - confidence) / 2 of them.

    Args:
        metric: one that may be an objective, so that it needs no probabilities.

    Raises:
        InputError: the metric is not supported by the predictions.
    """
    generator, rows = np.random.default_rng(seed), len(predictions)
    draws = int(np.clip(_ROWS // rows, _FEWEST, _MOST))
    one, own = metric_of(predictions, metric), score(predictions, metric)
    guessed = np.empty(draws)
    answers = predictions.predicted
    for draw in range(draws):
        order = generator.permutation(rows)
        shuffled = answers[order] if isinstance(answers, np.ndarray) else [answers[row] for row in order]
        guessed[draw] = one.value(
            SimpleNamespace(labels=predictions.labels, truth=predictions.truth, predicted=shuffled, probabilities=None)
        )
    tail = (1 - confidence) / 2
    low, high = (own - float(bound) for bound in np.quantile(guessed, [1 - tail, tail]))
    at_least = min(np.count_nonzero(guessed >= own), np.count_nonzero(guessed <= own))
    difference = Interval(value=own - float(guessed.mean()), low=low, high=high, confidence=confidence, method=METHOD)
    return difference, min(1.0, 2 * (1 + float(at_least)) / (1 + draws))
