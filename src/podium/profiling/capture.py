"""The second stage of a profile: the workload as a process of its own under Nsight Systems and Nsight Compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

from podium.config.profile import ProfileConfig
from podium.jsonfile import write_json, write_text
from podium.profiling import nsys
from podium.profiling.attempt import (
    LOG,
    RETRIED,
    AttemptFailed,
    Plan,
    Stage,
    log_text,
    make_attempt,
    read_timings,
)
from podium.profiling.commands import private_directory
from podium.profiling.groups import group_of
from podium.profiling.ncu import Metric, dcgm_paused, measure_kernels
from podium.profiling.ncu import profile_argv as ncu_argv
from podium.profiling.nsys import InvalidReport, NsysReport, read_database, read_summary
from podium.profiling.observer import compare, observe
from podium.profiling.permissions import Need, needs, obstacle
from podium.profiling.tools import Launch, end_stale_sessions, find_tool, new_session, run_tool
from podium.profiling.workload import SPEC, TIMINGS, Workload, argv, ranges
from podium.records import Kernel
from podium.records.base import Frozen
from podium.records.profile import Attempt, Observer, Permission, Status

ATTEMPTS, DATABASE = "attempts.json", "report.sqlite"
ROUNDS = 3
"""How often the workload is timed with nsys and without it, in turns."""

_EXPORT_LOG, _STATS_LOG = "export.txt", "stats.txt"
_SUBJECTS = ("ranges", "calls")
_GPU_SUBJECTS = ("kernels", "copies", "api")
_COMPUTE = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
_MEMORY = "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed"
_BUSY = 40.0
"""Percent of a peak below which neither arithmetic nor memory is what a kernel waits for."""
_NS = 1e-9
_HOST = ("Host-to-Device", "Device-to-Host")


class DeepProfile(Frozen):
    """Result of the second stage.

    Attributes:
        tools: what came of each tool that was asked for: `skipped` where it cannot be had here, `degraded` where it
            gave less than was asked.
        report: what nsys saw; None where it gave no valid report.
        counters: by the name of a kernel, what ncu measured of its first launch, by ncu's own names.
        notes: what else people should know, in sentences.
    """

    tools: tuple[Permission, ...]
    permissions: tuple[Permission, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    report: NsysReport | None = None
    counters: dict[str, dict[str, Metric]] = {}
    observers: tuple[Observer, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """`degraded` if any tool is; `skipped` if all are; else `ok`."""
        found = {one.status for one in self.tools}
        return "degraded" if "degraded" in found else "ok" if "ok" in found else "skipped"


SecondStage = Callable[[Workload, Path, ProfileConfig], DeepProfile]


def deep_profile(
    workload: Workload,
    directory: Path,
    config: ProfileConfig,
    launch: Launch = run_tool,
    found: tuple[Need, ...] | None = None,
    rounds: int = ROUNDS,
) -> DeepProfile:
    """Profile a workload with the tools that can be had here.

    Nothing that fails is raised: it is in the attempts and in the status of its tool. The caller holds core slots.

    Args:
        directory: absolute; gets `nsys/`, `ncu/RANK-DIGEST/`, the spec of the workload and `attempts.json`.
        config: its `tools` are some of `nsys` and `ncu`.
        found: the table of what the tools need, where it is known already.
        rounds: 0 leaves the observer effect out.
    """
    nsys, ncu = config.nsys or "nsys", config.ncu or "ncu"
    table = found if found is not None else needs(nsys, ncu)
    programs = {"nsys": find_tool(nsys) or nsys, "ncu": find_tool(ncu) or ncu}
    stage = Stage(workload, private_directory(directory), config, programs, launch)
    ended = end_stale_sessions()
    notes = [f"ended {ended} processes that a profile before this one had left behind"] if ended else []
    write_text(stage.spec, workload.model_dump_json(indent=1))
    stopping = {tool: obstacle(table, tool) for tool in ("nsys", "ncu")}
    attempts: tuple[Attempt, ...] = ()
    observers: tuple[Observer, ...] = ()
    counters: dict[str, dict[str, Metric]] = {}
    report: NsysReport | None = None
    plain: tuple[float, ...] = ()
    if stopping["nsys"] is None:
        attempts, report = _with_nsys(stage)
        if report is not None and rounds and "nsys" in config.tools:
            observers, plain = _observe_nsys(stage, rounds)
    if "ncu" in config.tools and stopping["ncu"] is None and report is not None and report.kernels:
        measured, counters, observed, said = _with_ncu(stage, report, plain)
        attempts, observers, notes = (*attempts, *measured), (*observers, *observed), [*notes, *said]
    write_json(directory / ATTEMPTS, [one.model_dump(mode="json") for one in attempts])
    statuses = tuple(_status(tool, stopping[tool], attempts, report, workload) for tool in config.tools)
    return DeepProfile(
        tools=statuses,
        permissions=tuple(need.permission for need in table),
        attempts=attempts,
        report=report,
        counters=counters,
        observers=observers,
        notes=tuple(notes),
    )


def _status(
    tool: str,
    stopping: Permission | None,
    attempts: tuple[Attempt, ...],
    report: NsysReport | None,
    workload: Workload,
) -> Permission:
    """What came of a tool, by the last attempt at each of its targets."""
    if stopping is not None:
        return stopping.model_copy(update={"name": tool})
    last = {one.target: one for one in attempts if one.tool == tool}
    failed = [one for one in last.values() if one.outcome != "ok"]
    if failed:
        first = failed[0]
        part = f"{len(failed)} of {len(last)} kernels: " if tool == "ncu" else ""
        reason = f"{part}{first.outcome}: {first.reason}"
        return Permission(name=tool, status="degraded", reason=reason, remedy=first.remedy)
    if not last and workload.device != "cuda":
        reason = f"the workload runs on {workload.device}, which has no kernels that ncu could measure"
        return Permission(name=tool, status="skipped", reason=reason, remedy="profile.device=cuda")
    if not last:
        reason = "ncu measures the kernels that nsys saw, but there is no valid report of nsys"
        return Permission(name=tool, status="degraded", reason=reason, remedy="see what nsys came to")
    return Permission(name=tool, status="ok")


def _nsys_argv(stage: Stage, report: Path, session: str, output: Path) -> list[str]:
    workload = stage.workload_argv(output)
    return nsys.profile_argv(stage.programs["nsys"], stage.workload.device, report, session, workload)


def _with_nsys(stage: Stage) -> tuple[tuple[Attempt, ...], NsysReport | None]:
    """Record the workload, and once more if that failed."""
    attempts, folder = [], stage.root / "nsys"
    for number in (1, 2):
        made, report, _ = make_attempt(_plan(stage, number, folder if number == 1 else folder / "again"), _read)
        attempts.append(made)
        if made.outcome not in RETRIED or made.remedy:
            break
    return tuple(attempts), report


def _plan(stage: Stage, number: int, folder: Path) -> Plan:
    session = new_session()

    def argv(report: Path, output: Path) -> list[str]:
        return _nsys_argv(stage, report, session, output)

    return Plan(stage, "nsys", "", number, folder, session, argv)


def _read(plan: Plan) -> NsysReport:
    """Export the report, and check that it holds what the workload did."""
    program, database = plan.stage.programs["nsys"], plan.folder / DATABASE
    on_gpu = plan.stage.workload.device == "cuda"
    _ask(plan, nsys.export_argv(program, plan.report, database), _EXPORT_LOG)
    if not database.is_file():
        raise AttemptFailed("export", f"nsys export left no {database}; {_last(plan.folder / _EXPORT_LOG)}")
    found = read_database(database)
    seen, expected = {one.name: one.count for one in found.ranges}, ranges(plan.stage.workload)
    counted = {name: seen.get(name, 0) for name in expected}
    if counted != expected:
        raise InvalidReport(f"the report must have the ranges {expected}, but has {counted}")
    if on_gpu and not found.kernels:
        raise InvalidReport("the workload ran on a GPU, but the report has no kernel")
    subjects = (*_SUBJECTS, *(_GPU_SUBJECTS if on_gpu else ()))
    version = plan.stage.version("nsys")
    _ask(plan, nsys.stats_argv(program, version, subjects, database), _STATS_LOG)
    summary = nsys.stats_file(version, "ranges", database)
    counts = read_summary(summary) if summary.is_file() else {}
    if counts and (differing := [name for name, count in expected.items() if counts.get(name) != count]):
        raise InvalidReport(f"database and summary of nsys must agree, but differ in the ranges {differing}")
    return found


def _ask(plan: Plan, question: list[str], log: str) -> None:
    ended = plan.stage.start(question, plan.folder, plan.folder / log, plan.session)
    if ended.exit_code != 0:
        how = "was stopped at its deadline" if ended.exit_code is None else f"ended with exit code {ended.exit_code}"
        raise AttemptFailed("export", f"{' '.join(question[:2])} {how}; {_last(plan.folder / log)}")


def _observe_nsys(stage: Stage, rounds: int) -> tuple[tuple[Observer, ...], tuple[float, ...]]:
    """Time the workload with nsys and without; returns the effect, and the times without."""
    plain: list[float] = []

    def without(number: int) -> float | None:
        seconds = _run(stage, number, tool=False)
        plain.extend(() if seconds is None else (seconds,))
        return seconds

    seen = observe("nsys", without, lambda number: _run(stage, number, tool=True), rounds)
    return (() if seen is None else (seen,)), tuple(plain)


def _run(stage: Stage, number: int, *, tool: bool) -> float | None:
    """Seconds of an iteration in a run of its own, whose report is thrown away; None where it failed."""
    folder = private_directory(stage.root / "observer" / f"{number}-{'nsys' if tool else 'plain'}")
    session, report = new_session(), folder / "report.nsys-rep"
    question = _nsys_argv(stage, report, session, folder) if tool else stage.workload_argv(folder)
    stage.start(question, folder, folder / LOG, session)
    report.unlink(missing_ok=True)
    rmtree(folder / "tmp", ignore_errors=True)
    timings = read_timings(folder / TIMINGS)
    return None if timings is None else median(timings.iterations)


def _with_ncu(
    stage: Stage, report: NsysReport, plain: tuple[float, ...]
) -> tuple[tuple[Attempt, ...], dict[str, dict[str, Metric]], tuple[Observer, ...], list[str]]:
    """Measure the kernels that took most time, with DCGM paused."""
    with dcgm_paused() as paused:
        notes = ["DCGM was paused meanwhile, and resumed"] if paused else []
        attempts, counters, times = measure_kernels(stage, report)
    profiled = [median(one.iterations) for one in times]
    pairs = min(len(plain), len(profiled))
    observers = (compare("ncu", plain[:pairs], profiled[:pairs]),) if pairs > 1 else ()
    return attempts, counters, observers, notes


def _last(log: Path) -> str:
    return " | ".join(log_text(log).splitlines()[-3:])


def deep_commands(workload: Workload, config: ProfileConfig, directory: Path) -> dict[str, list[str]]:
    """The first command of each tool, as far as it is known before nsys has named the kernels."""
    spec, found = directory.absolute() / SPEC, {}
    if "nsys" in config.tools:
        folder = directory.absolute() / "nsys"
        run, report = argv(spec, {"output": folder}), folder / "report.nsys-rep"
        found["nsys"] = nsys.profile_argv(config.nsys or "nsys", workload.device, report, "SESSION", run)
    if "ncu" in config.tools:
        folder = directory.absolute() / "ncu" / "RANK-KERNEL"
        run = argv(spec, {"output": folder})
        found["ncu"] = ncu_argv(config.ncu or "ncu", folder / "report.ncu-rep", run)
    return found


def fields_of(found: DeepProfile, workload: Workload) -> dict[str, Any]:
    """Fields of `ProfileRecord`; those of the report only where there is one."""
    iterations = workload.iterations + workload.warmup
    fields: dict[str, Any] = {
        "permissions": found.permissions,
        "observers": found.observers,
        "notes": found.notes,
        "tools": found.tools,
    }
    if found.report is not None:
        fields["figures"] = device_figures(found.report, iterations)
        if found.report.kernels:
            fields["kernels"] = kernels_of(found.report, found.counters, iterations)
    return fields


def kernels_of(report: NsysReport, counters: Mapping[str, dict[str, Metric]], iterations: int) -> tuple[Kernel, ...]:
    """The kernels of a report with what their counters say, those that take most time first."""
    total = sum(one.total_ns for one in report.kernels) or 1
    return tuple(
        Kernel(
            name=one.name,
            group=group_of(one.name),
            calls=one.count / iterations,
            seconds=one.total_ns * _NS / iterations,
            share=one.total_ns / total,
            metrics=_numbers(counters.get(one.name, {})),
            bound=bound_by(counters.get(one.name, {})),
        )
        for one in report.kernels
    )


def bound_by(metrics: dict[str, Metric]) -> str:
    """What a kernel waits for, by the throughputs that were measured: `compute`, `memory` or `latency`."""
    found = _numbers(metrics)
    if _COMPUTE not in found or _MEMORY not in found:
        return ""
    if max(found[_COMPUTE], found[_MEMORY]) < _BUSY:
        return "latency"
    return "compute" if found[_COMPUTE] >= found[_MEMORY] else "memory"


def device_figures(report: NsysReport, iterations: int) -> dict[str, float]:
    """Gaps between kernels and copies between host and device, in seconds of an iteration."""
    found = {}
    if report.device is not None:
        found["kernel_gap_seconds"] = report.device.idle_ns * _NS / iterations
        found["longest_kernel_gap_seconds"] = report.device.longest_gap_ns * _NS
    if copies := [one for one in report.copies if one.direction in _HOST]:
        found["host_device_copy_seconds"] = sum(one.total_ns for one in copies) * _NS / iterations
        found["host_device_copy_bytes"] = sum(one.bytes for one in copies) / iterations
    return found


def _numbers(metrics: dict[str, Metric]) -> dict[str, float]:
    return {name: float(one.value) for name, one in metrics.items() if isinstance(one.value, (int, float))}
