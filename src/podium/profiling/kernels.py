"""Measures the kernels that take most time with Nsight Compute: one run per kernel, in a directory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from podium.keys import digest_bytes
from podium.profiling import ncu
from podium.profiling.attempt import AttemptFailed, Plan, Stage, make_attempt
from podium.profiling.ncu_report import Launch, Metric, can_read_reports, read_csv, read_report
from podium.profiling.nsys_report import KernelTime, NsysReport
from podium.profiling.tools import new_session
from podium.profiling.workload import Timings
from podium.records.profile import Attempt, Outcome

METRICS_CSV = "metrics.csv"
RETRIED: tuple[Outcome, ...] = ("timeout", "tool", "export", "invalid-report")
"""Outcomes after which an attempt is repeated once; the others would come out the same."""


def top_kernels(report: NsysReport, count: int) -> tuple[KernelTime, ...]:
    """The kernels that take most time, the first of them most; those without a name cannot be found by ncu."""
    return tuple(one for one in report.kernels if one.name)[:count]


def kernel_directory(rank: int, kernel: KernelTime) -> str:
    """Name of the directory of a kernel: its rank, and a digest of its name, which is too long for a file name."""
    return f"{rank:02}-{digest_bytes(kernel.name.encode())[:8]}"


def measure_kernels(
    stage: Stage, kernels: Sequence[KernelTime]
) -> tuple[tuple[Attempt, ...], dict[str, dict[str, Metric]], tuple[Timings, ...]]:
    """Measure each kernel.

    Where no launch in the range `forward` was seen, the kernel is measured again wherever it is launched: then its
    launch may be one of the warm-up.

    Returns:
        All attempts; the counters of the first measured launch of each kernel, by its name; and the times of the
        workload meanwhile.
    """
    attempts: list[Attempt] = []
    counters: dict[str, dict[str, Metric]] = {}
    times: list[Timings] = []
    for rank, kernel in enumerate(kernels, 1):
        folder = stage.root / "ncu" / kernel_directory(rank, kernel)
        for number in (1, 2):
            place = folder if number == 1 else folder / "again"
            made, found, timings = make_attempt(_plan(stage, kernel, number, place), _read)
            attempts.append(made)
            if timings is not None:
                times.append(timings)
            if found:
                counters[kernel.name] = found[0].metrics
            if made.outcome not in RETRIED:
                break
    return tuple(attempts), counters, tuple(times)


def _plan(stage: Stage, kernel: KernelTime, number: int, folder: Path) -> Plan:
    within = "forward" if number == 1 else ""

    def argv(report: Path, output: Path) -> list[str]:
        return ncu.profile_argv(stage.programs["ncu"], report, stage.workload_argv(output), kernel, within)

    return Plan(stage, "ncu", kernel.name, number, folder, new_session(), argv)


def _read(plan: Plan) -> list[Launch]:
    """The measured launches in the report, which is exported as a table first."""
    table = plan.folder / METRICS_CSV
    command = ncu.csv_argv(plan.stage.programs["ncu"], plan.report)
    ended = plan.stage.start(command, plan.folder, table, plan.session)
    if ended.exit_code != 0:
        raise AttemptFailed("export", f"ncu --import ended with exit code {ended.exit_code}; see {table}")
    found = read_report(plan.report) if can_read_reports() else []
    if not found:
        with table.open(encoding="utf-8", errors="replace") as lines:
            found = list(read_csv(lines))
    if not found:
        raise AttemptFailed("invalid-report", "the report has no launch of the kernel")
    return found
