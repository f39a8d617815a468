"""How many tokens a model may read. It imports nothing of Podium, since it is deployed with prompted models."""

from __future__ import annotations

from typing import Any

_UNLIMITED = 1_000_000
"""Tokenizers without a length limit report a huge number as `model_max_length`."""


def longest_input(model: Any, tokenizer: Any = None) -> int | None:
    """How many tokens the model reads at most: the limit of its tokenizer or of its positions; None for no limit."""
    config = model.config.get_text_config()
    # Some architectures say -1 for no limit.
    limits = [getattr(config, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    # Models such as RoBERTa number positions from the padding index on, so they never use the first rows.
    limits += [
        table.num_embeddings - table.padding_idx - 1
        for name, table in model.named_modules()
        if name.endswith("position_embeddings") and getattr(table, "padding_idx", None) is not None
    ]
    return min((value for value in limits if isinstance(value, int) and 0 < value < _UNLIMITED), default=None)
