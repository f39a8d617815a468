from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from podium.evaluation.predictions import Predictions

LABELS = ("business", "sport", "tech")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.fixture
def classified() -> Callable[..., Predictions]:
    """Builds predictions of three classes in which about `accuracy` of the rows are right."""

    def build(rows: int = 300, accuracy: float = 0.8, seed: int = 0, probabilities: bool = True) -> Predictions:
        truth = np.random.default_rng(99).choice(3, size=rows, p=[0.6, 0.3, 0.1])
        generator = np.random.default_rng(seed)
        predicted = np.where(generator.random(rows) < accuracy, truth, generator.integers(3, size=rows))
        given = generator.dirichlet(np.ones(3), size=rows) if probabilities else None
        return Predictions("text-classification", LABELS, tuple(map(str, range(rows))), truth, predicted, given)

    return build


@pytest.fixture
def tagged() -> Callable[..., Predictions]:
    """Builds tag predictions in which about `kept` of the tags are right and the others `O`."""

    def build(rows: int = 200, kept: float = 0.9, seed: int = 0) -> Predictions:
        source = np.random.default_rng(7)
        truth = [[TAGS[tag] for tag in source.choice(5, source.integers(1, 20))] for _ in range(rows)]
        generator = np.random.default_rng(seed)
        predicted = [[tag if generator.random() < kept else "O" for tag in tags] for tags in truth]
        return Predictions("ner", TAGS, tuple(map(str, range(rows))), truth, predicted)

    return build
