"""The predictors of the variants that PyTorch runs.

This module is loaded only in worker processes, so torch and transformers are imported at the top.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from podium.errors import ModelError
from podium.inference.predictor import SHOWN_NAMES, PredictorSpec
from podium.inference.rows import Row
from podium.models.network import auto_class, longest_input
from podium.models.onnx_package import answer, first_pieces, word_logits
from podium.tasks import TASKS
from podium.text import shortened


class EagerPredictor:
    """The model as transformers runs it: eager PyTorch in fp32, its own tokenizer, inference mode."""

    dtype: ClassVar[torch.dtype] = torch.float32

    def __init__(self, spec: PredictorSpec):
        self._task = TASKS.get(spec.task)
        options = {"local_files_only": True, "trust_remote_code": spec.trust_remote_code}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(spec.model_dir, **options)
        model, loading = auto_class(self._task).from_pretrained(
            spec.model_dir, dtype=self.dtype, use_safetensors=True, output_loading_info=True, **options
        )
        _check_complete(spec.model_dir, loading)
        _check_head(spec, model)
        self.labels = tuple(model.config.id2label[index] for index in range(model.config.num_labels))
        spec.check_labels(self.labels)
        self._device = torch.device(spec.device)
        self.model = model.eval().to(self._device)
        self.max_length = longest_input(model, self.tokenizer)
        self._forward = self._ready()
        self._synchronise()

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(spec.threads)
        with suppress(RuntimeError):  # it cannot be set again once torch has worked in parallel
            torch.set_num_interop_threads(1)
        config = transformers.AutoConfig.from_pretrained(
            spec.model_dir, local_files_only=True, trust_remote_code=spec.trust_remote_code
        )
        auto_class(TASKS.get(spec.task))._model_mapping.get(type(config), None)

    def __call__(self, rows: list[Row]) -> list[Any]:
        return [answer(scores, self.labels, self._task.decoding) for scores in self.logits(rows)]

    def logits(self, rows: list[Row]) -> list[NDArray[np.float32]]:
        encoded = self.encode(rows)
        with torch.inference_mode():
            scores = self._forward(**encoded.to(self._device)).logits.float().cpu().numpy()
        if not self._task.words:
            return list(scores)
        return [
            word_logits(first_pieces(encoded.word_ids(number)), scores[number], len(row))
            for number, row in enumerate(rows)
        ]

    def tokens(self, rows: list[Row]) -> list[int]:
        return [int(mask.sum()) for mask in self.encode(rows)["attention_mask"]]

    def weights(self) -> int:
        tables = [module for module in self.model.modules() if isinstance(module, torch.nn.Embedding)]
        looked_up = {id(weight) for table in tables for weight in table.parameters()}
        return sum(weight.numel() for weight in self.model.parameters() if id(weight) not in looked_up)

    def peak_device_mb(self) -> float | None:
        return torch.cuda.max_memory_allocated() / 1e6 if self._device.type == "cuda" else None

    def encode(self, rows: list[Row]) -> transformers.BatchEncoding:
        """The model's inputs for `rows`, cut to its limit and padded to the longest, as tensors on the CPU."""
        return self.tokenizer(
            rows,
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
            is_split_into_words=self._task.words,
        )

    def _ready(self) -> Any:
        """The callable that computes the logits."""
        return self.model

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class Bf16Predictor(EagerPredictor):
    """Weights and activations in bfloat16."""

    dtype = torch.bfloat16


class CompiledPredictor(EagerPredictor):
    """`torch.compile` with dynamic shapes.

    Compiling counts as loading. There is one graph for single rows and one for batches, because torch specialises on a
    batch size of 1.
    """

    def _ready(self) -> Any:
        compiled = torch.compile(self.model, dynamic=True)
        with torch.inference_mode():
            for rows in ([self._task.example], [self._task.example] * 2):
                compiled(**self.encode(rows).to(self._device))
        return compiled


TORCH_PREDICTORS: dict[str, type[EagerPredictor]] = {
    "eager": EagerPredictor,
    "bf16": Bf16Predictor,
    "compile": CompiledPredictor,
}
"""Predictor classes by variant."""


def _check_complete(model_dir: Path, loading: dict[str, Any]) -> None:
    """Refuse a model whose missing weights transformers has filled with random numbers."""
    missing = sorted(loading["missing_keys"]) + sorted(str(item) for item in loading["mismatched_keys"])
    if missing:
        raise ModelError(
            f"a model directory must hold every weight, but {model_dir} lacks {shortened(missing, SHOWN_NAMES)}; "
            "it is damaged, a bare backbone, or a model for another task"
        )


def _check_head(spec: PredictorSpec, model: Any) -> None:
    """Refuse a head of another task whose weights happen to have the same names and shapes."""
    saved = model.config.architectures or [type(model).__name__]
    task = TASKS.get(spec.task)
    if type(model).__name__ not in saved or not any(task.fits(name, model.config.to_dict()) for name in saved):
        raise ModelError(
            f"a model must be one for the task of the data ({spec.task}: {type(model).__name__}), but "
            f"{spec.model_dir} is a {', '.join(saved)}, a model for another task; "
            "benchmark a model that was trained on this data"
        )
