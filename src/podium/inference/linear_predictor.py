"""The predictor of linear models, which needs numpy alone."""

from __future__ import annotations

from podium.errors import ModelError
from podium.inference.package_predictor import PackagePredictor
from podium.inference.predictor import PredictorSpec
from podium.models.linear_package import LinearPackage


class LinearPredictor(PackagePredictor, LinearPackage):
    """A linear model, run as it is deployed: on one core of the host, whatever device and threads a spec names."""

    def __init__(self, spec: PredictorSpec):
        try:
            LinearPackage.__init__(self, spec.model_dir)
        except ValueError as error:
            raise ModelError(str(error)) from error
        self._check(spec)
