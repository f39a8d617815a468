"""The predictor of exported packages, which needs onnxruntime and tokenizers but not torch."""

from __future__ import annotations

from podium.errors import ModelError
from podium.inference.predictor import PredictorSpec
from podium.models.onnx_package import OnnxPackage

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxPredictor(OnnxPackage):
    """An exported package, run as it is deployed."""

    def __init__(self, spec: PredictorSpec):
        try:
            super().__init__(spec.model_dir, spec.threads, _PROVIDERS[spec.device])
        except ValueError as error:
            raise ModelError(str(error)) from error
        if self.task != spec.task:
            raise ModelError(
                f"the task of a package must be that of the data ({spec.task}), but {spec.model_dir} is for "
                f"{self.task}; benchmark a model that was trained on this data"
            )
        spec.check_labels(self.labels)

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        """Do nothing: this module imports all code, and onnxruntime takes the number of threads on loading."""

    def weights(self) -> None:
        """None: which constants of a graph are embeddings is not known."""

    def peak_device_mb(self) -> None:
        """None: onnxruntime does not report it."""
