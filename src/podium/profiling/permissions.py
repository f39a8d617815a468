"""What the profiling tools need of this machine, whether it is there, and the command that mends it.

Everything is read: nothing is started but the tools' own `--version`, `nvidia-smi` and `dcgmi`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from podium.devices.hardware import kernel_text
from podium.profiling.attempt import ADMIN_ONLY, DCGM_PAUSE
from podium.profiling.ncu import can_read_reports
from podium.profiling.nsys import Version, parse_version
from podium.profiling.tools import answer, find_tool
from podium.records.profile import Permission, Status

OLDEST: dict[str, Version] = {"nsys": (2021, 3), "ncu": (2021, 3)}
"""Oldest versions whose options and reports are known here."""

_TOOLS = {
    "nsys": ("Nsight Systems", "nsight-systems-cli"),
    "ncu": ("Nsight Compute", "nsight-compute"),
}
_CAPABILITIES = {21: "SYS_ADMIN", 38: "PERFMON"}
"""Bits of Linux' capabilities, either of which lets a process read hardware counters."""

_GPU_ONLY = "kernels and counters exist on NVIDIA GPUs alone"


@dataclass(frozen=True)
class Need:
    """A row of the table.

    Attributes:
        blocks: tools that are not started because of it.
    """

    permission: Permission
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """What is looked at: the root of the file system, and how programs are found and asked."""

    root: Path = Path("/")
    find: Callable[[str], str | None] = find_tool
    ask: Callable[[Sequence[str]], str] = answer
    has_package: Callable[[str], bool] = lambda name: find_spec(name) is not None

    def text(self, name: str) -> str:
        """Content of a file of the kernel; empty where it is not there."""
        return kernel_text(self.root / name)


def needs(nsys: str = "nsys", ncu: str = "ncu", machine: Machine | None = None) -> tuple[Need, ...]:
    """The table of this machine."""
    seen = machine or Machine()
    gpus = _gpus(seen)
    return (
        _tool(seen, "nsys", nsys),
        _nvtx(seen),
        _sampling(seen),
        _gpu(seen, gpus),
        _tool(seen, "ncu", ncu),
        *(() if not gpus else (_idle(seen), _counters(seen), _dcgm(seen))),
        _reader(),
    )


def permission_table(nsys: str = "nsys", ncu: str = "ncu", machine: Machine | None = None) -> tuple[Permission, ...]:
    """The rows of `needs` that people see."""
    return tuple(need.permission for need in needs(nsys, ncu, machine))


def obstacle(found: Sequence[Need], tool: str) -> Permission | None:
    """The first reason for which a tool is not started; None if there is none."""
    return next((need.permission for need in found if tool in need.blocks), None)


def _row(name: str, status: Status, reason: str, remedy: str = "", blocks: tuple[str, ...] = ()) -> Need:
    return Need(Permission(name=name, status=status, reason=reason, remedy=remedy), blocks)


def _tool(machine: Machine, tool: str, program: str) -> Need:
    title, package = _TOOLS[tool]
    install = f"apt-get install {package} (from NVIDIA's repository), or set profile.{tool}=PATH"
    path = machine.find(program)
    if path is None:
        return _row(tool, "skipped", f"{program} was not found: {title} is not installed", install, (tool,))
    version = parse_version(machine.ask([path, "--version"]))
    shown = ".".join(map(str, version))
    if not version:
        return _row(tool, "skipped", f"{path} does not say its version, so it cannot be run", install, (tool,))
    if version < OLDEST[tool]:
        oldest = ".".join(map(str, OLDEST[tool]))
        return _row(tool, "skipped", f"{path} must be of version {oldest} or later, but is {shown}", install, (tool,))
    return _row(tool, "ok", f"{shown} at {path}")


def _nvtx(machine: Machine) -> Need:
    if machine.has_package("nvtx"):
        return _row("nvtx", "ok", "ranges of the workload are shown to nsys and ncu")
    text = "the package nvtx is not installed, so nsys sees no ranges and nothing could be checked"
    return _row("nvtx", "skipped", text, "pip install 'podium[profile]'", ("nsys", "ncu"))


def _sampling(machine: Machine) -> Need:
    level = machine.text("proc/sys/kernel/perf_event_paranoid")
    return _row("perf_event_paranoid", "ok", f"{level or 'unknown'}; any will do, since nsys does not sample here")


def _gpus(machine: Machine) -> list[str]:
    if not machine.text("proc/driver/nvidia/version"):
        return []
    smi = machine.find("nvidia-smi")
    said = machine.ask([smi, "--query-gpu=name", "--format=csv,noheader"]) if smi else ""
    return [line.strip() for line in said.splitlines() if line.strip()] or ["a GPU that nvidia-smi does not describe"]


def _gpu(machine: Machine, gpus: list[str]) -> Need:
    if gpus:
        return _row("GPU", "ok", ", ".join(gpus))
    text = f"there is no driver of an NVIDIA GPU here: {_GPU_ONLY}"
    return _row("GPU", "skipped", text, "run on a node with a GPU, with profile.device=cuda", ("ncu",))


def _idle(machine: Machine) -> Need:
    smi = machine.find("nvidia-smi")
    if smi is None:
        return _row("GPU idle", "ok", "cannot be seen without nvidia-smi")
    said = machine.ask([smi, "--query-compute-apps=pid,process_name", "--format=csv,noheader"])
    others = [line.strip() for line in said.splitlines() if line.strip() and _pid(line) != os.getpid()]
    if others:
        text = f"busy with {'; '.join(others)}: times would be those of both, and counters of replays are wrong"
        remedy = "wait until they end, or choose an idle GPU with CUDA_VISIBLE_DEVICES"
        return _row("GPU idle", "degraded", text, remedy, ("ncu",))
    return _row("GPU idle", "ok", "nothing else computes on it")


def _pid(line: str) -> int:
    number = line.partition(",")[0].strip()
    return int(number) if number.isdigit() else 0


def _counters(machine: Machine) -> Need:
    """Whether hardware counters may be read: the driver's switch, and what this process may do in spite of it."""
    match = re.search(r"RmProfilingAdminOnly:\s*(\d)", machine.text("proc/driver/nvidia/params"))
    held = capabilities(machine.text("proc/self/status"))
    if match is None or match[1] == "0":
        return _row("counters", "ok", "the driver lets every user read hardware counters")
    if held:
        return _row("counters", "ok", f"RmProfilingAdminOnly=1, and this process has {' and '.join(held)}")
    text = "RmProfilingAdminOnly=1, and this process has neither SYS_ADMIN nor PERFMON, which a pod gets from"
    remedy = f"{ADMIN_ONLY}; on a cluster: profile.mode=privileged-job with profiling.enabled=true in the chart"
    return _row("counters", "degraded", f"{text} no profile of KFP", remedy, ("ncu",))


def capabilities(status: str) -> list[str]:
    """Those capabilities that let a process read counters and that it has, by the text of its /proc/PID/status."""
    match = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", status, re.MULTILINE)
    bits = int(match[1], 16) if match else 0
    return [name for bit, name in _CAPABILITIES.items() if bits >> bit & 1]


def _dcgm(machine: Machine) -> Need:
    """DCGM reads counters all the time, and one reader excludes another; `dcgmi` can pause it."""
    dcgmi = machine.find("dcgmi")
    running = any("nv-hostengine" in line or "dcgm-exporter" in line for line in _programs(machine.root))
    if dcgmi is not None:
        return _row("DCGM", "ok", f"paused with {dcgmi} while ncu runs, and resumed after it")
    if running:
        text = "holds the hardware counters, and dcgmi is not here to pause it"
        return _row("DCGM", "degraded", text, f"{DCGM_PAUSE}, on the node, and --resume afterwards", ("ncu",))
    return _row("DCGM", "ok", "does not run here")


def _programs(root: Path) -> Iterator[str]:
    for entry in (root / "proc").glob("[0-9]*/comm"):
        yield kernel_text(entry)


def _reader() -> Need:
    if can_read_reports():
        return _row("ncu-report", "ok", "reports of ncu are read with all their digits")
    return _row("ncu-report", "ok", "not installed: reports of ncu are read as CSV, with two digits behind the point")
