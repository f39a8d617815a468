"""The cores and memory that this process may use, with affinity and cgroup limits.

Reads small kernel files only: it is asked before every step.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil


def available_cores() -> int:
    """Cores this process may use: the CPU affinity, lowered by a cgroup CPU quota (rounded up)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cores()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _cgroup_cores(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Smallest CPU quota in cores on the way from this process's cgroup to the root; None without one.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst, "cpu.max"; scheduler/sched-bwc.rst for version 1.
    """
    quotas = []
    for folder in _cgroup_folders(root, membership, "cpu"):
        limit = _words(folder / "cpu.max")
        if not limit:
            limit = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(limit) == 2 and limit[0] not in ("max", "-1"):
            quotas.append(int(limit[0]) / int(limit[1]))
    return min(quotas, default=None)


def memory_bytes() -> int:
    """Memory this process may use: the machine's, lowered by a cgroup limit."""
    limits = [psutil.virtual_memory().total]
    for folder in _cgroup_folders(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"), "memory"):
        limit = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
        if limit and limit[0] != "max":
            limits.append(int(limit[0]))
    return min(limits)


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


def _words(path: Path) -> list[str]:
    return kernel_text(path).split()


def kernel_text(path: Path) -> str:
    """Content of a kernel file, empty where this system does not have it."""
    try:
        return path.read_text()
    except OSError:
        return ""
