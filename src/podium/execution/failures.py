"""Why a training ended: errors as JSON between processes, and exit codes turned into typed errors."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from podium import errors
from podium.errors import (
    ComputationFailed,
    InputError,
    KilledFromOutside,
    OutOfMemory,
    PodiumError,
    ProcessKilled,
    StoreError,
    is_disk_full,
)

_TAIL_LINES = 15
_FULL_BYTES = 64 << 10
_OTHERS_SIGNALS = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""What ends a process from outside; other signals are crashes of its own."""
_DISK_FULL = (
    "a training must be able to write its files, but the disk is full ({}); free some space and run the same command "
    "again: what is finished or checkpointed is kept"
)


def describe(error: BaseException) -> dict[str, str]:
    """An exception as JSON that `rebuild` understands.

    A full disk becomes a StoreError whatever the library made of it: the training is not to blame, and can go on once
    there is room.
    """
    if is_disk_full(error) and not isinstance(error, StoreError):
        return {
            "type": StoreError.__name__,
            "message": _DISK_FULL.format(error),
        }
    return {"type": type(error).__name__, "message": str(error)}


def rebuild(failure: Mapping[str, str], log: Path | None) -> PodiumError:
    """The typed error that a training described; one that Podium did not raise becomes a ComputationFailed.

    Input errors stand for themselves; the others name the log, if the training had one of its own.
    """
    kind = getattr(errors, failure["type"], None)
    if isinstance(kind, type) and issubclass(kind, InputError):
        return kind(failure["message"])
    if isinstance(kind, type) and issubclass(kind, PodiumError):
        return kind(failure["message"] if log is None else f"{failure['message']}\nlog: {log}")
    return ComputationFailed(f"the training failed with {failure['type']}: {failure['message']}\n{excerpt(log)}")


def death(exit_code: int, log: Path | None, kills_before: int) -> PodiumError:
    """The error of a process that ended without saying why.

    Args:
        exit_code: negative for a signal.
        log: of the process; None when its parent's is its own.
        kills_before: `out_of_memory_kills()` when the process started.
    """
    if _is_disk_full(log):
        return StoreError(_DISK_FULL.format("it could not say how it ended"))
    if exit_code >= 0:
        return ComputationFailed(f"the training ended with exit code {exit_code} and no result\n{excerpt(log)}")
    name = signal_name(-exit_code)
    if -exit_code != signal.SIGKILL:
        kind = KilledFromOutside if -exit_code in _OTHERS_SIGNALS else ProcessKilled
        return kind(f"the training was ended by {name}\n{excerpt(log)}")
    if out_of_memory_kills() > kills_before:
        return OutOfMemory(
            "a training must fit into memory, but the kernel's out-of-memory killer ended it; lower "
            f"training.batch_size, training.max_length or hpo.parallel_trials\n{excerpt(log)}"
        )
    return KilledFromOutside(
        "the training was ended by SIGKILL: by hand, or by an out-of-memory killer that left no trace here\n"
        f"{excerpt(log)}"
    )


def _is_disk_full(log: Path | None) -> bool:
    """Whether there is no room left where a training writes its log, and so could not write why it ended."""
    try:
        return log is not None and shutil.disk_usage(log.parent).free < _FULL_BYTES
    except OSError:
        return False


def signal_name(number: int) -> str:
    """`SIGKILL` for 9, and so on."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def excerpt(log: Path | None) -> str:
    """The last lines of a log and its path."""
    if log is None:
        return ""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"log: {log} (cannot be read: {error.strerror})"
    return "\n".join([*(f"  | {line}" for line in lines[-_TAIL_LINES:]), f"log: {log}"])


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed for memory, in this cgroup and on this machine; 0 where unknown."""
    return sum(_counter(path, "oom_kill") for path in (_memory_events(), Path("/proc/vmstat")))


def _memory_events() -> Path:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return Path("/sys/fs/cgroup") / group / "memory.events"


def _counter(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)
