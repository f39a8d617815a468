"""One attempt of a tool: prepared, started, judged by its evidence, and recorded, however it ends."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from podium.config.profile import ProfileConfig
from podium.errors import ComputationFailed
from podium.keys import manifest_of
from podium.profiling.commands import private_directory, write_command
from podium.profiling.nsys import InvalidReport, Version
from podium.profiling.tools import Call, Ended, Launch, tool_environment, version_of
from podium.profiling.workload import SPEC, TIMINGS, Timings, Workload, argv, ranges
from podium.records.profile import Attempt, Outcome

LOG = "log.txt"
RETRIED: tuple[Outcome, ...] = ("timeout", "tool", "export", "invalid-report")
"""Outcomes after which an attempt is repeated once; the others would come out the same."""

_SHOWN_LINES = 4
_MAX_LOG = 200_000

R = TypeVar("R")

ADMIN_ONLY = (
    "echo 'options nvidia NVreg_RestrictProfilingToAdminUsers=0' | sudo tee /etc/modprobe.d/podium-profiling.conf "
    "&& sudo update-initramfs -u && sudo reboot"
)
DCGM_PAUSE = "dcgmi profile --pause"

_KNOWN: tuple[tuple[str, Outcome, str, str], ...] = (
    (r"ERR_NVGPUCTRPERM", "setup", "the driver lets administrators alone read hardware counters", ADMIN_ONLY),
    (
        r"driver resource was unavailable",
        "setup",
        "something else reads the hardware counters, such as DCGM or another profiler",
        DCGM_PAUSE,
    ),
    (
        r"failed to connect to the CUDA driver|Driver could not be loaded",
        "setup",
        "there is no driver of an NVIDIA GPU",
        "install NVIDIA's driver, or run on a node with a GPU",
    ),
    (r"No space left on device", "setup", "the disk is full", "free some space"),
    (r"^No such file or directory: |is not an executable", "launch", "the workload could not be started", ""),
    (r"unrecognised option|usage: n(sys|cu) ", "tool", "this version does not know an option", ""),
)
"""What the tools say of failures that they alone know: a pattern, the outcome, the reason, and what mends it."""


class AttemptFailed(Exception):
    """An attempt did not end as it should."""

    def __init__(self, outcome: Outcome, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.outcome, self.reason, self.remedy = outcome, reason, remedy


@dataclass(frozen=True)
class Stage:
    """What all attempts of a profile share.

    Attributes:
        workload: started anew for every attempt.
    """

    workload: Workload
    root: Path
    config: ProfileConfig
    programs: Mapping[str, str]
    launch: Launch

    @property
    def spec(self) -> Path:
        """The file of the workload."""
        return self.root / SPEC

    def version(self, tool: str) -> Version:
        return version_of(self.programs[tool])

    def workload_argv(self, output: Path) -> list[str]:
        """The command of the workload alone, which writes into `output`."""
        return argv(self.spec, {"output": output})

    def start(self, command: Sequence[str], folder: Path, log: Path, session: str) -> Ended:
        """Run a command in a folder until it ends, or until its deadline."""
        environment = tool_environment(self.workload.variables(), folder / "tmp", session)
        return self.launch(Call(command, log, environment, folder, self.config.timeout_seconds))


@dataclass(frozen=True)
class Plan:
    """An attempt that is to be made.

    Attributes:
        target: what of the workload it looks at, and `number` as in `Attempt`.
        folder: of this attempt, below the directory of the profile.
        argv: makes the command line, given the path of the report and the directory for what the workload writes.
    """

    stage: Stage
    tool: str
    target: str
    number: int
    folder: Path
    session: str
    argv: Callable[[Path, Path], Sequence[str]]

    @property
    def report(self) -> Path:
        """Where the report must be at the end."""
        return self.folder / f"report.{self.tool}-rep"

    @property
    def output(self) -> Path:
        """Where the workload writes."""
        return self.folder / "workload"


def make_attempt(plan: Plan, read: Callable[[Plan], R]) -> tuple[Attempt, R | None, Timings | None]:
    """Make an attempt; returns its record, what `read` found in the report, and the times of the workload.

    Args:
        read: exports and checks the report, which is where it was asked for.
    """
    ended, found, timings = Ended(None, 0.0), None, None
    failed: AttemptFailed | None = None
    command: Sequence[str] = ()
    environment: dict[str, str] = {}
    versions = {plan.tool: ".".join(map(str, plan.stage.version(plan.tool)))}
    try:
        command, environment = _prepare(plan, versions)
        ended = plan.stage.start(command, plan.folder, plan.folder / LOG, plan.session)
        if ended.exit_code is None:
            raise AttemptFailed(
                "timeout",
                f"{plan.tool} was still running after {plan.stage.config.timeout_seconds} s and was stopped with all "
                "that it had started",
                "raise profile.timeout_seconds, or lower profile.iterations",
            )
        timings = _judge(plan, ended)
        found = read(plan)
    except AttemptFailed as error:
        failed = error
    except ComputationFailed as error:
        failed = AttemptFailed("launch", str(error))
    except InvalidReport as error:
        failed = AttemptFailed("invalid-report", str(error))
    except OSError as error:
        failed = AttemptFailed("setup", f"the files of the attempt cannot be written: {error}", "free the directory")
    shutil.rmtree(plan.folder / "tmp", ignore_errors=True)
    left = manifest_of(plan.folder) if plan.folder.is_dir() else {}
    place = plan.folder.relative_to(plan.stage.root)
    made = Attempt(
        tool=plan.tool,
        target=plan.target,
        outcome="ok" if failed is None else failed.outcome,
        number=plan.number,
        reason="" if failed is None else failed.reason,
        remedy="" if failed is None else failed.remedy,
        argv=tuple(command),
        cwd=str(plan.folder),
        environment=environment,
        versions=versions,
        exit_code=ended.exit_code,
        seconds=ended.seconds,
        files={f"{place}/{name}": digest for name, digest in left.items()},
    )
    return made, found if failed is None else None, timings


def _prepare(plan: Plan, versions: Mapping[str, str]) -> tuple[Sequence[str], dict[str, str]]:
    """Make the directories and the files with the command; nothing of an older attempt may count as evidence."""
    shutil.rmtree(plan.folder, ignore_errors=True)
    for folder in (plan.stage.root, plan.folder, plan.output, plan.folder / "rerun"):
        private_directory(folder)
    environment = tool_environment(plan.stage.workload.variables(), plan.folder / "tmp", plan.session)
    command = list(plan.argv(plan.report, plan.output))
    again = list(plan.argv(plan.folder / "rerun" / plan.report.name, plan.folder / "rerun"))
    shown = {**environment, "TMPDIR": "/tmp"}
    write_command(plan.folder, command, again, plan.folder, shown, versions)
    return command, environment


def _judge(plan: Plan, ended: Ended) -> Timings:
    """The times of the workload, once it has run to its end and the report is where it was asked for."""
    text = log_text(plan.folder / LOG)
    timings = read_timings(plan.output / TIMINGS)
    there = plan.report.is_file() and plan.report.stat().st_size > 0
    code = f"{plan.tool} ended with exit code {ended.exit_code}"
    if timings is None:
        if not there:
            _known_failure(text)
        if there or "application returned an error code" in text:
            raise AttemptFailed("application", f"the workload failed: {code}; {_excerpt(text)}")
        raise AttemptFailed("tool", f"{code}, and neither it nor the workload left anything; {_excerpt(text)}")
    if timings.counts != (expected := ranges(plan.stage.workload)):
        raise AttemptFailed("application", f"the workload must open {expected}, but opened {timings.counts}")
    if there:
        return timings
    _known_failure(text)
    if (raw := plan.report.with_suffix(".qdstrm")).is_file():
        raise AttemptFailed(
            "export",
            f"{code} and left only {raw.name}, which it could not import; {_excerpt(text)}",
            "install the host part of Nsight Systems where nsys looks for it: host-linux-x64 beside target-linux-x64",
        )
    elsewhere = [str(path) for path in (plan.folder / "tmp").rglob(f"*{plan.report.suffix}")]
    where = f", but at {elsewhere[0]}" if elsewhere else ""
    raise AttemptFailed("tool", f"{code} and left no report at {plan.report}{where}; {_excerpt(text)}")


def _known_failure(text: str) -> None:
    for pattern, outcome, reason, remedy in _KNOWN:
        if re.search(pattern, text, re.MULTILINE):
            raise AttemptFailed(outcome, f"{reason}: {_excerpt(text, pattern)}", remedy)


def read_timings(path: Path) -> Timings | None:
    """The times that a workload wrote; None where it did not come to its end."""
    try:
        return Timings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def log_text(path: Path) -> str:
    """The end of a log, without the progress bars of nsys."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MAX_LOG))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = re.split(r"[\r\n]+", text)
    return "\n".join(line for line in lines if line.strip() and not re.search(r"\[=*\d+%", line))


def _excerpt(text: str, pattern: str = "") -> str:
    """The line that matches, or the last ones."""
    lines = [line.strip() for line in text.splitlines()]
    chosen = [line for line in lines if pattern and re.search(pattern, line)][:1] or lines[-_SHOWN_LINES:]
    return " | ".join(chosen) or "its log is empty"
