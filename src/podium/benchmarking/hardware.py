"""What a measurement was taken on: the part of a benchmark's key that keeps machines apart.

The fingerprint is computed before every benchmark, also for one that is then reused, so it reads small
files and package metadata only; torch is imported only on a machine that has a GPU device node.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from podium.errors import InputError
from podium.machine import available_cores, kernel_text, memory_bytes

EAGER_PRECISION = "fp32"
"""The precision in which the eager variant is loaded and measured."""

_PACKAGES = ("torch", "transformers", "tokenizers")
_GPU_NODES = ("nvidia[0-9]*", "kfd", "dxg")
_CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "sve", "bf16")
_GIB = 1 << 30


def fingerprint(device: str, threads: int | None) -> dict[str, str]:
    """Describe the hardware and software that a latency depends on; equal between runs on one machine.

    Args:
        device: `cpu`, `cuda`, or `auto` (cuda where there is one).
        threads: compute threads of the measured process; None for all cores available.

    Returns:
        Text by name: device, cpu, cpu_features, cores, memory_gib, precision, threads, os, python and package
        versions; on a GPU also gpu, gpu_memory_gib, driver and cuda.

    Raises:
        InputError: the device is not there, or there are fewer cores than threads.
    """
    resolved = resolve_device(device)
    facts = {
        "device": resolved,
        "precision": EAGER_PRECISION,
        "threads": str(resolve_threads(threads)),
        "cpu": _cpu_model(),
        "cpu_features": " ".join(cpu_features()),
        "cores": str(available_cores()),
        "memory_gib": str(round(memory_bytes() / _GIB)),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }
    return facts | (_gpu_facts() if resolved == "cuda" else {})


def resolve_device(device: str) -> str:
    """The device that `device` stands for on this machine: `cpu` or `cuda`.

    Raises:
        InputError: it is not there; the message says what is.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"benchmark.device is auto, cpu or cuda, but got {device!r}")
    if device == "cpu":
        return "cpu"
    obstacle = _cuda_obstacle()
    if obstacle is None:
        return "cuda"
    if device == "auto":
        return "cpu"
    raise InputError(
        f"benchmark.device=cuda needs a GPU that torch can use, but {obstacle}. This machine has: cpu "
        f"({_cpu_model()}, {available_cores()} cores). Set benchmark.device=cpu or auto"
    )


def resolve_threads(threads: int | None) -> int:
    """The number of compute threads that `threads` stands for: itself, or all cores when None.

    Raises:
        InputError: more threads than cores, which would measure the contention between them.
    """
    cores = available_cores()
    if threads is None:
        return cores
    if not 1 <= threads <= cores:
        raise InputError(
            f"1 <= benchmark.threads <= cores must hold, but got threads={threads} with {cores} cores available; "
            "lower it, or leave it null to use all cores"
        )
    return threads


def _cpu_model() -> str:
    for line in kernel_text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """The instruction sets that choose between compute kernels, as far as Linux lists them."""
    for line in kernel_text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            present = set(value.split())
            return [feature for feature in _CPU_FEATURES if feature in present]
    return []


def _cuda_obstacle() -> str | None:
    """Why torch cannot use a GPU here, or None if it can. Imports torch only if there is a device node."""
    if not any(node for pattern in _GPU_NODES for node in Path("/dev").glob(pattern)):
        return "there is no GPU device node in /dev"
    import torch

    if torch.cuda.is_available():
        return None
    return f"torch {torch.__version__} reports no usable GPU (built for CUDA {torch.version.cuda})"


def _gpu_facts() -> dict[str, str]:
    import torch

    properties = torch.cuda.get_device_properties(0)
    driver = kernel_text(Path("/sys/module/nvidia/version")).strip() or "unknown"
    return {
        "gpu": properties.name,
        "gpu_memory_gib": str(round(properties.total_memory / _GIB)),
        "driver": driver,
        "cuda": str(torch.version.cuda or torch.version.hip),
    }
