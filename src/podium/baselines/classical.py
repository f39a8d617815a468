"""Baselines without a neural network: trained on the development rows, asked about the held-out ones.

`majority`: the most frequent class for every text; the most frequent tag of each token, for tokens never seen the most
frequent tag of all. `linear`: logistic regression on TF-IDF of words and word pairs; for tags, on the token, its
affixes, its shape and its neighbours, each token by itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from podium.config.schema import Task
from podium.data.artifact import DataArtifact, documents_of
from podium.evaluation.predictions import Predictions

Kind = Literal["majority", "linear"]
Sentence = Sequence[str]

_MAX_FEATURES = 100_000
_HASHED_FEATURES = 1 << 20
_EPOCHS = 10


def predict(kind: Kind, data: DataArtifact, seed: int) -> Predictions:
    """Train a baseline on train and validation rows, and predict the test rows; equal arguments give equal answers.

    Args:
        kind: which baseline.
        data: prepared rows.
        seed: of the order in which the linear tagger sees tokens.
    """
    return _PREDICT[data.task](kind, data, seed)


def _classify(kind: Kind, data: DataArtifact, seed: int) -> Predictions:
    development, test = data.development, data.test
    classes = np.asarray(development["label"])
    truth = np.asarray(test["label"])
    counts = np.bincount(classes, minlength=len(data.labels))
    if kind == "majority" or np.count_nonzero(counts) < 2:
        probabilities = np.tile(counts / counts.sum(), (len(test), 1))
    else:
        probabilities = _tfidf_regression(list(development["text"]), classes, list(test["text"]), len(data.labels))
    predicted = probabilities.argmax(axis=1)
    return Predictions(data.task, data.labels, tuple(test["id"]), truth, predicted, probabilities)


def _tfidf_regression(texts: list[str], classes: np.ndarray, asked: list[str], count: int) -> np.ndarray:
    """Probabilities (rows asked, classes); 0 for a class that no text has."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # Any run of characters without white space is a token, so that no script is left without features.
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), max_features=_MAX_FEATURES, token_pattern=r"\S+")
    model = make_pipeline(words, LogisticRegression(C=10.0, solver="newton-cg")).fit(texts, classes)
    found = np.zeros((len(asked), count))
    found[:, model.classes_] = model.predict_proba(asked)
    return found


def _tag(kind: Kind, data: DataArtifact, seed: int) -> Predictions:
    development, test = data.development, data.test
    sentences, tags = list(development["tokens"]), list(development["tags"])
    asked = list(test["tokens"])
    found = _frequent_tags(sentences, tags, asked) if kind == "majority" else _tagger(sentences, tags, asked, seed)
    names = data.labels
    truth = [[names[tag] for tag in row] for row in test["tags"]]
    predicted = [[names[tag] for tag in row] for row in found]
    return Predictions(data.task, names, tuple(test["id"]), truth, predicted, documents=documents_of(test))


def _frequent_tags(sentences: list[Sentence], tags: list[Sequence[int]], asked: list[Sentence]) -> list[list[int]]:
    of_token: dict[str, Counter[int]] = defaultdict(Counter)
    overall: Counter[int] = Counter()
    for sentence, row in zip(sentences, tags, strict=True):
        overall.update(row)
        for token, tag in zip(sentence, row, strict=True):
            of_token[token][tag] += 1
    best = {token: _most_frequent(counts) for token, counts in of_token.items()}
    default = _most_frequent(overall)
    return [[best.get(token, default) for token in sentence] for sentence in asked]


def _most_frequent(counts: Counter[int]) -> int:
    return min(counts, key=lambda tag: (-counts[tag], tag))


def _tagger(sentences: list[Sentence], tags: list[Sequence[int]], asked: list[Sentence], seed: int) -> list[list[int]]:
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import SGDClassifier

    flat = np.concatenate([np.asarray(row) for row in tags])
    if len(np.unique(flat)) < 2:
        return [[int(flat[0])] * len(sentence) for sentence in asked]
    hasher = FeatureHasher(_HASHED_FEATURES, input_type="string", alternate_sign=False)
    # Stochastic: CoNLL-2003 has 200,000 tokens, on which a full-batch solver takes minutes.
    model = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=_EPOCHS, tol=None, random_state=seed)
    model.fit(hasher.transform(_features(sentences)), flat)
    answers = iter(model.predict(hasher.transform(_features(asked))).tolist())
    return [[next(answers) for _ in sentence] for sentence in asked]


def _features(sentences: list[Sentence]) -> Iterator[list[str]]:
    """Features of every token, sentence after sentence."""
    for sentence in sentences:
        padded = ["", *sentence, ""]
        for before, token, after in zip(padded, sentence, padded[2:], strict=False):
            yield [
                f"word={token}",
                f"lower={token.lower()}",
                f"before={before.lower()}",
                f"after={after.lower()}",
                f"shape={_shape(token)}",
                f"before_shape={_shape(before)}",
                f"after_shape={_shape(after)}",
                *(f"prefix={token[:size]}" for size in (2, 3)),
                *(f"suffix={token[-size:]}" for size in (2, 3)),
            ]


def _shape(token: str) -> str:
    """Letters and digits by kind, runs made one: `Xx` for Rome, `d` for 42, `^` beyond a sentence."""
    kinds = ["X" if char.isupper() else "x" if char.islower() else "d" if char.isdigit() else char for char in token]
    return "".join(kind for kind, previous in zip(kinds, ["", *kinds], strict=False) if kind != previous) or "^"


_PREDICT: dict[Task, Callable[[Kind, DataArtifact, int], Predictions]] = {"text-classification": _classify, "ner": _tag}
