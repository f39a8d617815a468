"""What the predictors of packages have in common: a package is loaded and run by code that is deployed with it."""

from __future__ import annotations

from podium.errors import ModelError
from podium.inference.predictor import PredictorSpec


class PackagePredictor:
    """The part of a predictor that a package lacks; a subclass is a package as well."""

    task: str
    labels: tuple[str, ...]
    generates: bool = False

    def _check(self, spec: PredictorSpec) -> None:
        if self.task != spec.task:
            raise ModelError(
                f"the task of a package must be that of the data ({spec.task}), but {spec.model_dir} is for "
                f"{self.task}; benchmark a model that was trained on this data"
            )
        spec.check_labels(self.labels)

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        """Do nothing: importing a predictor imports all code, and a package takes the number of threads on loading."""

    def weights(self) -> int | None:
        """None: which weights every token is multiplied with is not known."""

    def peak_device_mb(self) -> None:
        """None: it is not reported."""
