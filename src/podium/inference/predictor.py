"""The contract of a predictor: a loaded model that turns rows into labels, one class per deployable variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from podium.config.benchmark import VariantName
from podium.errors import ModelError
from podium.inference.rows import Row
from podium.records.base import Frozen
from podium.text import shortened

SHOWN_NAMES = 5


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

    def check_labels(self, names: Sequence[str]) -> None:
        """Check that the labels of the loaded model are the labels of the data.

        Raises:
            ModelError: they differ.
        """
        if self.labels is not None and tuple(names) != self.labels:
            raise ModelError(
                f"the model's labels must be those of the data, but {self.model_dir} has "
                f"{shortened(tuple(names), SHOWN_NAMES)} and the data has {shortened(self.labels, SHOWN_NAMES)}; "
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

        Raises:
            OSError, ValueError: the directory does not say what model it holds.
        """

    def peak_device_mb(self) -> float | None:
        """Largest memory taken on the device so far in MB (10^6 bytes); None on a CPU."""


class Predictor(LoadedModel, Protocol):
    """A variant of a model, loaded and ready to predict. It is called by one thread at a time.

    Attributes:
        labels: in the order of the logits.
    """

    labels: tuple[str, ...]

    def __call__(self, rows: list[Row]) -> list[Any]:
        """The answer for each row, as a deployed model gives it: see `podium.models.onnx_package.answer`.

        Returns once the answers are on the host, as labels and no longer as numbers.
        """

    def logits(self, rows: list[Row]) -> list[NDArray[np.float32]]:
        """Logits of each row, shape (labels,); of lists of words (words, labels), NaN where a word is cut off."""

    def tokens(self, rows: list[Row]) -> list[int]:
        """Number of model input tokens of each row, after truncation."""

    def weights(self) -> int | None:
        """Number of weights that every input token is multiplied with: all but embeddings; None if not known."""


def predictor_class(variant: str) -> type[Predictor]:
    """The predictor of a variant. Imports only the libraries that the variant is deployed with."""
    if variant in ("onnx", "onnx-int8"):
        from podium.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor
    from podium.inference.torch_predictor import TORCH_PREDICTORS

    return TORCH_PREDICTORS[variant]
