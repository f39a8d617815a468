"""A causal language model that generates token by token.

A prompt is answered greedily with a key-value cache, batch size 1. An end-of-text token does not end the answer, so
that every answer has the same number of tokens. A token counts as there when its number is on the host.

This module is loaded only in worker processes, so torch and transformers are imported at the top.
"""

from __future__ import annotations

import time
from typing import Any

import torch
import transformers

from podium.errors import ModelError
from podium.inference.predictor import SHOWN_NAMES, PredictorSpec
from podium.text import shortened


class Generator:
    """A causal language model in fp32 with its tokenizer, in inference mode."""

    def __init__(self, spec: PredictorSpec):
        """Load model and tokenizer onto the device.

        Raises:
            ModelError: weights are missing.
            OSError, ValueError: a file is missing or cannot be read.
        """
        options = {"local_files_only": True, "trust_remote_code": spec.trust_remote_code}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(spec.model_dir, **options)
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            spec.model_dir, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **options
        )
        if loading["missing_keys"]:
            raise ModelError(
                f"a model directory must hold every weight, but {spec.model_dir} lacks "
                f"{shortened(sorted(loading['missing_keys']), SHOWN_NAMES)}; it is damaged, or no causal language model"
            )
        self._device = torch.device(spec.device)
        self._model = model.eval().to(self._device)

    @staticmethod
    def prepare(spec: PredictorSpec) -> None:
        """Set the threads of this process; all code is imported with this module."""
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(spec.threads)
        torch.set_num_interop_threads(1)

    def check_positions(self, prompt_tokens: int, output_tokens: int) -> None:
        """Check that a prompt and its answer fit the model.

        Raises:
            ModelError: the model has fewer positions.
        """
        positions = getattr(self._model.config, "max_position_embeddings", None)
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
        with torch.inference_mode():
            for _ in range(output_tokens):
                answer = self._model(input_ids=step, past_key_values=past, use_cache=True)
                past = answer.past_key_values
                step = answer.logits[:, -1:].argmax(dim=-1)
                step.item()  # waits for the device
                moments.append(time.perf_counter_ns())
        return moments

    def peak_device_mb(self) -> float | None:
        return torch.cuda.max_memory_allocated() / 1e6 if self._device.type == "cuda" else None
