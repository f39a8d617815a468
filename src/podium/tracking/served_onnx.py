"""The code that MLflow logs with an exported package and runs to serve it: onnxruntime and tokenizers, no torch.

MLflow executes this file on its own (models from code), with `podium.models.onnx_package` beside it as `onnx_package`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from onnx_package import OnnxPackage  # type: ignore[import-not-found]


class ServedPackage(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """One row per input: `tags`, one per word; or `labels`; or `label` and `score`, its probability."""

    def load_context(self, context: Any) -> None:
        """Load the package once per server."""
        self.package = OnnxPackage(Path(context.artifacts["package"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict the texts in the column `text`, or the words in the column `tokens`."""
        if self.package.decoding == "tokens":
            return pd.DataFrame({"tags": self.package([[str(word) for word in row] for row in model_input["tokens"]])})
        texts = [str(text) for text in model_input["text"]]
        if self.package.decoding == "multi":
            return pd.DataFrame({"labels": self.package(texts)})
        logits = np.array(self.package.logits(texts), dtype=np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        labels = [self.package.labels[index] for index in logits.argmax(axis=1)]
        return pd.DataFrame({"label": labels, "score": probabilities.max(axis=1)})


mlflow.models.set_model(ServedPackage())
