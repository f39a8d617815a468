"""Command lines of Nsight Systems, as pure functions of what is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

Version = tuple[int, ...]

_TRACES = {"cpu": "nvtx,osrt", "cuda": "cuda,nvtx,osrt,cudnn,cublas"}
"""What can be traced of a workload, by its device."""

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


def profile_argv(program: str, device: str, report: Path, session: str, workload: Sequence[str]) -> list[str]:
    """The command that records a whole process.

    Sampling and context switches are off: they need rights, and they slow down what is measured.

    Args:
        program: name or path of nsys.
        device: of the workload, `cpu` or `cuda`.
        report: path of the report, with the suffix `.nsys-rep`.
        session: name of the session, by which its agent is found again.
        workload: the command line of the workload.
    """
    argv = [program, "profile", f"--trace={_TRACES[device]}", "--sample=none", "--cpuctxsw=none"]
    argv += [f"--session-new={session}", "--wait=primary", "--force-overwrite=true", f"--output={report}"]
    return [*argv, *workload]


def export_argv(program: str, report: Path, database: Path) -> list[str]:
    """The command that writes a report as a SQLite database."""
    return [program, "export", "--type=sqlite", "--force-overwrite=true", f"--output={database}", str(report)]


def stats_argv(program: str, version: Version, subjects: Sequence[str], database: Path) -> list[str]:
    """The command that writes summaries as CSV files beside the database; see `stats_file`."""
    names = ",".join(_report_name(subject, version) for subject in subjects)
    how = ["--force-overwrite=true", "--format=csv", f"--report={names}", f"--output={database.with_suffix('')}"]
    return [program, "stats", *how, str(database)]


def stats_file(version: Version, subject: str, database: Path) -> Path:
    """Where `stats_argv` leaves the file of a subject. nsys writes none for what it did not record."""
    return database.with_name(f"{database.stem}_{_report_name(subject, version)}.csv")


def _report_name(subject: str, version: Version) -> str:
    """The name that a version of nsys gives to the report of a subject."""
    old, new = _REPORTS[subject]
    return new if version >= _RENAMED else old


def parse_version(text: str) -> Version:
    """The version in the answer to `--version` of nsys or ncu; empty where there is none."""
    found = re.search(r"\b[Vv]ersion:?\s+(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()
