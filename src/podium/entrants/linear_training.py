"""Fits a linear model, writes its package, and scores it as it will be deployed.

This module is loaded only where models are trained, so scikit-learn is imported at the top.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier

from podium.config.schema import LinearConfig
from podium.entrants.linear import LinearSpec
from podium.errors import DataError, OutOfMemory
from podium.evaluation.metrics import all_metrics
from podium.inference.linear_predictor import LinearPredictor
from podium.inference.predictor import PredictorSpec, predict
from podium.keys import digest_tree
from podium.models.linear_package import ABOUT, SHORTEST_CHARACTERS, TENSORS, word_features
from podium.records.plan import Pace
from podium.tasks import TASKS
from podium.tasks.base import Task, Training
from podium.training.launch import TrainingResult
from podium.training.rows import model_card, open_data, rows_to_train, save_fold_predictions

MEASURED_ROWS = 1000
"""Rows on which a pace is measured."""

NEVER = -1000.0
"""Log-odds of a label that no row has: its probability is 0 in 64 bits."""

Floats = NDArray[np.float64]


class Inputs(NamedTuple):
    """What a linear model sees of texts, or of the words of all sentences in order.

    Attributes:
        settings: `features` of the package.
        matrix: sparse, of shape (inputs, features).
        idf: weight of each feature; None where features have none.
    """

    settings: dict[str, Any]
    vocabulary: tuple[str, ...]
    matrix: Any
    idf: Floats | None = None


class Solution(NamedTuple):
    """What was fitted.

    Attributes:
        coefficients: of shape (features, labels).
        intercepts: of shape (labels,).
        passes: how often the inputs were gone through.
    """

    coefficients: Floats
    intercepts: Floats
    passes: int


@dataclass(frozen=True)
class LinearModel:
    """A fitted model, see `podium.models.linear_package`."""

    task: Task
    labels: tuple[str, ...]
    inputs: Inputs
    solution: Solution

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.solution.coefficients.size + self.solution.intercepts.size

    def save(self, folder: Path) -> None:
        """Write the package into `folder`, made when needed; equal models give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "task": self.task.name,
            "decoding": self.task.decoding,
            "labels": list(self.labels),
            "features": self.inputs.settings,
            "vocabulary": list(self.inputs.vocabulary),
        }
        (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        tensors = {"coefficients": self.solution.coefficients, "intercepts": self.solution.intercepts}
        if self.inputs.idf is not None:
            tensors["idf"] = self.inputs.idf
        single = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
        (folder / TENSORS).write_bytes(save(single))


def fit(
    task: Task, labels: Sequence[str], rows: Training, config: LinearConfig, seed: int, threads: int = 1
) -> LinearModel:
    """Fit a linear model; equal arguments give equal models.

    Of several labels one is the answer: multinomial logistic regression. Any number of labels is: one logistic
    regression per label. For words it is one regression per label as well, by stochastic gradients, since 200,000 words
    take a full-batch solver minutes.

    Args:
        seed: of the order in which words are gone through.
        threads: how many labels of words are fitted at once.
    """
    targets = task.linear_targets(rows.targets, len(labels))
    if task.features == "terms":
        inputs = _terms(rows.contents, config)
        classifier = partial(LogisticRegression, C=config.C, solver="newton-cg")
    else:
        inputs = _words(rows.contents, config)
        classifier = partial(
            SGDClassifier,
            loss="log_loss",
            alpha=1 / (config.C * len(targets)),
            max_iter=config.epochs,
            tol=None,
            random_state=seed % (1 << 32),
            n_jobs=threads,
        )
    weights = np.ones(len(labels))
    if config.class_weights == "balanced":
        weights = task.balanced_weights(task.encode_targets(rows.targets, len(labels)), len(labels))
    solve = _any_of if targets.ndim == 2 else _one_of
    return LinearModel(task, tuple(labels), inputs, solve(classifier, inputs.matrix, targets, weights))


def train(spec: LinearSpec) -> TrainingResult:
    """See `podium.entrants.base.EntrantKind.train`."""
    started = time.monotonic()
    try:
        return _train(spec, started)
    except MemoryError as error:
        raise OutOfMemory(
            "a linear model must fit into memory, but it ran out; raise min_df, or lower max_features or word_ngrams"
        ) from error


def _train(spec: LinearSpec, started: float) -> TrainingResult:
    artifact, task, output = open_data(spec), TASKS.get(spec.task), spec.output
    chosen = artifact.development.select(rows_to_train(spec, artifact))
    held = artifact.test if spec.fold is None else artifact.development.select(artifact.fold(spec.fold)[1])
    if not len(chosen) or not len(held):
        raise DataError(f"there must be rows to train on and to score, but {spec.data} has none of one kind")
    rows = Training(list(chosen[task.content]), list(chosen[task.target]))
    begun = time.monotonic()
    model = fit(task, spec.labels, rows, spec.config, spec.seed, spec.threads)
    seconds = time.monotonic() - begun
    target, partial = output / "model", output / ".model"
    for folder in (target, partial):
        shutil.rmtree(folder, ignore_errors=True)
    model.save(partial)
    predictions = predict(load(partial, spec.task, spec.labels), spec.task, spec.labels, held)
    metrics = all_metrics(predictions)
    if spec.fold is None or spec.keep_model:
        scored = "test" if spec.fold is None else "held-out"
        card = _card(spec, model, metrics, {"train": len(chosen), scored: len(held)})
        (partial / "README.md").write_text(card)
        partial.rename(target)
    shutil.rmtree(partial, ignore_errors=True)
    if spec.fold is None:
        predictions.save(output / "predictions")
    else:
        save_fold_predictions(predictions, output)
    return TrainingResult(
        metrics=metrics,
        epoch=model.solution.passes,
        steps=model.solution.passes,
        seconds=time.monotonic() - started,
        samples_per_second=len(chosen) / max(seconds, 1e-9),
    )


def measure(spec: LinearSpec) -> Pace:
    """The pace on some of the rows: of texts the mean of both kinds of terms, since a search tries both."""
    artifact, task = open_data(spec), TASKS.get(spec.task)
    rows = np.random.default_rng(spec.seed).permutation(len(artifact.development))[:MEASURED_ROWS]
    chosen = artifact.development.select(rows)
    training = Training(list(chosen[task.content]), list(chosen[task.target]))
    analyzers = ("word", "char_wb") if task.features == "terms" else ("word",)
    begun = time.monotonic()
    for analyzer in analyzers:
        config = spec.config.model_copy(update={"analyzer": analyzer})
        model = fit(task, spec.labels, training, config, spec.seed, spec.threads)
    fitted = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        model.save(Path(scratch))
        predict(load(Path(scratch), spec.task, spec.labels), spec.task, spec.labels, chosen)
    return Pace(
        start_seconds=0.0,
        train_seconds=(fitted - begun) / len(analyzers) / len(chosen),
        predict_seconds=(time.monotonic() - fitted) / len(chosen),
    )


def load(folder: Path, task: str, labels: tuple[str, ...]) -> LinearPredictor:
    """The predictor of a saved model, which is checked for its task and labels."""
    options = {"trust_remote_code": False, "device": "cpu", "threads": 1}
    return LinearPredictor(PredictorSpec(model_dir=folder, variant="eager", task=task, labels=labels, **options))


def _card(spec: LinearSpec, model: LinearModel, metrics: dict[str, float], rows: dict[str, int]) -> str:
    example = json.dumps([TASKS.get(spec.task).example])
    use = "from pathlib import Path\nfrom podium.models.linear_package import LinearPackage\n\n"
    return model_card(
        spec,
        library="numpy",
        summary=f"Linear model by Podium: {model.parameters:,} parameters, {len(model.inputs.vocabulary):,} features.",
        use=f'{use}model = LinearPackage(Path("DIRECTORY"))\nprint(model({example}))',
        data_digest=spec.data_digest or digest_tree(spec.data),
        rows=rows,
        metrics=metrics,
    )


def _terms(texts: Sequence[str], config: LinearConfig) -> Inputs:
    words = config.analyzer == "word"
    shortest, longest = (1, config.word_ngrams) if words else (SHORTEST_CHARACTERS, config.char_ngrams)
    vectorizer = TfidfVectorizer(
        analyzer=config.analyzer,
        ngram_range=(shortest, longest),
        token_pattern=r"\S+" if words else None,
        sublinear_tf=True,
        min_df=config.min_df,
        max_features=config.max_features,
    )
    settings = {"analyzer": config.analyzer, "longest": longest}
    try:
        matrix = vectorizer.fit_transform(texts)
    except ValueError:  # its only complaint about texts and checked settings: no term is in min_df of the texts
        return Inputs(settings, (), csr_matrix((len(texts), 0)), np.zeros(0))
    return Inputs(settings, tuple(vectorizer.get_feature_names_out().tolist()), matrix, vectorizer.idf_)


def _words(sentences: Sequence[Sequence[str]], config: LinearConfig) -> Inputs:
    settings = {"window": config.window}
    words = (names for sentence in sentences for names in word_features(sentence, **settings))
    found: dict[str, int] = {}
    flat = np.fromiter((found.setdefault(name, len(found)) for names in words for name in names), dtype=np.int32)
    vocabulary = tuple(sorted(found))
    places = np.empty(len(found), dtype=np.int32)
    places[[found[name] for name in vocabulary]] = np.arange(len(found))
    count = sum(map(len, sentences))
    starts = np.arange(0, flat.size + 1, flat.size // count)
    matrix = csr_matrix((np.ones(flat.size), places[flat], starts), shape=(count, len(vocabulary)))
    matrix.sum_duplicates()
    return Inputs(settings, vocabulary, matrix)


def _one_of(classifier: Callable[..., Any], matrix: Any, classes: NDArray[np.int64], weights: Floats) -> Solution:
    """A model where each input has one label, which is given by its number.

    Args:
        weights: of each label in the loss.
    """
    counts = np.bincount(classes, minlength=len(weights))
    present = np.flatnonzero(counts)
    coefficients, intercepts = np.zeros((matrix.shape[1], len(weights))), np.full(len(weights), NEVER)
    if len(present) < 2 or not matrix.shape[1]:
        intercepts[present] = np.log(counts[present] / counts.sum())
        return Solution(coefficients, intercepts, 1)
    fitted = classifier(class_weight={int(label): float(weights[label]) for label in present}).fit(matrix, classes)
    if len(present) == 2:
        # scikit-learn has one function for two classes: the log-odds of the second one.
        coefficients[:, present[1]], intercepts[present] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        coefficients[:, present], intercepts[present] = fitted.coef_.T, fitted.intercept_
    return Solution(coefficients, intercepts, int(np.max(fitted.n_iter_)))


def _any_of(classifier: Callable[..., Any], matrix: Any, truth: NDArray[np.int64], weights: Floats) -> Solution:
    """A model where each input has any number of labels: one model of two classes per label, without and with it."""
    alone = [
        _one_of(classifier, matrix, truth[:, label], np.array([1.0, weight])) for label, weight in enumerate(weights)
    ]
    return Solution(
        np.column_stack([one.coefficients[:, 1] for one in alone]),
        np.array([one.intercepts[1] - one.intercepts[0] for one in alone]),
        max(one.passes for one in alone),
    )
