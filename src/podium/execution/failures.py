"""Why a process ended: errors as JSON between processes, and exit codes turned into typed errors."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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
    disk_full_message,
    is_disk_full,
    is_machine_fault,
)

_TAIL_LINES = 15
_FULL_BYTES = 64 << 10
_SIGNALS_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Other signals are crashes of the process itself."""


@dataclass(frozen=True)
class Purpose:
    """What a process is for, in the words of its errors.

    Attributes:
        name: the subject of a sentence, such as "the training".
        memory_advice: what the user can do when it runs out of memory, such as "lower training.batch_size".
        time_advice: what the user can do when it runs out of time.
    """

    name: str = "the process"
    memory_advice: str = ""
    time_advice: str = ""


PROCESS = Purpose()


def describe(error: BaseException) -> dict[str, str]:
    """An exception as JSON that `rebuild` understands.

    A full disk and other faults of the machine become a StoreError, whatever the library made of them: they say nothing
    of the computation, which can be repeated when they are mended.
    """
    if is_disk_full(error) and not isinstance(error, StoreError):
        return {"type": StoreError.__name__, "message": disk_full_message(error)}
    if is_machine_fault(error):
        message = (
            f"the machine failed, not the computation ({type(error).__name__}: {error}); look at its disks and limits "
            "(ulimit -a) and run the same command again: what is finished is kept"
        )
        return {"type": StoreError.__name__, "message": message}
    return {"type": type(error).__name__, "message": str(error)}


def rebuild(failure: Mapping[str, str], log: Path | None, purpose: Purpose = PROCESS) -> PodiumError:
    """The typed error that a process described; one that Podium did not raise becomes a ComputationFailed.

    The message names the log, if the process had one of its own, except for input errors, which the log explains no
    further.
    """
    kind = getattr(errors, failure["type"], None)
    if isinstance(kind, type) and issubclass(kind, InputError):
        return kind(failure["message"])
    if isinstance(kind, type) and issubclass(kind, PodiumError):
        return kind(failure["message"] if log is None else f"{failure['message']}\nlog: {log}")
    return ComputationFailed(f"{purpose.name} failed with {failure['type']}: {failure['message']}\n{excerpt(log)}")


def death(
    exit_code: int, log: Path | None, kills_before: int, purpose: Purpose = PROCESS
) -> ComputationFailed | StoreError:
    """The error of a process that ended without a result, with an exit code that is negative for a signal.

    `kills_before` are the `out_of_memory_kills()` when the process started.
    """
    name, end, full = purpose.name, f"\n{excerpt(log)}", False
    with suppress(OSError):
        full = log is not None and shutil.disk_usage(log.parent).free < _FULL_BYTES
    if full:
        return StoreError(disk_full_message("and so the process could not write why it ended"))
    if exit_code >= 0:
        return ComputationFailed(f"{name} ended with exit code {exit_code} and no result{end}")
    if -exit_code != signal.SIGKILL:
        kind = KilledFromOutside if -exit_code in _SIGNALS_FROM_OUTSIDE else ProcessKilled
        return kind(f"{name} was ended by {signal_name(-exit_code)}{end}")
    if out_of_memory_kills() > kills_before:
        advice = f"; {purpose.memory_advice}" if purpose.memory_advice else ""
        return OutOfMemory(f"{name} must fit into memory, but the kernel's out-of-memory killer ended it{advice}{end}")
    return KilledFromOutside(
        f"{name} was ended by SIGKILL, by hand or by an out-of-memory killer that left no trace here{end}"
    )


def signal_name(number: int) -> str:
    """`SIGKILL` for 9, and so on."""
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


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
    found = 0
    for path in (_memory_events(), Path("/proc/vmstat")):
        with suppress(OSError):
            counts = dict(line.split() for line in path.read_text().splitlines())
            found += int(counts.get("oom_kill", 0))
    return found


def _memory_events() -> Path:
    lines: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return Path("/sys/fs/cgroup") / group / "memory.events"
