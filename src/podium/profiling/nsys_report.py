"""Reads what Nsight Systems exports: its SQLite database and its CSV summaries, by the names of their columns.

Both are large and change from version to version. Columns that a figure needs are looked up and named when they are
missing; tables that a report lacks, because nothing of their kind happened, have no rows. Events are read one by one,
and of each only its time is kept.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Literal

from podium.errors import InputError
from podium.records.base import Frozen

_RANGE_TYPES = (59, 60, 70, 71)
"""Event types of NVTX ranges: push/pop and start/end, recorded and imported."""

_KERNELS, _MEMCPY, _MEMSET = ("CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_MEMSET")
_OPERATIONS = "ENUM_CUDA_MEMCPY_OPER"
_DIRECTIONS = {1: "Host-to-Device", 2: "Device-to-Host", 8: "Device-to-Device", 10: "Peer-to-Peer"}
"""Names of copies for databases that do not explain them."""


class InvalidReport(InputError):
    """A report lacks what it must have; the message names it."""


class TimeSummary(Frozen):
    """Times of all events of one name, in nanoseconds: ranges, kernels or calls of the operating system."""

    name: str
    count: int
    total_ns: int
    median_ns: float
    min_ns: int
    max_ns: int


class KernelTime(TimeSummary):
    """Times of one kernel; `match` is the name by which ncu finds it, and `base` what kind of name that is."""

    match: str = ""
    base: Literal["demangled", "mangled", "function"] = "demangled"


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
    gaps: int
    longest_gap_ns: int


class NsysReport(Frozen):
    """The figures of a database, the largest first.

    Attributes:
        product: version of nsys that exported it; empty where it does not say so.
        ranges: NVTX ranges, and `calls` those of the operating system.
        open_ranges: NVTX ranges that were not closed, which are not counted.
        device: None where no GPU worked.
    """

    product: str = ""
    ranges: tuple[TimeSummary, ...] = ()
    open_ranges: int = 0
    calls: tuple[TimeSummary, ...] = ()
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
        ranges, still_open = self._ranges()
        return NsysReport(
            product=self._product(),
            ranges=ranges,
            open_ranges=still_open,
            calls=self._calls(),
            kernels=self._kernels(),
            copies=self._copies(),
            device=self._device(),
        )

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

    def _product(self) -> str:
        for table in ("META_DATA_EXPORT", "EXPORT_META_DATA"):
            if self._columns(table, "name", "value"):
                sql = f"SELECT value FROM {table} WHERE name = 'EXPORT_PRODUCT_VERSION'"
                if row := self._connection.execute(sql).fetchone():
                    return str(row[0])
        return ""

    def _ranges(self) -> tuple[tuple[TimeSummary, ...], int]:
        columns = self._columns("NVTX_EVENTS", "start", "end", "eventType")
        if not columns:
            return (), 0
        if not columns & {"text", "textId"}:
            raise InvalidReport(f"table NVTX_EVENTS of {self._path} must have the column text or textId")
        text = "e.text" if "text" in columns else "NULL"
        joined = "LEFT JOIN StringIds AS s ON s.id = e.textId" if "textId" in columns else ""
        name = f"coalesce(s.value, {text}, '')" if joined else f"coalesce({text}, '')"
        kinds = ", ".join(str(kind) for kind in _RANGE_TYPES)
        from_ranges = f"FROM NVTX_EVENTS AS e {joined} WHERE e.eventType IN ({kinds})"
        closed = self._connection.execute(f'SELECT {name}, e."end" - e.start {from_ranges} AND e."end" IS NOT NULL')
        still_open = self._connection.execute(f'SELECT count(*) {from_ranges} AND e."end" IS NULL').fetchone()[0]
        return _summaries(closed), int(still_open)

    def _calls(self) -> tuple[TimeSummary, ...]:
        if not self._columns("OSRT_API", "start", "end", "nameId"):
            return ()
        sql = 'SELECT s.value, e."end" - e.start FROM OSRT_API AS e JOIN StringIds AS s ON s.id = e.nameId'
        return _summaries(self._connection.execute(sql))

    def _kernels(self) -> tuple[KernelTime, ...]:
        columns = self._columns(_KERNELS, "start", "end")
        if not columns:
            return ()
        names = [name for name in ("mangledName", "demangledName", "shortName") if name in columns]
        if not names:
            raise InvalidReport(f"table {_KERNELS} of {self._path} must have a column with names, but has {columns}")
        best = next(name for name in ("demangledName", "shortName", "mangledName") if name in names)
        mangled = "mangledName" if "mangledName" in names else "NULL"
        sql = f'SELECT coalesce({best}, -1), {mangled}, "end" - start FROM {_KERNELS}'
        times: defaultdict[int, array[int]] = defaultdict(_no_times)
        matches: dict[int, int | None] = {}
        for shown, match, duration in self._connection.execute(sql):
            times[shown].append(duration)
            matches[shown] = match
        texts = self._texts({*times, *(match for match in matches.values() if match is not None)})
        base = "function" if best == "shortName" else "demangled"
        found = []
        for shown, durations in times.items():
            match = matches[shown]
            by_mangled = {"match": texts[match], "base": "mangled"} if match in texts else {"base": base}
            found.append(
                KernelTime.model_validate({**_summary(texts.get(shown, ""), durations).model_dump(), **by_mangled})
            )
        return tuple(sorted(found, key=lambda one: (-one.total_ns, one.name)))

    def _texts(self, ids: Iterable[int | None]) -> dict[int | None, str]:
        sql = "SELECT value FROM StringIds WHERE id = ?"
        rows = ((one, self._connection.execute(sql, (one,)).fetchone()) for one in ids)
        return {one: str(row[0]) for one, row in rows if row is not None}

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
            busy = idle = gaps = longest = 0
            until: int | None = None
            for _, start, end in work:
                until = start if until is None else until
                gap = max(0, start - until)
                idle, gaps, longest = idle + gap, gaps + (gap > 0), max(longest, gap)
                busy += max(0, end - max(start, until))
                until = max(until, end)
            found.append(DeviceTime(busy_ns=busy, idle_ns=idle, gaps=gaps, longest_gap_ns=longest))
        return max(found, key=lambda one: one.busy_ns, default=None)


def _summaries(events: Iterable[tuple[str, int]]) -> tuple[TimeSummary, ...]:
    """Times by name, the longest together first."""
    times: defaultdict[str, array[int]] = defaultdict(_no_times)
    for name, duration in events:
        times[name].append(duration)
    found = [_summary(name, durations) for name, durations in times.items()]
    return tuple(sorted(found, key=lambda one: (-one.total_ns, one.name)))


def _no_times() -> array[int]:
    return array("q")


def _summary(name: str, durations: array[int]) -> TimeSummary:
    return TimeSummary(
        name=name,
        count=len(durations),
        total_ns=sum(durations),
        median_ns=float(median(durations)),
        min_ns=min(durations),
        max_ns=max(durations),
    )


_COLUMN = re.compile(r"(?P<name>[^()]+?) ?\((?P<unit>[^()]+)\)")
_NANOSECONDS = {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "sec": 1e9}
_NAMES, _COUNTS = ("Range", "Name", "Operation"), ("Instances", "Num Calls", "Count", "Total Count")


def read_summary(path: Path) -> dict[str, tuple[int, float]]:
    """Count and total nanoseconds by name, in a CSV summary of `nsys stats`; empty where nsys had nothing to show.

    Raises:
        InvalidReport: it has no column of names, counts or total times.
    """
    found: dict[str, tuple[int, float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if line.strip())
        columns = list(rows.fieldnames or ())
        if not columns:
            return {}
        total = next((one for one in columns if one.startswith("Total Time")), None)
        name, count = (next((one for one in known if one in columns), None) for known in (_NAMES, _COUNTS))
        if total is None or name is None or count is None:
            raise InvalidReport(f"{path} must have columns with name, count and total time, but has {columns}")
        unit = _COLUMN.fullmatch(total)
        scale = _NANOSECONDS.get(unit["unit"] if unit else "ns", 1)
        for row in rows:
            before, seconds = found.get(row[name].lstrip(":"), (0, 0.0))
            number = float(row[total].replace(",", "")) * scale
            found[row[name].lstrip(":")] = (before + int(row[count].replace(",", "")), seconds + number)
    return found
