"""Measures the kernels that take most time with Nsight Compute: one run per kernel, in a directory of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podium.keys import digest_bytes
from podium.profiling import ncu
from podium.profiling.attempt import AttemptFailed, Plan, make_attempt
from podium.profiling.ncu_report import Launch as Measured
from podium.profiling.ncu_report import Metric, can_read_reports, read_csv, read_report
from podium.profiling.nsys_report import KernelTime, NsysReport
from podium.profiling.tools import Call, Launch, new_session, tool_environment
from podium.profiling.workload import Timings, Workload, argv, ranges
from podium.records.profile import Attempt, Outcome

METRICS_CSV = "metrics.csv"
RETRIED: tuple[Outcome, ...] = ("timeout", "tool", "export", "invalid-report")
"""Outcomes after which an attempt is repeated once; the others would come out the same."""


@dataclass(frozen=True)
class NcuRun:
    """What all runs of ncu in a profile share."""

    workload: Workload
    spec: Path
    root: Path
    program: str
    versions: Mapping[str, str]
    seconds: float


def top_kernels(report: NsysReport, count: int) -> tuple[KernelTime, ...]:
    """The kernels that take most time, the first of them most; those without a name cannot be found by ncu."""
    return tuple(one for one in report.kernels if one.name)[:count]


def kernel_directory(rank: int, kernel: KernelTime) -> str:
    """Name of the directory of a kernel: its rank, and a digest of its name, which is too long for a file name."""
    return f"{rank:02}-{digest_bytes(kernel.name.encode())[:8]}"


def measure_kernels(
    run: NcuRun, kernels: Sequence[KernelTime], launch: Launch
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
        folder = run.root / "ncu" / kernel_directory(rank, kernel)
        for number in (1, 2):
            place = folder if number == 1 else folder / "again"
            made, found, timings = make_attempt(_plan(run, kernel, number, place), launch, _reading(run, launch))
            attempts.append(made)
            if timings is not None:
                times.append(timings)
            if found:
                counters[kernel.name] = found[0].metrics
            if made.outcome not in RETRIED:
                break
    return tuple(attempts), counters, tuple(times)


def _plan(run: NcuRun, kernel: KernelTime, number: int, folder: Path) -> Plan:
    within = "forward" if number == 1 else ""
    return Plan(
        tool="ncu",
        target=kernel.name,
        number=number,
        root=run.root,
        folder=folder,
        argv=lambda report, output: ncu.profile_argv(
            run.program, report, argv(run.spec, {"output": output}), kernel, within
        ),
        suffix=".ncu-rep",
        variables=run.workload.variables(),
        session=new_session(),
        versions=run.versions,
        seconds=run.seconds,
        expected=ranges(run.workload),
    )


def _reading(run: NcuRun, launch: Launch) -> Callable[[Plan], list[Measured]]:
    def read(plan: Plan) -> list[Measured]:
        table = plan.folder / METRICS_CSV
        environment = tool_environment(plan.variables, plan.folder / "tmp", plan.session)
        ended = launch(Call(ncu.csv_argv(run.program, plan.report), table, environment, plan.folder, run.seconds))
        if ended.exit_code != 0:
            raise AttemptFailed("export", f"ncu --import ended with exit code {ended.exit_code}; see {table}")
        found = read_report(plan.report) if can_read_reports() else []
        if not found:
            with table.open(encoding="utf-8", errors="replace") as lines:
                found = list(read_csv(lines))
        if not found:
            raise AttemptFailed("invalid-report", "the report has no launch of the kernel")
        return found

    return read
