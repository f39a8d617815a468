"""Nsight Systems: its command lines, and what it exports, a SQLite database and CSV summaries.

Both exports are large and change from version to version. Columns that a figure needs are looked up by their names, and
named when they are missing; tables that a report lacks, because nothing of their kind happened, have no rows.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal

from podium.errors import InputError
from podium.records.base import Frozen

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

Base = Literal["demangled", "mangled", "function"]

_RANGE_TYPES = (59, 60, 70, 71)
"""Event types of NVTX ranges: push/pop and start/end, recorded and imported."""

_KERNELS, _MEMCPY, _MEMSET = ("CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_MEMSET")
_OPERATIONS = "ENUM_CUDA_MEMCPY_OPER"
_DIRECTIONS = {1: "Host-to-Device", 2: "Device-to-Host", 8: "Device-to-Device", 10: "Peer-to-Peer"}
"""Names of copies for databases that do not explain them."""


def profile_argv(program: str, device: str, report: Path, session: str, workload: Sequence[str]) -> list[str]:
    """The command that records a whole process.

    Sampling and context switches are off: they need rights, and they slow down what is measured.

    Args:
        device: of the workload, `cpu` or `cuda`.
        report: path of the report, with the suffix `.nsys-rep`.
        session: name of the session, by which its agent is found again.
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
    old, new = _REPORTS[subject]
    return new if version >= _RENAMED else old


def parse_version(text: str) -> Version:
    """The version in the answer to `--version` of nsys or ncu; empty where there is none."""
    found = re.search(r"\b[Vv]ersion:?\s+(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


class InvalidReport(InputError):
    """A report lacks what it must have; the message names it."""


class TimeSummary(Frozen):
    """How often events of one name, ranges or kernels, came, and what they took together."""

    name: str
    count: int
    total_ns: int


class KernelTime(TimeSummary):
    """Times of one kernel; `match` is the name by which ncu finds it, and `base` what kind of name that is."""

    match: str = ""
    base: Base = "demangled"


class Copies(Frozen):
    """Copies in one direction, such as `Host-to-Device`."""

    direction: str
    count: int
    bytes: int
    total_ns: int


class DeviceTime(Frozen):
    """How long the GPU worked between the first and the last of its work, and how long it waited, in nanoseconds."""

    busy_ns: int
    idle_ns: int
    longest_gap_ns: int


class NsysReport(Frozen):
    """The figures of a database, the largest first.

    Attributes:
        ranges: NVTX ranges that were closed.
        device: None where no GPU worked.
    """

    ranges: tuple[TimeSummary, ...] = ()
    kernels: tuple[KernelTime, ...] = ()
    copies: tuple[Copies, ...] = ()
    device: DeviceTime | None = None


def read_database(path: Path) -> NsysReport:
    """Read a database that `nsys export` wrote.

    Raises:
        InvalidReport: it is no such database, or lacks a column.
    """
    if not path.is_file():
        raise InvalidReport(f"{path} does not exist")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return _Database(connection, path).report()
    except sqlite3.DatabaseError as error:
        raise InvalidReport(f"{path} is no SQLite database of nsys: {error}") from error


class _Database:
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        self._tables = {name for (name,) in names}
        if "StringIds" not in self._tables:
            raise InvalidReport(f"{path} must have the table StringIds of nsys, but has {sorted(self._tables)[:5]}")

    def report(self) -> NsysReport:
        return NsysReport(ranges=self._ranges(), kernels=self._kernels(), copies=self._copies(), device=self._device())

    def _columns(self, table: str, *needed: str) -> set[str]:
        """Columns of a table; empty where there is no such table."""
        if table not in self._tables:
            return set()
        found = {row[1] for row in self._connection.execute(f'PRAGMA table_info("{table}")')}
        if lacking := [name for name in needed if name not in found]:
            raise InvalidReport(
                f"table {table} of {self._path} must have the columns {lacking}, but has {sorted(found)}"
            )
        return found

    def _ranges(self) -> tuple[TimeSummary, ...]:
        columns = self._columns("NVTX_EVENTS", "start", "end", "eventType")
        if not columns:
            return ()
        if not columns & {"text", "textId"}:
            raise InvalidReport(f"table NVTX_EVENTS of {self._path} must have the column text or textId")
        text = "e.text" if "text" in columns else "NULL"
        joined = "LEFT JOIN StringIds AS s ON s.id = e.textId" if "textId" in columns else ""
        name = f"coalesce(s.value, {text}, '')" if joined else f"coalesce({text}, '')"
        closed = f'e.eventType IN {_RANGE_TYPES} AND e."end" IS NOT NULL'
        sql = (
            f'SELECT {name}, count(*), sum(e."end" - e.start) FROM NVTX_EVENTS AS e {joined} WHERE {closed} '
            "GROUP BY 1 ORDER BY 3 DESC, 1"
        )
        return tuple(
            TimeSummary(name=name, count=count, total_ns=total) for name, count, total in self._connection.execute(sql)
        )

    def _kernels(self) -> tuple[KernelTime, ...]:
        columns = self._columns(_KERNELS, "start", "end")
        if not columns:
            return ()
        names = [name for name in ("mangledName", "demangledName", "shortName") if name in columns]
        if not names:
            raise InvalidReport(f"table {_KERNELS} of {self._path} must have a column with names, but has {columns}")
        best = next(name for name in ("demangledName", "shortName", "mangledName") if name in names)
        mangled = "max(mangledName)" if "mangledName" in names else "NULL"
        sql = (
            "SELECT coalesce(shown.value, ''), symbols.value, count, total FROM "
            f'(SELECT {best} AS name, {mangled} AS symbol, count(*) AS count, sum("end" - start) AS total '
            f"FROM {_KERNELS} GROUP BY {best}) "
            "LEFT JOIN StringIds AS shown ON shown.id = name LEFT JOIN StringIds AS symbols ON symbols.id = symbol "
            "ORDER BY total DESC, 1"
        )
        base: Base = "function" if best == "shortName" else "demangled"
        return tuple(
            KernelTime(name=name, count=count, total_ns=total, match=match or "", base="mangled" if match else base)
            for name, match, count, total in self._connection.execute(sql)
        )

    def _copies(self) -> tuple[Copies, ...]:
        if not self._columns(_MEMCPY, "start", "end", "bytes", "copyKind"):
            return ()
        names = dict(_DIRECTIONS)
        if columns := self._columns(_OPERATIONS, "id"):
            shown = "label" if "label" in columns else "name"
            names |= dict(self._connection.execute(f"SELECT id, {shown} FROM {_OPERATIONS}"))
        figures = 'copyKind, count(*), sum(bytes), sum("end" - start)'
        sql = f"SELECT {figures} FROM {_MEMCPY} GROUP BY copyKind ORDER BY 4 DESC"
        return tuple(
            Copies(direction=names.get(kind, f"kind {kind}"), count=count, bytes=size, total_ns=total)
            for kind, count, size, total in self._connection.execute(sql)
        )

    def _device(self) -> DeviceTime | None:
        """When the busiest device of the trace worked. Streams overlap: what runs at once counts once."""
        parts = [
            f'SELECT {"deviceId" if "deviceId" in self._columns(table) else 0} AS device, start, "end" FROM {table}'
            for table in (_KERNELS, _MEMCPY, _MEMSET)
            if self._columns(table, "start", "end")
        ]
        if not parts:
            return None
        events = self._connection.execute(f"{' UNION ALL '.join(parts)} ORDER BY device, start")
        found: list[DeviceTime] = []
        for _, work in groupby(events, key=itemgetter(0)):
            busy = idle = longest = 0
            until: int | None = None
            for _, start, end in work:
                until = start if until is None else until
                gap = max(0, start - until)
                idle, longest = idle + gap, max(longest, gap)
                busy += max(0, end - max(start, until))
                until = max(until, end)
            found.append(DeviceTime(busy_ns=busy, idle_ns=idle, longest_gap_ns=longest))
        return max(found, key=lambda one: one.busy_ns, default=None)


def read_summary(path: Path) -> dict[str, int]:
    """How often each range came, by its name, in the CSV of `nsys stats`; empty where nsys had nothing to show.

    Raises:
        InvalidReport: it has no column of names or counts.
    """
    found: Counter[str] = Counter()
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if line.strip())
        columns = list(rows.fieldnames or ())
        if columns and not {"Range", "Instances"} <= {*columns}:
            raise InvalidReport(f"{path} must have the columns Range and Instances, but has {columns}")
        for row in rows:
            found[row["Range"].lstrip(":")] += int(row["Instances"].replace(",", ""))
    return dict(found)
