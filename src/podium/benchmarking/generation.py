"""How fast a causal language model generates: one repetition, in a worker process.

A request is answered greedily, token by token with a key-value cache, batch size 1. An end-of-text token does not end
it, so that every request has the same number of tokens. A token counts as there when its number is on the host.

Loaded only in worker processes, so torch and transformers are imported at the top.
"""

from __future__ import annotations

import os
import time
from itertools import cycle, pairwise
from typing import Any

import torch
import transformers

from podium.benchmarking.measure import peak_rss_bytes
from podium.benchmarking.scenarios import quiet, warm_up
from podium.benchmarking.spec import GenerationResult, GenerationSpec, NextTurn
from podium.devices.hardware import environment
from podium.errors import ModelError
from podium.inference.predictor import SHOWN_NAMES
from podium.text import shortened

_WARM_UP_SHARE = 0.25
_MB = 1e6


class Generator:
    """A causal language model in fp32 with its tokenizer, in inference mode."""

    def __init__(self, spec: GenerationSpec):
        """Load model and tokenizer onto the device.

        Raises:
            ModelError: weights are missing, or it has fewer positions than a request needs.
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
        positions = getattr(model.config, "max_position_embeddings", None)
        needed = spec.prompt_tokens + spec.output_tokens
        if positions is not None and positions < needed:
            raise ModelError(
                f"prompt and output must fit the model's {positions} positions, but {spec.prompt_tokens} + "
                f"{spec.output_tokens} tokens were asked for; lower --prompt-tokens or --output-tokens"
            )
        self._device, self._prompt_tokens = torch.device(spec.device), spec.prompt_tokens
        self._model = model.eval().to(self._device)

    def encode(self, prompt: str) -> Any:
        """Token numbers of a prompt, cut to the limit: shape (1, tokens)."""
        found = self.tokenizer(prompt, truncation=True, max_length=self._prompt_tokens, return_tensors="pt")
        return found["input_ids"].to(self._device)

    def generate(self, prompt: str, tokens: int) -> list[int]:
        """Generate `tokens` tokens; the moments (`time.perf_counter_ns`) of the call and of each token."""
        moments = [time.perf_counter_ns()]
        step, past = self.encode(prompt), None
        with torch.inference_mode():
            for _ in range(tokens):
                answer = self._model(input_ids=step, past_key_values=past, use_cache=True)
                past = answer.past_key_values
                step = answer.logits[:, -1:].argmax(dim=-1)
                step.item()  # waits for the device
                moments.append(time.perf_counter_ns())
        return moments

    def peak_device_mb(self) -> float | None:
        """Largest memory taken on the device so far in MB; None on a CPU."""
        return torch.cuda.max_memory_allocated() / _MB if self._device.type == "cuda" else None


def generation(spec: GenerationSpec, next_turn: NextTurn) -> GenerationResult:
    """Load, warm up, and answer one prompt after another, bounded by `spec.max_seconds` as soon as enough are.

    Raises:
        ModelError: see `Generator`.
        Exception: whatever loading or running the model raises.
    """
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(spec.threads)
    torch.set_num_interop_threads(1)
    next_turn("load")
    started = time.perf_counter()
    model = Generator(spec)
    load_seconds = time.perf_counter() - started
    middle = sorted(spec.prompts, key=len)[len(spec.prompts) // 2]
    warm = warm_up(lambda _: model.generate(middle, 2), middle, _WARM_UP_SHARE * spec.max_seconds)
    end = time.perf_counter() + (1 - _WARM_UP_SHARE) * spec.max_seconds
    asked: list[str] = []
    moments: list[list[int]] = []
    with quiet():
        for prompt in cycle(spec.prompts):
            enough = len(moments) >= spec.least_requests
            if enough and (len(moments) >= len(spec.prompts) or time.perf_counter() >= end):
                break
            asked.append(prompt)
            moments.append(model.generate(prompt, spec.output_tokens))
    return GenerationResult(
        pid=os.getpid(),
        load_seconds=load_seconds,
        settled=warm.settled,
        first_token_ns=[each[1] - each[0] for each in moments],
        inter_token_ns=[[after - before for before, after in pairwise(each[1:])] for each in moments],
        prompt_tokens=[model.encode(prompt).shape[1] for prompt in asked],
        peak_rss_mb=peak_rss_bytes() / _MB,
        peak_device_mb=model.peak_device_mb(),
        environment=environment(spec.device),
    )
