"""Architectures of language models, and prompts of several lengths with a common beginning."""

from __future__ import annotations

from typing import Any

import transformers

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
HEADS = {"num_key_value_heads": 1, "head_dim": 16}
ARCHITECTURES: dict[str, Any] = {
    "llama": lambda n: transformers.LlamaConfig(vocab_size=n, **SMALL, num_key_value_heads=1),
    "gpt2": lambda n: transformers.GPT2Config(vocab_size=n, n_positions=256, n_embd=32, n_layer=2, n_head=2),
    "mistral": lambda n: transformers.MistralConfig(vocab_size=n, **SMALL, **HEADS, sliding_window=8),
    "qwen3": lambda n: transformers.Qwen3Config(vocab_size=n, **SMALL, **HEADS),
    "gpt-oss": lambda n: transformers.GptOssConfig(
        vocab_size=n, **SMALL, **HEADS, sliding_window=8, num_local_experts=2, num_experts_per_tok=1
    ),
    "gemma3": lambda n: transformers.Gemma3TextConfig(vocab_size=n, **SMALL, **HEADS, sliding_window=8),
}
PREFIX = list(range(1000, 1024))
PROMPTS = [PREFIX + list(range(2000, 2000 + size)) for size in (1, 3, 9, 30, 3)]
