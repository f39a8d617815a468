"""Starts profiling tools with a deadline and an environment without secrets, and leaves nothing of them behind.

A tool writes the environment of what it profiles into its reports, so it gets allow-listed variables only. The agent of
nsys leads a session of its own and outlives a killed nsys; it is found again by a variable that all processes of an
attempt inherit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil

from podium.execution.ending import kill_tree, sigterm_unwinds
from podium.execution.failures import Purpose
from podium.execution.launch import Process
from podium.profiling.nsys import Version, parse_version

SESSION = "PODIUM_PROFILE_SESSION"
"""Set for every process of an attempt: `podium-PID-STARTED-NUMBER`, with the process that began it."""

ALLOWED = (
    *(
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "XDG_CACHE_HOME",
        "HF_HOME",
    ),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "KMP_AFFINITY"),
)
"""Variables of the caller that a tool gets. None of them holds a credential."""

_GRACE_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_numbers = count(1)


@dataclass(frozen=True)
class Call:
    """A tool to start: command line, log, all its environment variables, where it runs, and its deadline in seconds."""

    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    cwd: Path
    seconds: float


@dataclass(frozen=True)
class Ended:
    """How a tool ended; `exit_code` is None where it was stopped at its deadline, and negative for a signal."""

    exit_code: int | None
    seconds: float


Launch = Callable[[Call], Ended]
"""Runs a tool until it ends, at most until its deadline; a ComputationFailed where it cannot be started."""


def run_tool(call: Call) -> Ended:
    """Run a tool on this machine. It and everything that it started are gone when this returns or raises."""
    started = time.monotonic()
    try:
        with (
            sigterm_unwinds(),
            Process(
                call.argv,
                call.log,
                purpose=Purpose(Path(call.argv[0]).name),
                environment=call.environment,
                directory=call.cwd,
                watches_parent=False,
            ) as process,
        ):
            code = process.wait(call.seconds)
            if code is None:
                process.stop(_GRACE_SECONDS)
            return Ended(code, time.monotonic() - started)
    finally:
        end_session(call.environment.get(SESSION, ""))


def new_session() -> str:
    """A name for the processes of one attempt, which says which process began it."""
    me = psutil.Process()
    return f"podium-{me.pid}-{int(me.create_time())}-{next(_numbers)}"


def end_session(session: str) -> int:
    """Kill what is left of an attempt, and return how many processes that were."""
    left = [pid for pid, own in _sessions().items() if session and own == session]
    for pid in left:
        kill_tree(pid)
    return len(left)


def end_stale_sessions() -> int:
    """Kill what is left of attempts whose own process is gone, and return how many processes that were."""
    stale = [pid for pid, session in _sessions().items() if not _owner_lives(session)]
    for pid in stale:
        kill_tree(pid)
    return len(stale)


def _sessions() -> dict[int, str]:
    """The sessions of running processes of this user other than this one, by their ids."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                session = process.environ().get(SESSION, "")
                if session:
                    found[process.pid] = session
    return found


def _owner_lives(session: str) -> bool:
    match = re.fullmatch(r"podium-(\d+)-(\d+)-\d+", session)
    with suppress(psutil.Error):
        return match is None or int(psutil.Process(int(match[1])).create_time()) == int(match[2])
    return False


def tool_environment(variables: Mapping[str, str], temporary: Path, session: str) -> dict[str, str]:
    """All variables of an attempt: allow-listed ones of this process, and those of the workload.

    Args:
        temporary: where the tool puts its temporary files, made when needed.
    """
    temporary.mkdir(parents=True, exist_ok=True)
    given = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    return {**given, **variables, "TMPDIR": str(temporary), SESSION: session}


def find_tool(program: str) -> str | None:
    """Absolute path of a program by its name or path; None where there is none."""
    found = shutil.which(program)
    return None if found is None else str(Path(found).absolute())


def answer(argv: Sequence[str], seconds: float = _ANSWER_SECONDS) -> str:
    """What a tool answers to a question; empty where it fails, is not there, or does not answer in time."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def version_of(program: str) -> Version:
    """The version that nsys or ncu gives; empty where it gives none."""
    return parse_version(answer([program, "--version"]))
