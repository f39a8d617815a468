"""The models that PyTorch runs; loaded only in worker processes, so torch and transformers are imported at the top."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from podium.errors import ModelError
from podium.inference.predictor import SHOWN_NAMES, Logits, PredictorSpec, Row
from podium.models.backbone import load_config
from podium.models.network import auto_class
from podium.models.onnx_package import answer, first_pieces, word_logits
from podium.models.prompted.positions import longest_input
from podium.models.tokenizer import load_tokenizer, open_tokenizer
from podium.tasks import TASKS
from podium.text import shortened


class _TorchModel:
    """A model of transformers in inference mode, with its own tokenizer."""

    def __init__(self, spec: PredictorSpec, auto: Any, tokenizer: Any, dtype: torch.dtype):
        options = {"local_files_only": True, "trust_remote_code": spec.trust_remote_code}
        self.tokenizer = tokenizer
        model, loading = auto.from_pretrained(
            spec.model_dir, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
        # transformers has filled missing weights with random numbers.
        missing = sorted(loading["missing_keys"]) + sorted(str(item) for item in loading["mismatched_keys"])
        if missing:
            raise ModelError(
                f"a model directory must hold every weight, but {spec.model_dir} lacks "
                f"{shortened(missing, SHOWN_NAMES)}; it is damaged, a bare backbone, or a model for another task"
            )
        self._device = torch.device(spec.device)
        self.model = model.eval().to(self._device)

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(spec.threads)
        with suppress(RuntimeError):  # it cannot be set again once torch has worked in parallel
            torch.set_num_interop_threads(1)

    def peak_device_mb(self) -> float | None:
        return torch.cuda.max_memory_allocated() / 1e6 if self._device.type == "cuda" else None


class EagerPredictor(_TorchModel):
    """The model as transformers runs it: eager PyTorch in fp32."""

    dtype: ClassVar[torch.dtype] = torch.float32
    generates = False

    def __init__(self, spec: PredictorSpec):
        self._task = TASKS.get(spec.task)
        tokenizer = load_tokenizer(spec.model_dir, spec.task, spec.trust_remote_code)
        super().__init__(spec, auto_class(self._task), tokenizer, self.dtype)
        kind, config = type(self.model).__name__, self.model.config
        # A head of another task may have weights of the same names and shapes.
        saved = config.architectures or [kind]
        if kind not in saved or not any(self._task.fits(name, config.to_dict()) for name in saved):
            raise ModelError(
                f"a model must be one for the task of the data ({spec.task}: {kind}), but {spec.model_dir} is a "
                f"{', '.join(saved)}, a model for another task; benchmark a model that was trained on this data"
            )
        self.labels = tuple(config.id2label[index] for index in range(config.num_labels))
        spec.check_labels(self.labels)
        # A decoder reads its answer at the last token that is no padding.
        config.pad_token_id = tokenizer.pad_token_id
        self.max_length = longest_input(self.model, tokenizer)
        self._forward = self._ready()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        _TorchModel.prepare(spec)
        config = load_config(spec.model_dir, spec.trust_remote_code)
        auto_class(TASKS.get(spec.task))._model_mapping.get(type(config), None)  # imports the code of the model

    def __call__(self, rows: list[Row]) -> list[Any]:
        encoded = self.encode(rows)
        return self.answers(rows, encoded, self.forward(encoded))

    def logits(self, rows: list[Row]) -> Logits:
        encoded = self.encode(rows)
        return self._of_rows(rows, encoded, self.forward(encoded))

    def forward(self, encoded: transformers.BatchEncoding) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = self._forward(**encoded.to(self._device)).logits.float().cpu().numpy()
        return found

    def answers(self, rows: list[Row], encoded: transformers.BatchEncoding, outputs: NDArray[np.float32]) -> list[Any]:
        scores = self._of_rows(rows, encoded, outputs)
        return [answer(one, self.labels, self._task.decoding) for one in scores]

    def _of_rows(self, rows: list[Row], encoded: transformers.BatchEncoding, scores: NDArray[np.float32]) -> Logits:
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


class Bf16Predictor(EagerPredictor):
    """Weights and activations in bfloat16."""

    dtype = torch.bfloat16


class CompiledPredictor(EagerPredictor):
    """`torch.compile` with dynamic shapes; compiling counts as loading.

    There is one graph for single rows and one for batches, because torch specialises on a batch size of 1.
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


class Generator(_TorchModel):
    """A causal language model in fp32 that answers greedily with a key-value cache, batch size 1.

    An end-of-text token does not end the answer, so that every answer has the same number of tokens. A token counts as
    there when its number is on the host.
    """

    def __init__(self, spec: PredictorSpec):
        tokenizer = open_tokenizer(spec.model_dir, spec.trust_remote_code)
        super().__init__(spec, transformers.AutoModelForCausalLM, tokenizer, torch.float32)

    def check_positions(self, prompt_tokens: int, output_tokens: int) -> None:
        """Raise ModelError if a prompt and its answer do not fit the model's positions."""
        positions = longest_input(self.model)
        if positions is not None and positions < prompt_tokens + output_tokens:
            raise ModelError(
                f"prompt and output must fit the model's {positions} positions, but {prompt_tokens} + {output_tokens} "
                "tokens were asked for; lower --prompt-tokens or --output-tokens"
            )

    def encode(self, prompt: str, prompt_tokens: int) -> Any:
        """Token numbers of a prompt, cut to `prompt_tokens`: shape (1, tokens)."""
        found = self.tokenizer(prompt, truncation=True, max_length=prompt_tokens, return_tensors="pt")
        return found["input_ids"].to(self._device)

    def generate(self, prompt: str, prompt_tokens: int, output_tokens: int) -> list[int]:
        """Generate `output_tokens` tokens; the moments (`time.perf_counter_ns`) of the call and of each token."""
        moments = [time.perf_counter_ns()]
        step, past = self.encode(prompt, prompt_tokens), None
        for _ in range(output_tokens):
            step, past = self.step(step, past)
            moments.append(time.perf_counter_ns())
        return moments

    def step(self, tokens: torch.Tensor, past: Any) -> tuple[torch.Tensor, Any]:
        """The token behind `tokens`, shape (1, 1), and the cache for the next step; `past` is that of the last one."""
        with torch.inference_mode():
            output = self.model(input_ids=tokens, past_key_values=past, use_cache=True)
            found = output.logits[:, -1:].argmax(dim=-1)
            found.item()  # waits for the device
            return found, output.past_key_values
