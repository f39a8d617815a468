"""The deployable variants: their tolerances, what they depend on, and where they cannot be made.

Every run asks, so the answers come from package metadata and small files. Torch is imported only on a GPU.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata

from podium.config.benchmark import VariantName
from podium.devices.hardware import cpu_features

OPSET = 20
"""ONNX operator set of exported graphs: the first one whose Gelu is a single operator."""


@dataclass(frozen=True)
class Form:
    """A way to deploy a model.

    Attributes:
        tolerance: largest difference of a logit to the eager model's, as a share of the largest eager logit.
        packages: whose versions shape the result.
        features: instruction sets of the CPU that shape the result.
    """

    tolerance: float
    packages: tuple[str, ...]
    features: tuple[str, ...] = ()


_TORCH = ("torch", "transformers")
_ONNX = (*_TORCH, "tokenizers", "onnx", "onnxscript", "onnxruntime")
_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
_VNNI = ("avx512_vnni", "amx_int8", "asimd")

FORMS: dict[VariantName, Form] = {
    "eager": Form(0.0, ()),
    # Eight bits of significand: 0.4 % per operation, over the depth of a network.
    "bf16": Form(0.05, _TORCH, _BF16),
    # The same fp32 arithmetic in another order: up to 1e-6 of the scale in a correct build.
    "compile": Form(1e-4, _TORCH),
    "onnx": Form(1e-4, _ONNX),
    # Activations lose all but eight bits at every layer, so this bound only finds a broken graph.
    "onnx-int8": Form(0.3, _ONNX, _VNNI),
}
"""The variants by name."""


def environment(variant: VariantName, device: str) -> dict[str, str]:
    """What a variant depends on besides model and data, as text by name: part of its key."""
    if variant == "eager":
        return {}
    form = FORMS[variant]
    facts = {"device": device, **{name: metadata.version(name) for name in form.packages}}
    if form.features:
        facts["cpu_features"] = " ".join(name for name in cpu_features() if name in form.features)
    if variant == "compile":
        facts["compiler"] = "none" if _compiler() is None else "present"
    return facts


def obstacle(variant: VariantName, device: str) -> str | None:
    """Why a variant cannot be made on this machine, or None."""
    if variant == "bf16":
        return _bf16_obstacle(device)
    if variant == "compile" and _compiler() is None:
        return (
            f"torch.compile needs a C++ compiler when it runs, but {_compiler_name()} is not on the PATH; install g++, "
            "or name a compiler in CXX"
        )
    if variant == "onnx-int8" and device != "cpu":
        return f"dynamic int8 quantisation is for CPUs, but benchmark.device is {device}"
    if variant == "onnx" and device == "cuda":
        return _provider_obstacle()
    return None


def has_vnni() -> bool:
    """Whether 8-bit products are summed in 32 bits, so that 8-bit weights cannot overflow."""
    return any(name in _VNNI for name in cpu_features())


def _compiler_name() -> str:
    """The compiler that torch.compile looks for (`torch._inductor.config.cpp.cxx`)."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def _compiler() -> str | None:
    return shutil.which(_compiler_name())


def _bf16_obstacle(device: str) -> str | None:
    if device == "cpu":
        if any(name in _BF16 for name in cpu_features()):
            return None
        return (
            "this CPU has no bf16 instructions (avx512_bf16, amx_bf16 or Arm bf16): emulated, bf16 is slower than fp32"
        )
    import torch

    if torch.cuda.is_bf16_supported(including_emulation=False):
        return None
    return f"{torch.cuda.get_device_name()} has no bf16 arithmetic"


def _provider_obstacle() -> str | None:
    import onnxruntime

    found = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" in found:
        return None
    return (
        f"onnxruntime here runs on {', '.join(found)}, not on CUDA; install onnxruntime-gpu in place of onnxruntime, "
        "or set benchmark.device=cpu"
    )
