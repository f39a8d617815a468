"""A launch that plays nsys, ncu and the workload in this process, so that every end of an attempt can be provoked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podium.errors import ComputationFailed
from podium.profiling import workload as program
from podium.profiling.tools import Call, Ended
from podium.profiling.workload import TIMINGS, Workload
from tests.unit.profiling.nsys_databases import database

KERNEL_TABLE = '"ID","Kernel Name","gpu__time_duration.sum"\n"","","nsecond"\n"0","{name}","7"\n'


def workload(folder: Path, **fields: Any) -> Workload:
    """A workload of the synthetic module."""
    rows = folder / "rows.jsonl"
    rows.write_text('"a good film"\n')
    return Workload(kind="synthetic", rows=str(rows), **{"iterations": 4, "warmup": 1, **fields})


@dataclass
class FakeTools:
    """Behaves as told; `calls` has what was started.

    Attributes:
        nsys: called with the call of `nsys profile` and of `ncu`; returns the exit code, or None for a timeout.
        counts: of ranges in the report where they differ from those of the workload.
        kernels: of the report: name and duration.
        ncu_sees: whether ncu finds a launch, given its command line.
    """

    nsys: Callable[[Call], int | None] | None = None
    export: int | None = 0
    writes_database: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    summary: str = ""
    kernels: list[tuple[str, int]] | None = None
    ncu_sees: Callable[[list[str]], bool] = lambda argv: True
    missing: bool = False
    calls: list[Call] = field(default_factory=list)

    def __call__(self, call: Call) -> Ended:
        self.calls.append(call)
        call.log.parent.mkdir(parents=True, exist_ok=True)
        if self.missing:
            raise ComputationFailed(f"nsys: {call.argv[0]!r} cannot be run: no such file")
        return Ended(self._code(call), 0.5)

    def _code(self, call: Call) -> int | None:
        argv = list(call.argv)
        name = Path(argv[0]).name
        if name == "nsys" and argv[1] == "profile":
            return self.nsys(call) if self.nsys else self.record(call)
        if name == "nsys" and argv[1] == "export":
            if self.export == 0 and self.writes_database:
                self._database(option(argv, "--output"), call)
            return self.export
        if name == "nsys":
            if self.summary:
                Path(f"{option(argv, '--output')}_nvtxsum.csv").write_text(self.summary)
            return 0
        if name == "ncu" and not option(argv, "--import"):
            run_workload(argv)
            if self.ncu_sees(argv):
                Path(option(argv, "--export")).write_text(option(argv, "--kernel-name"))
            else:
                call.log.write_text("==WARNING== No kernels were profiled.\n")
            return 0
        if name == "ncu":
            call.log.write_text(KERNEL_TABLE.format(name=Path(option(argv, "--import")).read_text()))
            return 0
        run_workload(argv)
        return 0

    def record(self, call: Call) -> int:
        """What a whole and successful run of nsys does."""
        run_workload(list(call.argv))
        Path(option(list(call.argv), "--output")).write_text("report")
        return 0

    def _database(self, path: str, call: Call) -> None:
        recorded = next(one for one in reversed(self.calls) if "profile" in one.argv)
        counts = {**program.ranges(spec_of(list(recorded.argv))), **self.counts}
        kernels = None if self.kernels is None else [(name, f"_Z{name}", 0, spent) for name, spent in self.kernels]
        ranges = {name: [(number, number + 1) for number in range(count)] for name, count in counts.items()}
        Path(path).unlink(missing_ok=True)
        database(Path(path), ranges=ranges, kernels=kernels)


def option(argv: list[str], name: str) -> str:
    """The value of `--name=value`; empty where it is not given."""
    return next((one.partition("=")[2] for one in argv if one.partition("=")[0] == name), "")


def spec_of(argv: list[str]) -> Workload:
    """The workload that a command line runs."""
    at = argv.index("podium.profiling.workload")
    return program.read(Path(argv[at + 1]), argv[at + 2 :])


def run_workload(argv: list[str]) -> None:
    """Write the times that the workload of a command line would."""
    spec = spec_of(argv)
    seconds = {name: [0.25] * count for name, count in program.ranges(spec).items()}
    Path(spec.output, TIMINGS).write_text(json.dumps({"seconds": seconds}))
