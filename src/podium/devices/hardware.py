"""The machine: the cores that this process may use, and what a measurement depends on.

All of it is asked before steps that are then reused, so it reads small files and package metadata only; torch is
imported only on a machine that has a GPU device node.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import psutil

from podium.errors import InputError

_PACKAGES = ("torch", "transformers", "tokenizers")
_GPU_NODES = ("nvidia[0-9]*", "kfd", "dxg")
_CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "sve", "bf16")
_CPUS = Path("/sys/devices/system/cpu")
_GIB = 1 << 30


def fingerprint(device: str, threads: int | None) -> dict[str, str]:
    """The hardware and software that a latency depends on, as text by name: a part of the key of a measurement.

    It is equal between runs on one machine, also in pods that may take less memory of it. Raises InputError if the
    device, which is `cpu`, `cuda` or `auto` (cuda where there is one), is not there, or there are fewer cores than
    `threads`; None takes all cores.
    """
    resolved = resolve_device(device)
    facts = {
        "device": resolved,
        "precision": "fp32",
        "threads": str(resolve_threads(threads)),
        "cpu": _cpu_model(),
        "cpu_features": " ".join(cpu_features()),
        "cores": str(available_cores()),
        "memory_gib": str(round(psutil.virtual_memory().total / _GIB)),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }
    if resolved == "cuda":
        import torch

        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "gpu": properties.name,
            "gpu_memory_gib": str(round(properties.total_memory / _GIB)),
            "driver": kernel_text(Path("/sys/module/nvidia/version")) or "unknown",
            "cuda": str(torch.version.cuda or torch.version.hip),
        }
    return facts


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those of the packages that are installed, by name, without importing them."""
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def resolve_device(device: str) -> str:
    """Resolve `auto` to `cpu` or `cuda`; InputError if the device is not there, which says what is."""
    if device == "cpu":
        return "cpu"
    obstacle = "there is no GPU device node in /dev"
    if any(node for pattern in _GPU_NODES for node in Path("/dev").glob(pattern)):
        import torch

        if torch.cuda.is_available():
            return "cuda"
        obstacle = f"torch {torch.__version__} reports no usable GPU (built for CUDA {torch.version.cuda})"
    if device == "auto":
        return "cpu"
    raise InputError(
        f"benchmark.device=cuda needs a GPU that torch can use, but {obstacle}. This machine has: cpu "
        f"({_cpu_model()}, {available_cores()} cores). Set benchmark.device=cpu or auto"
    )


def resolve_threads(threads: int | None) -> int:
    """The number of compute threads: `threads` itself, or all cores when it is None.

    Raises InputError for more threads than cores, which would measure the contention between them.
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
    allowed = _affinity()
    if threads >= len(allowed):
        return ()
    siblings = {cpu: kernel_text(_CPUS / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in allowed}
    first = {shared: cpu for cpu, shared in reversed(siblings.items())}
    ordered = sorted(allowed, key=lambda cpu: (first[siblings[cpu]] != cpu, cpu))
    return tuple(sorted(ordered[:threads]))


def environment(device: str) -> dict[str, str]:
    """Facts that may explain a difference between two measurements but are not part of the key, as text by name.

    They are those of this process, of which it imports no library that has not been imported before.
    """
    facts = {
        "affinity": " ".join(str(cpu) for cpu in _affinity()),
        "governor": kernel_text(_CPUS / "cpu0/cpufreq/scaling_governor"),
        "mhz": _cpu_field("cpu MHz"),
        "microcode": _cpu_field("microcode"),
        "hypervisor": "yes" if " hypervisor " in f" {_cpu_field('flags')} " else "no",
        "numa_nodes": kernel_text(Path("/sys/devices/system/node/online")),
        "transparent_hugepages": kernel_text(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        "container": container_kind(),
        "load": " ".join(f"{figure:.2f}" for figure in os.getloadavg()),
        "allocator": os.environ.get("LD_PRELOAD", ""),
    }
    facts["numpy"] = metadata.version("numpy")
    if torch := sys.modules.get("torch"):
        facts |= {
            "torch_threads": f"{torch.get_num_threads()} within, {torch.get_num_interop_threads()} between operations",
            "blas": "MKL" if torch.backends.mkl.is_available() else "other than MKL",
            "onednn": "yes" if torch.backends.mkldnn.is_available() else "no",
            "torch_isa": str(torch.backends.cpu.get_cpu_capability()),
        }
    if onnxruntime := sys.modules.get("onnxruntime"):
        facts["onnxruntime"] = str(onnxruntime.__version__)
    if device == "cuda":
        facts |= _gpu_state()
    return {name: value for name, value in facts.items() if value}


def container_kind() -> str:
    """`kubernetes`, `docker` or `podman` where this process runs in their containers, otherwise empty."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    marks = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
    return next((name for mark, name in marks.items() if Path(mark).exists()), "")


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


def available_cores() -> int:
    """Cores this process may use: the CPU affinity, lowered by a cgroup CPU quota (rounded up)."""
    affinity = len(_affinity()) or os.cpu_count() or 1
    quota = _cgroup_cores()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _affinity() -> list[int]:
    """The CPUs that this process may run on; empty where the system does not bind processes."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _cgroup_cores(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Smallest CPU quota in cores on the way from this process's cgroup to the root; None without one.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst, "cpu.max"; scheduler/sched-bwc.rst for version 1.
    """
    quotas = []
    for folder in _cgroup_folders(root, membership, "cpu"):
        limit = kernel_text(folder / "cpu.max").split()
        if not limit:
            limit = kernel_text(folder / "cpu.cfs_quota_us").split() + kernel_text(folder / "cpu.cfs_period_us").split()
        if len(limit) == 2 and limit[0] not in ("max", "-1"):
            quotas.append(int(limit[0]) / int(limit[1]))
    return min(quotas, default=None)


def _cgroup_folders(root: Path, membership: Path, controller: str) -> list[Path]:
    """Folders with this process's limits for `controller`, innermost first; cgroup version 2 and version 1."""
    folders = []
    for line in kernel_text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        inner = base / path.lstrip("/")
        folders += [folder for folder in (inner, *inner.parents) if folder == base or base in folder.parents]
    return folders


def kernel_text(path: Path) -> str:
    """Content of a kernel file without space around it, empty where this system does not have it."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
