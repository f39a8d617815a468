"""The predictor of exported packages, which needs onnxruntime and tokenizers but not torch."""

from __future__ import annotations

from podium.errors import ModelError
from podium.inference.package_predictor import PackagePredictor
from podium.inference.predictor import PredictorSpec
from podium.models.onnx_package import OnnxPackage

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxPredictor(PackagePredictor, OnnxPackage):
    """An exported package, run as it is deployed."""

    def __init__(self, spec: PredictorSpec):
        try:
            OnnxPackage.__init__(self, spec.model_dir, spec.threads, _PROVIDERS[spec.device])
        except ValueError as error:
            raise ModelError(str(error)) from error
        self._check(spec)
