"""The second stage of a profile: the workload as a process of its own under Nsight Systems and Nsight Compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Literal

from podium.jsonfile import write_text
from podium.profiling import nsys
from podium.profiling.attempt import AttemptFailed, Plan, log_text, make_attempt, show_json
from podium.profiling.commands import private_directory
from podium.profiling.dcgm import dcgm_paused
from podium.profiling.kernels import RETRIED, NcuRun, measure_kernels, top_kernels
from podium.profiling.ncu_report import Metric
from podium.profiling.nsys_report import InvalidReport, NsysReport, read_database, read_summary
from podium.profiling.observer import compare, observe
from podium.profiling.permissions import Need, needs, obstacle
from podium.profiling.tools import (
    Call,
    Launch,
    end_stale_sessions,
    find_tool,
    new_session,
    run_tool,
    tool_environment,
    version_of,
)
from podium.profiling.workload import TIMINGS, Timings, Workload, argv, ranges
from podium.records.base import Frozen
from podium.records.profile import Attempt, Observer, Permission, Status

Tool = Literal["nsys", "ncu"]

SPEC, ATTEMPTS, DATABASE = "workload.json", "attempts.json", "report.sqlite"
_EXPORT_LOG, _STATS_LOG = "export.txt", "stats.txt"
_SUBJECTS = ("ranges", "calls")
_GPU_SUBJECTS = ("kernels", "copies", "api")


class ToolStatus(Frozen):
    """What came of a tool: `skipped` where it cannot be had here, `degraded` where it gave less than was asked."""

    tool: Tool
    status: Status
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class DeepOptions:
    """What is asked of the second stage.

    Attributes:
        tools: those that are wanted.
        nsys: name or path of the tool, and so is `ncu`.
        kernels: how many kernels ncu measures, those that take most time.
        timeout_seconds: deadline of each start of a tool.
        rounds: how often the workload is timed with nsys and without it, in turns; 0 leaves the observer effect out.
    """

    tools: tuple[Tool, ...] = ("nsys", "ncu")
    nsys: str = "nsys"
    ncu: str = "ncu"
    kernels: int = 5
    timeout_seconds: float = 600.0
    rounds: int = 3


class DeepProfile(Frozen):
    """Result of the second stage.

    Attributes:
        tools: what came of each tool that was asked for.
        report: what nsys saw; None where it gave no valid report.
        counters: by the name of a kernel, what ncu measured of its first launch, by ncu's own names.
        notes: what else people should know, in sentences.
    """

    tools: tuple[ToolStatus, ...]
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


def deep_profile(
    workload: Workload,
    directory: Path,
    options: DeepOptions,
    launch: Launch = run_tool,
    found: tuple[Need, ...] | None = None,
) -> DeepProfile:
    """Profile a workload with the tools that can be had here.

    Nothing that fails is raised: it is in the attempts and in the status of its tool. The caller holds core slots.

    Args:
        workload: started anew for every attempt.
        directory: absolute; gets `nsys/`, `ncu/RANK-DIGEST/`, the spec of the workload and `attempts.json`.
        launch: how a tool is started.
        found: the table of what the tools need, where it is known already.
    """
    table = found if found is not None else needs(options.nsys, options.ncu)
    nsys, ncu = (find_tool(name) or name for name in (options.nsys, options.ncu))
    stage = _Stage(workload, private_directory(directory), replace(options, nsys=nsys, ncu=ncu), launch)
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
        attempts, report = stage.with_nsys()
        if report is not None and options.rounds and "nsys" in options.tools:
            observers, plain = stage.observe_nsys()
    if "ncu" in options.tools and stopping["ncu"] is None and report is not None and report.kernels:
        measured, counters, observed, said = stage.with_ncu(report, plain)
        attempts, observers, notes = (*attempts, *measured), (*observers, *observed), [*notes, *said]
    write_text(directory / ATTEMPTS, show_json(attempts))
    statuses = tuple(_status(tool, stopping[tool], attempts, report, workload) for tool in options.tools)
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
    tool: Tool,
    stopping: Permission | None,
    attempts: tuple[Attempt, ...],
    report: NsysReport | None,
    workload: Workload,
) -> ToolStatus:
    """What came of a tool, by the last attempt at each of its targets."""
    if stopping is not None:
        status: Status = "degraded" if stopping.status == "degraded" else "skipped"
        return ToolStatus(tool=tool, status=status, reason=stopping.reason, remedy=stopping.remedy)
    last = {one.target: one for one in attempts if one.tool == tool}
    failed = [one for one in last.values() if one.outcome != "ok"]
    if failed:
        first = failed[0]
        part = f"{len(failed)} of {len(last)} kernels: " if tool == "ncu" else ""
        return ToolStatus(
            tool=tool, status="degraded", reason=f"{part}{first.outcome}: {first.reason}", remedy=first.remedy
        )
    if not last and workload.device != "cuda":
        reason = f"the workload runs on {workload.device}, which has no kernels that ncu could measure"
        return ToolStatus(tool=tool, status="skipped", reason=reason, remedy="profile.device=cuda")
    if not last:
        reason = "ncu measures the kernels that nsys saw, but there is no valid report of nsys"
        return ToolStatus(tool=tool, status="degraded", reason=reason, remedy="see what nsys came to")
    return ToolStatus(tool=tool, status="ok")


@dataclass(frozen=True)
class _Stage:
    workload: Workload
    root: Path
    options: DeepOptions
    launch: Launch

    @property
    def spec(self) -> Path:
        return self.root / SPEC

    def versions(self, tool: Tool) -> Mapping[str, str]:
        program = self.options.nsys if tool == "nsys" else self.options.ncu
        return {tool: ".".join(map(str, version_of(program)))}

    def nsys_argv(self, report: Path, session: str, output: Path) -> list[str]:
        workload = argv(self.spec, {"output": output})
        return nsys.profile_argv(self.options.nsys, self.workload.device, report, session, workload)

    def plan(self, number: int, folder: Path) -> Plan:
        session = new_session()
        return Plan(
            tool="nsys",
            target="",
            number=number,
            root=self.root,
            folder=folder,
            argv=lambda report, output: self.nsys_argv(report, session, output),
            suffix=".nsys-rep",
            variables=self.workload.variables(),
            session=session,
            versions=self.versions("nsys"),
            seconds=self.options.timeout_seconds,
            expected=ranges(self.workload),
        )

    def with_nsys(self) -> tuple[tuple[Attempt, ...], NsysReport | None]:
        """Record the workload, and once more if that failed."""
        attempts, folder = [], self.root / "nsys"
        for number in (1, 2):
            place = folder if number == 1 else folder / "again"
            made, report, _ = make_attempt(self.plan(number, place), self.launch, self._read)
            attempts.append(made)
            if made.outcome not in RETRIED or made.remedy:
                break
        return tuple(attempts), report

    def _read(self, plan: Plan) -> NsysReport:
        """Export the report, and check that it holds what the workload did."""
        program = self.options.nsys
        database = plan.folder / DATABASE
        self._ask(plan, nsys.export_argv(program, plan.report, database), _EXPORT_LOG)
        if not database.is_file():
            raise AttemptFailed("export", f"nsys export left no {database}; {_last(plan.folder / _EXPORT_LOG)}")
        found = read_database(database)
        seen = {one.name: one.count for one in found.ranges}
        expected = dict(plan.expected)
        counted = {name: seen.get(name, 0) for name in expected}
        if counted != expected:
            raise InvalidReport(f"the report must have the ranges {expected}, but has {counted}")
        if self.workload.device == "cuda" and not found.kernels:
            raise InvalidReport("the workload ran on a GPU, but the report has no kernel")
        subjects = (*_SUBJECTS, *(_GPU_SUBJECTS if self.workload.device == "cuda" else ()))
        version = version_of(program)
        self._ask(plan, nsys.stats_argv(program, version, subjects, database), _STATS_LOG)
        summary = nsys.stats_files(version, subjects, database)["ranges"]
        counts = read_summary(summary) if summary.is_file() else {}
        if counts and (differing := [name for name, count in expected.items() if counts.get(name) != count]):
            raise InvalidReport(f"database and summary of nsys must agree, but differ in the ranges {differing}")
        return found

    def _ask(self, plan: Plan, question: list[str], log: str) -> None:
        environment = tool_environment(self.workload.variables(), plan.folder / "tmp", plan.session)
        ended = self.launch(Call(question, plan.folder / log, environment, plan.folder, plan.seconds))
        if ended.exit_code != 0:
            how = (
                "was stopped at its deadline" if ended.exit_code is None else f"ended with exit code {ended.exit_code}"
            )
            raise AttemptFailed("export", f"{' '.join(question[:2])} {how}; {_last(plan.folder / log)}")

    def observe_nsys(self) -> tuple[tuple[Observer, ...], tuple[float, ...]]:
        """Time the workload with nsys and without; returns the effect, and the times without."""
        plain: list[float] = []

        def without(number: int) -> float | None:
            seconds = self._run(number, tool=False)
            plain.extend(() if seconds is None else (seconds,))
            return seconds

        seen = observe("nsys", without, lambda number: self._run(number, tool=True), self.options.rounds)
        return (() if seen is None else (seen,)), tuple(plain)

    def _run(self, number: int, *, tool: bool) -> float | None:
        """Seconds of an iteration in a run of its own, whose report is thrown away; None where it failed."""
        folder = private_directory(self.root / "observer" / f"{number}-{'nsys' if tool else 'plain'}")
        session = new_session()
        plain = argv(self.spec, {"output": folder})
        question = self.nsys_argv(folder / "report.nsys-rep", session, folder) if tool else plain
        environment = tool_environment(self.workload.variables(), folder / "tmp", session)
        self.launch(Call(question, folder / "log.txt", environment, folder, self.options.timeout_seconds))
        (folder / "report.nsys-rep").unlink(missing_ok=True)
        rmtree(folder / "tmp", ignore_errors=True)
        try:
            return median(Timings.model_validate_json((folder / TIMINGS).read_bytes()).iterations)
        except (OSError, ValueError):
            return None

    def with_ncu(
        self, report: NsysReport, plain: tuple[float, ...]
    ) -> tuple[tuple[Attempt, ...], dict[str, dict[str, Metric]], tuple[Observer, ...], list[str]]:
        """Measure the kernels that took most time, with DCGM paused."""
        program, seconds = self.options.ncu, self.options.timeout_seconds
        run = NcuRun(self.workload, self.spec, self.root, program, self.versions("ncu"), seconds)
        with dcgm_paused() as paused:
            notes = ["DCGM was paused meanwhile, and resumed"] if paused else []
            attempts, counters, times = measure_kernels(run, top_kernels(report, self.options.kernels), self.launch)
        profiled = [median(one.iterations) for one in times]
        pairs = min(len(plain), len(profiled))
        observers = (compare("ncu", plain[:pairs], profiled[:pairs]),) if pairs > 1 else ()
        return attempts, counters, observers, notes


def _last(log: Path) -> str:
    return " | ".join(log_text(log).splitlines()[-3:])
