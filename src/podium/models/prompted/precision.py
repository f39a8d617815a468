"""The precisions in which a language model runs, and which of them is the faster one here."""

from __future__ import annotations

import time

import torch

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

_FASTER = 1.2
"""How much faster bf16 must be to be chosen: in fp32 there is less rounding."""


def fastest_precision(device: str, width: int) -> str:
    """The precision in which a layer of this width is computed fastest; fp32 unless bf16 gains clearly."""
    if device != "cpu":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    seconds = {}
    with torch.inference_mode():
        for name, dtype in PRECISIONS.items():
            layer, rows = torch.nn.Linear(width, 4 * width, dtype=dtype), torch.ones(256, width, dtype=dtype)
            layer(rows)
            taken = []
            for _ in range(5):
                started = time.perf_counter()
                layer(rows)
                taken.append(time.perf_counter() - started)
            seconds[name] = min(taken)
    return "bf16" if seconds["fp32"] > _FASTER * seconds["bf16"] else "fp32"
