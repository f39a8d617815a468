"""Command lines of Nsight Systems, as pure functions of what is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, ...]

CPU_TRACE = ("nvtx", "osrt")
GPU_TRACE = ("cuda", "nvtx", "osrt", "cudnn", "cublas")

_RENAMED: Version = (2023, 1)
"""The version from which reports have names with underscores."""

_REPORTS: Mapping[str, tuple[str, str]] = {
    "ranges": ("nvtxsum", "nvtx_sum"),
    "kernels": ("gpukernsum", "cuda_gpu_kern_sum"),
    "calls": ("osrtsum", "osrt_sum"),
    "copies": ("gpumemtimesum", "cuda_gpu_mem_time_sum"),
    "api": ("cudaapisum", "cuda_api_sum"),
}
"""Names of the reports of `nsys stats`, before and after they were renamed, by what they show."""


@dataclass(frozen=True)
class NsysOptions:
    """What nsys records.

    Attributes:
        program: name or path of nsys.
        trace: APIs that it traces; empty for nsys' own choice.
        capture_range: the NVTX range at whose first occurrence it records, and at whose end it stops; empty: the whole
            process.
    """

    program: str = "nsys"
    trace: tuple[str, ...] = CPU_TRACE
    capture_range: str = ""


def profile_argv(options: NsysOptions, report: Path, session: str, workload: Sequence[str]) -> list[str]:
    """The command that records a workload.

    Sampling and context switches are off: they need rights, and they slow down what is measured. The workload runs on
    after the captured range, so that it can say how long it took.

    Args:
        report: path of the report, with the suffix `.nsys-rep`.
        session: name of the session, by which its agent is found again.
        workload: the command line of the workload.
    """
    argv = [options.program, "profile"]
    if options.trace:
        argv.append(f"--trace={','.join(options.trace)}")
    argv += ["--sample=none", "--cpuctxsw=none"]
    if options.capture_range:
        argv += [
            "--capture-range=nvtx",
            f"--nvtx-capture={options.capture_range}",
            "--capture-range-end=stop",
            # Otherwise ranges are found only if their names were registered.
            "--env-var=NSYS_NVTX_PROFILER_REGISTER_ONLY=0",
        ]
    argv += [f"--session-new={session}", "--wait=primary", "--force-overwrite=true", f"--output={report}"]
    return [*argv, *workload]


def export_argv(program: str, report: Path, database: Path) -> list[str]:
    """The command that writes a report as a SQLite database."""
    return [program, "export", "--type=sqlite", "--force-overwrite=true", f"--output={database}", str(report)]


def stats_argv(program: str, version: Version, subjects: Sequence[str], database: Path) -> list[str]:
    """The command that writes summaries as CSV files beside the database; see `stats_files`."""
    names = ",".join(report_name(subject, version) for subject in subjects)
    stem = database.with_suffix("")
    return [
        program,
        "stats",
        "--force-overwrite=true",
        "--format=csv",
        f"--report={names}",
        f"--output={stem}",
        str(database),
    ]


def stats_files(version: Version, subjects: Sequence[str], database: Path) -> dict[str, Path]:
    """Where `stats_argv` leaves its files, by what they show. nsys writes none for what it did not record."""
    stem = database.with_suffix("")
    return {subject: stem.with_name(f"{stem.name}_{report_name(subject, version)}.csv") for subject in subjects}


def report_name(subject: str, version: Version) -> str:
    """The name that a version of nsys gives to the report of a subject."""
    old, new = _REPORTS[subject]
    return new if version >= _RENAMED else old


def parse_version(text: str) -> Version:
    """The version in the answer to `--version` of nsys or ncu; empty where there is none."""
    found = re.search(r"\b[Vv]ersion:?\s+(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()
