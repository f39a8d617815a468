"""What is measured: a loaded model that turns rows into labels, one class per deployable variant."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from podium.benchmarking.sampling import Row
from podium.benchmarking.spec import PredictorSpec


class Predictor(Protocol):
    """A variant of a model, loaded and ready."""

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

    def __call__(self, rows: list[Row]) -> list[Any]:
        """Predict rows from text to labels and return once the labels are on the host.

        Returns:
            One label per text; for `ner` one label per word, `O` where the truncated input does not reach it.
        """

    def logits(self, rows: list[Row]) -> list[NDArray[np.float32]]:
        """The logits of each row: shape (labels,), or for `ner` (words, labels), NaN where a word is cut off."""

    def tokens(self, rows: list[Row]) -> list[int]:
        """Number of model input tokens of each row, after truncation."""

    def weights(self) -> int | None:
        """Number of weights that every input token is multiplied with: all but embeddings; None if not known."""

    def peak_device_mb(self) -> float | None:
        """Largest memory taken on the device so far in MB (10^6 bytes); None on a CPU."""


def predictor_class(variant: str) -> type[Predictor]:
    """The predictor of a variant. Imports only the libraries that the variant is deployed with."""
    if variant in ("onnx", "onnx-int8"):
        from podium.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor
    from podium.inference.torch_predictor import TORCH_PREDICTORS

    return TORCH_PREDICTORS[variant]
