"""The code that MLflow logs with a package and runs to serve it, with no more libraries than the package needs.

MLflow executes this file on its own (models from code). The module that runs the package is beside it under its own
name: `podium.models.onnx_package` as `onnx_package`, `podium.models.linear_package` as `linear_package`, or the folder
`podium.models.prompted` as `prompted`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd


class ServedPackage(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """One row per input: `tags`, one per word; or `labels`; or `label` and `score`, its probability."""

    def load_context(self, context: Any) -> None:
        """Load the package once per server."""
        folder = Path(context.artifacts["package"])
        if (folder / "linear.json").is_file():
            from linear_package import LinearPackage as Package  # type: ignore[import-not-found]
        elif (folder / "prompt.json").is_file():
            from prompted.package import PromptPackage as Package  # type: ignore[import-not-found]
        else:
            from onnx_package import OnnxPackage as Package  # type: ignore[import-not-found]
        self.package = Package(folder)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict the texts in the column `text`, or the words in the column `tokens`."""
        if self.package.decoding == "tokens":
            return pd.DataFrame({"tags": self.package([[str(word) for word in row] for row in model_input["tokens"]])})
        texts = [str(text) for text in model_input["text"]]
        if self.package.decoding == "multi":
            return pd.DataFrame({"labels": self.package(texts)})
        if getattr(self.package, "generates", False):
            return pd.DataFrame({"label": self.package(texts)})
        logits = np.array(self.package.logits(texts), dtype=np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        labels = [self.package.labels[index] for index in logits.argmax(axis=1)]
        return pd.DataFrame({"label": labels, "score": probabilities.max(axis=1)})


mlflow.models.set_model(ServedPackage())
