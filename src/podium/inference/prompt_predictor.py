"""The predictor of prompted models, which needs torch, transformers and Jinja."""

from __future__ import annotations

import torch
import transformers

from podium.errors import ModelError
from podium.inference.package_predictor import PackagePredictor
from podium.inference.predictor import PredictorSpec
from podium.models.prompted.causal_lm import CausalModel
from podium.models.prompted.package import PromptPackage, read_about


class PromptPredictor(PackagePredictor, PromptPackage):
    """A prompted model, run as it is deployed."""

    def __init__(self, spec: PredictorSpec):
        try:
            about = read_about(spec.model_dir)
            model = CausalModel(spec.model_dir, about.get("precision", "fp32"), spec.device, spec.trust_remote_code)
            PromptPackage.__init__(self, spec.model_dir, spec.device, about, model)
        except (OSError, ValueError) as error:
            raise ModelError(str(error)) from error
        self._check(spec)

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        """Set the number of threads; the code of the model is imported with its weights."""
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(spec.threads)

    def weights(self) -> int:
        """Every weight but those of the input embeddings, unless these give the scores as well."""
        return self.model.multiplied_weights()
