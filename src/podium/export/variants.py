"""The deployable variants: their tolerances, what they depend on, where they cannot be made, and how they are made.

Every run asks, so the answers come from package metadata and small files. Torch is imported only on a GPU; the variants
are made and checked against the eager model in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from podium.config.benchmark import VariantName
from podium.devices.hardware import cpu_features
from podium.errors import BenchmarkError, ComputationFailed
from podium.execution.environment import inference_environment
from podium.execution.failures import Purpose
from podium.execution.launch import run_program
from podium.inference.predictor import PredictorSpec
from podium.records import VariantCheck
from podium.records.base import Frozen

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
        facts["compiler"] = "none" if _compiler()[1] is None else "present"
    return facts


def obstacle(variant: VariantName, device: str) -> str | None:
    """Why a variant cannot be made on this machine, or None."""
    if variant == "bf16" and device == "cpu" and not any(name in _BF16 for name in cpu_features()):
        return (
            "this CPU has no bf16 instructions (avx512_bf16, amx_bf16 or Arm bf16): emulated, bf16 is slower than fp32"
        )
    if variant == "bf16" and device == "cuda":
        import torch

        if not torch.cuda.is_bf16_supported(including_emulation=False):
            return f"{torch.cuda.get_device_name()} has no bf16 arithmetic"
    compiler, found = _compiler()
    if variant == "compile" and found is None:
        return (
            f"torch.compile needs a C++ compiler when it runs, but {compiler} is not on the PATH; install g++, "
            "or name a compiler in CXX"
        )
    if variant == "onnx-int8" and device != "cpu":
        return f"dynamic int8 quantisation is for CPUs, but benchmark.device is {device}"
    if variant == "onnx" and device == "cuda":
        import onnxruntime

        providers = onnxruntime.get_available_providers()
        if "CUDAExecutionProvider" not in providers:
            return (
                f"onnxruntime here runs on {', '.join(providers)}, not on CUDA; install onnxruntime-gpu in place of "
                "onnxruntime, or set benchmark.device=cpu"
            )
    return None


def has_vnni() -> bool:
    """Whether 8-bit products are summed in 32 bits, so that 8-bit weights cannot overflow."""
    return any(name in _VNNI for name in cpu_features())


def _compiler() -> tuple[str, str | None]:
    """The compiler that torch.compile looks for (`torch._inductor.config.cpp.cxx`), and where it is."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return name, shutil.which(name)


class BuildCall(Frozen):
    """Which variants of one model to make and check.

    Attributes:
        data: directory of the data artifact whose test rows are predicted.
        reference: directory of the eager model's predictions on those rows.
        margin: the loss of quality from which on a variant fails.
        seed: seeds the bootstrap and the choice of the rows whose logits are compared.
        output: directory that gets a folder per variant, with `model` and `predictions`.
    """

    eager: PredictorSpec
    variants: tuple[VariantName, ...]
    data: Path
    reference: Path
    metric: str
    margin: float
    seed: int
    output: Path


class Built(Frozen):
    """The outcome for one variant; `code` and `reason` are empty where it is as good as the eager model."""

    code: str = ""
    reason: str = ""
    check: VariantCheck | None = None
    seconds: float = 0.0


def build(call: BuildCall, log: Path) -> dict[VariantName, Built]:
    """Make and check the variants of one model in a process of its own, once as many cores are free as it has threads.

    Its output is appended to `log`. A variant that cannot be made or fails its check is no error. Raises ModelError
    where the model itself cannot be loaded, and BenchmarkError where the process failed or was killed.
    """
    names = ", ".join(call.variants)
    purpose = Purpose(
        f"building variants ({names}) of {call.eager.model_dir}", "leave variants out: benchmark.variants=[eager]"
    )
    try:
        built = run_program(
            "podium.export.worker",
            call,
            call.output,
            log,
            purpose=purpose,
            environment=inference_environment(call.eager.threads),
            cores=call.eager.threads,
        )
    except ComputationFailed as error:
        raise BenchmarkError(str(error)) from error
    return {name: Built.model_validate(built[name]) for name in call.variants}
