"""The predictor of exported packages, which needs onnxruntime and tokenizers but not torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from podium.errors import ModelError
from podium.inference.predictor import PredictorSpec
from podium.inference.rows import Row
from podium.models.onnx_package import OnnxPackage

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""Execution providers of onnxruntime, by device."""


class OnnxPredictor:
    """An exported package, run as it is deployed."""

    def __init__(self, spec: PredictorSpec):
        try:
            self._package = OnnxPackage(spec.model_dir, spec.threads, PROVIDERS[spec.device])
        except ValueError as error:
            raise ModelError(str(error)) from error
        if self._package.task != spec.task:
            raise ModelError(
                f"the task of a package must be that of the data ({spec.task}), but {spec.model_dir} is for "
                f"{self._package.task}; benchmark a model that was trained on this data"
            )
        self.labels = self._package.labels
        spec.check_labels(self.labels)

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        """Do nothing: this module imports all code, and onnxruntime takes the number of threads on loading."""

    def __call__(self, rows: list[Row]) -> list[Any]:
        return self._package(rows)

    def logits(self, rows: list[Row]) -> list[NDArray[np.float32]]:
        return self._package.logits(rows)

    def tokens(self, rows: list[Row]) -> list[int]:
        return self._package.tokens(rows)

    def weights(self) -> int | None:
        """None: which constants of a graph are embeddings is not known."""
        return None

    def peak_device_mb(self) -> float | None:
        """None: onnxruntime does not report it."""
        return None
