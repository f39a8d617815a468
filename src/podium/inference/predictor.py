"""Loaded models that turn rows into labels, one class per deployable variant, and the one way to predict a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from podium.config.benchmark import VariantName
from podium.errors import ModelError
from podium.evaluation.predictions import Predictions
from podium.records.base import Frozen
from podium.tasks import TASKS
from podium.tasks.base import Decoded
from podium.text import shortened

LINEAR_PACKAGE = "linear.json"
"""The file that tells a linear model."""

PROMPT_PACKAGE = "prompt.json"
"""The file that tells a prompted model."""

Row = str | list[str]
"""A text, or the tokens of a sentence."""

Logits = list[NDArray[np.float32]]
"""One array per row: shape (labels,) of a text, (words, labels) of a list of words, NaN where a word is cut off."""

SHOWN_NAMES = 5

_BATCH = 32


def row_length(row: Row) -> int:
    """Length of a row in characters; a token counts one more for the separator behind it."""
    return len(row) if isinstance(row, str) else sum(len(token) + 1 for token in row)


class PredictorSpec(Frozen):
    """Which variant of which model to load, and how to run it.

    Attributes:
        model_dir: directory of the variant: a model with its tokenizer, or an exported package.
        labels: the label names that the model must have, in order; None to accept the model's own.
        task: what the data is labelled for, or `generation`.
        device: `cpu` or `cuda`, already resolved.
        threads: number of compute threads.
    """

    model_dir: Path
    variant: VariantName
    task: str
    labels: tuple[str, ...] | None
    trust_remote_code: bool
    device: str
    threads: int

    def check_labels(self, names: tuple[str, ...]) -> None:
        """Raise ModelError if the labels of the loaded model are not those of the data."""
        if self.labels is not None and names != self.labels:
            raise ModelError(
                f"the model's labels must be those of the data, but {self.model_dir} has "
                f"{shortened(names, SHOWN_NAMES)} and the data has {shortened(self.labels, SHOWN_NAMES)}; "
                "benchmark a model that was trained on this data"
            )


class LoadedModel(Protocol):
    """A model with its tokenizer in the memory of this process."""

    def __init__(self, spec: PredictorSpec):
        """Load model and tokenizer onto the device.

        Raises:
            ModelError: files are missing, damaged, do not fit each other, or are for another task or other labels.
            OSError, ValueError: a file is missing or cannot be read.
        """

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        """Set the threads of this process and import all code, so that the load time is that of the weights.

        Raises OSError or ValueError if the directory does not say what model it holds.
        """

    def peak_device_mb(self) -> float | None:
        """Largest memory taken on the device so far in MB (10^6 bytes); None where it is not known, as on a CPU."""


class Predictor(LoadedModel, Protocol):
    """A variant of a model, loaded and ready to predict; `labels` are in the order of its logits.

    It is called by one thread at a time. Where it `generates`, it writes its answers and has no logits.
    """

    labels: tuple[str, ...]
    generates: bool

    def __call__(self, rows: list[Row]) -> list[Any]:
        """The answer for each row, as a deployed model gives it: see `podium.models.onnx_package.answer`.

        Returns once the answers are on the host, as labels and no longer as numbers.
        """

    def logits(self, rows: list[Row]) -> Logits:
        """Logits of each row."""

    def encode(self, rows: list[Row]) -> Any:
        """The inputs of the model, on the host: the first of the three parts of a call."""

    def forward(self, encoded: Any) -> Any:
        """What the model computes of its inputs; returns once it is on the host."""

    def answers(self, rows: list[Row], encoded: Any, outputs: Any) -> list[Any]:
        """The answer for each row, from the results of the other two parts."""

    def tokens(self, rows: list[Row]) -> list[int]:
        """Number of model input tokens of each row, after truncation."""

    def weights(self) -> int | None:
        """Number of weights that every input token is multiplied with: all but embeddings; None if not known."""


def predictor_class(variant: str, folder: Path) -> type[Predictor]:
    """The predictor of a variant of the model in `folder`, with only the libraries that it is deployed with."""
    if variant in ("onnx", "onnx-int8"):
        from podium.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor
    if (folder / LINEAR_PACKAGE).is_file():
        from podium.inference.linear_predictor import LinearPredictor

        return LinearPredictor
    if (folder / PROMPT_PACKAGE).is_file():
        from podium.inference.prompt_predictor import PromptPredictor

        return PromptPredictor
    from podium.inference.torch_predictor import TORCH_PREDICTORS

    return TORCH_PREDICTORS[variant]


def load_predictor(spec: PredictorSpec) -> Predictor:
    """The predictor of a spec, ready to predict in this process, whose number of compute threads it sets.

    Raises ModelError if the model is damaged, incomplete, or for another task or other labels.
    """
    predictor = predictor_class(spec.variant, spec.model_dir)
    try:
        predictor.prepare(spec)
        return predictor(spec)
    except (ModelError, MemoryError):
        raise
    # A damaged file surfaces as SafetensorError, OSError, ValueError or RuntimeError, depending on where it is cut.
    except Exception as error:
        raise ModelError(f"the model in {spec.model_dir} must be loadable, but: {error}") from error


def predict(predictor: Predictor, task: str, labels: Sequence[str], rows: Any) -> Predictions:
    """The predictions of a model for `rows`, a `datasets.Dataset`; it may have the data's `labels` in another order.

    Raises:
        ModelError: the model has other labels.
        FloatingPointError: a logit is NaN or infinite.
    """
    own = list(predictor.labels)
    if set(own) != set(labels):
        raise ModelError(
            f"the model's labels must be those of the data, but it has {', '.join(sorted(own))} and the data "
            f"{', '.join(sorted(labels))}"
        )
    kind, outputs = TASKS.get(task), [own.index(label) for label in labels]
    contents = list(rows[kind.content])
    order = np.argsort([-row_length(row) for row in contents], kind="stable")
    found: list[Any] = [None] * len(order)
    if predictor.generates:
        for place, answer in zip(order, predictor([contents[place] for place in order]), strict=True):
            found[place] = answer
        return Predictions.of(task, labels, rows, Decoded(kind.numbered(found, labels)))
    logits = logits_of(predictor, [contents[place] for place in order])
    check_finite(logits)
    for place, scores in zip(order, logits, strict=True):
        found[place] = kind.reduce(scores[..., outputs])
    return Predictions.of(task, labels, rows, kind.decode(found, labels))


def logits_of(predictor: Predictor, rows: Sequence[Row]) -> Logits:
    """Logits of rows, computed in batches."""
    return [item for at in range(0, len(rows), _BATCH) for item in predictor.logits(list(rows[at : at + _BATCH]))]


def check_finite(logits: Logits) -> None:
    """Raise FloatingPointError if a logit is NaN or infinite, unless a whole word is NaN since it was cut off."""
    for item in logits:
        words = np.atleast_2d(item)
        if not np.isfinite(words[~np.isnan(words).all(axis=1)]).all() or (item.ndim == 1 and np.isnan(item).any()):
            raise FloatingPointError("logits must be finite, but some are NaN or infinite on held-out rows")
