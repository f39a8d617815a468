"""The hardware and software that a measurement depends on: a part of its key.

The fingerprint is computed before every benchmark, also for one that is then reused, so it reads small
files and package metadata only; torch is imported only on a machine that has a GPU device node.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from podium.devices.machine import available_cores, kernel_text, memory_bytes
from podium.errors import InputError

EAGER_PRECISION = "fp32"
"""The precision in which the eager variant is loaded and measured."""

_PACKAGES = ("torch", "transformers", "tokenizers")
_GPU_NODES = ("nvidia[0-9]*", "kfd", "dxg")
_CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "sve", "bf16")
_CPUS = Path("/sys/devices/system/cpu")
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
    """Resolve `auto` to a device of this machine, and check the others; returns `cpu` or `cuda`.

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
    """The number of compute threads: `threads` itself, or all cores when it is None.

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


def bound_cores(threads: int) -> tuple[int, ...]:
    """The CPUs for a process of `threads` threads: one per physical core first, so that threads share none if possible.

    Empty where the system does not bind processes, or where all CPUs are needed anyway.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    if threads >= len(allowed):
        return ()
    siblings = {
        cpu: kernel_text(_CPUS / f"cpu{cpu}/topology/thread_siblings_list").strip() or str(cpu) for cpu in allowed
    }
    first = {shared: cpu for cpu, shared in reversed(siblings.items())}
    ordered = sorted(allowed, key=lambda cpu: (first[siblings[cpu]] != cpu, cpu))
    return tuple(sorted(ordered[:threads]))


def environment(device: str) -> dict[str, str]:
    """Facts that may explain a difference between two measurements but are not part of the key, as this process sees.

    It imports no library that the process has not imported before.

    Returns:
        Text by name: affinity, governor, load, container limits; builds and threads of the numeric libraries that are
        loaded; on a GPU its clocks and power limit.
    """
    facts = {
        "affinity": _listed(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "",
        "governor": kernel_text(_CPUS / "cpu0/cpufreq/scaling_governor").strip(),
        "mhz": _cpu_field("cpu MHz"),
        "microcode": _cpu_field("microcode"),
        "hypervisor": "yes" if " hypervisor " in f" {_cpu_field('flags')} " else "no",
        "numa_nodes": kernel_text(Path("/sys/devices/system/node/online")).strip(),
        "transparent_hugepages": kernel_text(Path("/sys/kernel/mm/transparent_hugepage/enabled")).strip(),
        "container": container_kind(),
        "load": " ".join(f"{figure:.2f}" for figure in os.getloadavg()),
        "allocator": os.environ.get("LD_PRELOAD", ""),
    }
    facts |= _library_facts() | (_gpu_state() if device == "cuda" else {})
    return {name: value for name, value in facts.items() if value}


def container_kind() -> str:
    """`kubernetes`, `docker` or `podman` where this process runs in their containers, otherwise empty."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    marks = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
    return next((name for mark, name in marks.items() if Path(mark).exists()), "")


def _listed(numbers: list[int]) -> str:
    return " ".join(str(number) for number in numbers)


def _library_facts() -> dict[str, str]:
    facts = {"numpy": metadata.version("numpy")}
    if torch := sys.modules.get("torch"):
        facts |= {
            "torch_threads": f"{torch.get_num_threads()} within, {torch.get_num_interop_threads()} between operations",
            "blas": "MKL" if torch.backends.mkl.is_available() else "other than MKL",
            "onednn": "yes" if torch.backends.mkldnn.is_available() else "no",
            "torch_isa": str(torch.backends.cpu.get_cpu_capability()),
        }
    if onnxruntime := sys.modules.get("onnxruntime"):
        facts["onnxruntime"] = str(onnxruntime.__version__)
    return facts


def _gpu_state() -> dict[str, str]:
    """Name of the GPU; clocks and power limit where `nvidia-smi` reports them."""
    import torch

    name = {"gpu": str(torch.cuda.get_device_name(0))}
    fields = ("clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit", "persistence_mode", "vbios_version")
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return name
    return name | {f"gpu_{field}": value.strip() for field, value in zip(fields, answer.split(","), strict=False)}


def _cpu_model() -> str:
    return _cpu_field("model name") or platform.processor() or platform.machine()


def _cpu_field(*names: str) -> str:
    """The first field of /proc/cpuinfo with one of these names; empty where there is none."""
    for line in kernel_text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def cpu_features() -> list[str]:
    """The instruction sets that choose between compute kernels, as far as Linux lists them."""
    present = set(_cpu_field("flags", "Features").split())
    return [feature for feature in _CPU_FEATURES if feature in present]


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
