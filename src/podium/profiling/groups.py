"""What operators and kernels do, by their names: torch's operators, nodes of ONNX graphs, and kernels of GPUs."""

from __future__ import annotations

import re

_VIEWS = "view transpose t permute as_strided expand squeeze unsqueeze select slice detach resolve_conj split narrow"

GROUPS = (
    ("view", rf"^aten::_?(?:{_VIEWS.replace(' ', '|')}|unsafe_view|reshape|unflatten|flatten|chunk)$"),
    ("attention", r"attention|flash_fwd|flash_attn|fmha|sdpa"),
    ("matrix product", r"addmm|\bmm\b|bmm|matmul|\blinear\b|gemm|gemv|cutlass|cublas|_mm_|conv|xmma|nvjet|qlinear"),
    ("normalisation", r"layer_?norm|layernormalization|rms_?norm|batch_?norm|group_?norm|normalization"),
    ("softmax", r"softmax"),
    ("copy", r"copy|memcpy|memset|\bto\b|clone|contiguous|\bcat\b|concat|\bcast\b|fill_|zero_|transpose|unsqueeze"),
    ("embedding", r"embedding|gather|index_select"),
    ("activation", r"gelu|relu|silu|tanh|sigmoid|\berf\b"),
    ("reduction", r"reduce|\bsum\b|\bmean\b|argmax|argmin|\bmax\b|topk"),
    ("quantisation", r"quantize"),
    ("element by element", r"\badd_?\b|\bmul_?\b|\bdiv_?\b|\bsub_?\b|pow|sqrt|elementwise|where|masked_fill|clamp"),
)
"""Groups with what their names hold, looked at in this order."""

OTHER = "other"
_PATTERNS = tuple((group, re.compile(pattern, re.IGNORECASE)) for group, pattern in GROUPS)


def group_of(name: str) -> str:
    """The group of an operator or kernel; `other` where its name says nothing."""
    return next((group for group, pattern in _PATTERNS if pattern.search(name)), OTHER)
