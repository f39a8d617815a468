"""Nsight Compute: its command lines, what it measured, and one run of it for each kernel that takes most time."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from podium.execution.ending import signals_ignored, sigterm_unwinds
from podium.keys import digest_bytes
from podium.profiling.attempt import RETRIED, AttemptFailed, Plan, Stage, make_attempt
from podium.profiling.nsys import InvalidReport, KernelTime, NsysReport
from podium.profiling.tools import answer, find_tool, new_session
from podium.profiling.workload import Timings
from podium.records.base import Frozen
from podium.records.profile import Attempt

METRICS_CSV = "metrics.csv"
_ID, _KERNEL, _UNNAMED = "ID", "Kernel Name", ("Process ID", "Process Name", "Host Name", "Kernel Time")
_UNITS = {"nsecond": "ns", "usecond": "us", "msecond": "ms", "second": "s"}
"""What other versions call the same units: figures must not depend on the version that was asked."""

_log = logging.getLogger(__name__)


def profile_argv(
    program: str, report: Path, workload: Sequence[str], kernel: KernelTime | None = None, within: str = "forward"
) -> list[str]:
    """The command that measures the first launch in a workload, or the first one of a kernel.

    Clocks are left as they are, so that times are those of the deployed model, and no right to set them is needed.

    Args:
        report: path of the report, with the suffix `.ncu-rep`.
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


class Metric(Frozen):
    """A figure of ncu in base units; text where it is no number."""

    value: float | str
    unit: str = ""


class Launch(Frozen):
    """One measured launch of a kernel: its name, and its figures by the name of the metric."""

    kernel: str
    metrics: dict[str, Metric]


def read_csv(lines: Iterable[str]) -> Iterator[Launch]:
    """The launches in the output of `ncu --csv --page=raw`, one by one.

    What ncu prints before the table is passed over. The row below the header holds units; older versions print none.

    Raises:
        InvalidReport: there is no table, or it has no names of kernels.
    """
    rows = csv.reader(line for line in lines if not line.startswith("==") and line.strip())
    header = next((row for row in rows if _ID in row), None)
    if header is None or _KERNEL not in header:
        raise InvalidReport(
            f"the CSV of ncu must have the columns {_ID} and {_KERNEL}, but has {header or 'no header'}"
        )
    units: Mapping[str, str] = {}
    for values in rows:
        row = dict(zip(header, values, strict=False))
        if not row[_ID]:
            units = {name: _UNITS.get(unit, unit) for name, unit in row.items()}
            continue
        given = {name: value for name, value in row.items() if value and name not in (_ID, _KERNEL, *_UNNAMED)}
        metrics = {name: Metric(value=_number(value), unit=units.get(name, "")) for name, value in given.items()}
        yield Launch(kernel=row[_KERNEL], metrics=metrics)


def _number(text: str) -> float | str:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text


def can_read_reports() -> bool:
    """Whether `.ncu-rep` files can be read here, which takes the package `ncu-report`."""
    return find_spec("ncu_report") is not None


def read_report(path: Path) -> list[Launch]:
    """The launches in a `.ncu-rep` file; metrics without a value of their own are left out.

    Raises:
        InvalidReport: it is no report of ncu.
    """
    import ncu_report

    try:
        context = ncu_report.load_report(str(path))
    except Exception as error:  # the library raises what its C++ throws
        raise InvalidReport(f"{path} is no report of ncu: {error}") from error
    found = []
    for index in range(context.num_ranges()):
        part = context.range_by_idx(index)
        for number in range(part.num_actions()):
            action = part.action_by_idx(number)
            named = {name: action.metric_by_name(name) for name in action.metric_names()}
            metrics = {
                name: Metric(value=one.value(), unit=_UNITS.get(one.unit(), one.unit() or ""))
                for name, one in named.items()
                if one.has_value()
            }
            found.append(Launch(kernel=action.name(), metrics=metrics))
    return found


def measure_kernels(
    stage: Stage, report: NsysReport
) -> tuple[tuple[Attempt, ...], dict[str, dict[str, Metric]], tuple[Timings, ...]]:
    """Measure the kernels that take most time; those without a name cannot be found by ncu.

    Where no launch in the range `forward` was seen, the kernel is measured again wherever it is launched: then its
    launch may be one of the warm-up.

    Returns:
        All attempts; the counters of the first measured launch of each kernel, by its name; and the times of the
        workload meanwhile.
    """
    attempts: list[Attempt] = []
    counters: dict[str, dict[str, Metric]] = {}
    times: list[Timings] = []
    named = [one for one in report.kernels if one.name]
    for rank, kernel in enumerate(named[: stage.config.kernels], 1):
        # A name is too long for that of a file.
        folder = stage.root / "ncu" / f"{rank:02}-{digest_bytes(kernel.name.encode())[:8]}"
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
        return profile_argv(stage.programs["ncu"], report, stage.workload_argv(output), kernel, within)

    return Plan(stage, "ncu", kernel.name, number, folder, new_session(), argv)


def _read(plan: Plan) -> list[Launch]:
    """The measured launches in the report, which is exported as a table first."""
    table = plan.folder / METRICS_CSV
    command = csv_argv(plan.stage.programs["ncu"], plan.report)
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


@contextmanager
def dcgm_paused(
    find: Callable[[str], str | None] = find_tool, ask: Callable[[Sequence[str]], str] = answer
) -> Iterator[bool]:
    """Pause DCGM while the body runs, where `dcgmi` is there; yields whether it was paused.

    It resumes whatever ends the body: its end, an error, Ctrl-C or SIGTERM. It resumes, too, where the pause itself
    failed half way. Only SIGKILL leaves it paused, which `dcgmi profile --resume` mends.
    """
    dcgmi = find("dcgmi")
    if dcgmi is None:
        yield False
        return
    with sigterm_unwinds():
        try:
            yield bool(ask([dcgmi, "profile", "--pause"]))
        finally:
            with signals_ignored():
                if not ask([dcgmi, "profile", "--resume"]):
                    _log.warning("DCGM may still be paused; run: %s profile --resume", dcgmi)
