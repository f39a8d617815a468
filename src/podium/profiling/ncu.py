"""Command lines of Nsight Compute, as pure functions of what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from podium.profiling.nsys_report import KernelTime


def profile_argv(
    program: str, report: Path, workload: Sequence[str], kernel: KernelTime | None = None, within: str = "forward"
) -> list[str]:
    """The command that measures the first launch in a workload, or the first one of a kernel.

    Clocks are left as they are, so that times are those of the deployed model, and no right to set them is needed.

    Args:
        program: name or path of ncu.
        report: path of the report, with the suffix `.ncu-rep`.
        workload: the command line of the workload.
        kernel: as nsys saw it; None for any.
        within: the range of the workload in which launches count; empty: everywhere.
    """
    argv = [program, f"--export={report}", "--force-overwrite", "--target-processes=all"]
    argv += ["--clock-control=none", "--replay-mode=kernel", "--set=detailed"]
    if within:
        argv += ["--nvtx", f"--nvtx-include={within}/"]  # the slash means a push/pop range
    if kernel is not None:
        argv += [f"--kernel-name-base={kernel.base}", f"--kernel-name={kernel.match or kernel.name}"]
    return [*argv, "--launch-count=1", *workload]


def csv_argv(program: str, report: Path) -> list[str]:
    """The command that prints all metrics of a report as CSV, in base units."""
    return [program, f"--import={report}", "--csv", "--page=raw", "--print-units=base"]
