"""The program that takes one repetition of a measurement in a fresh process (see `podium.execution.program`).

With `--turns FD` it measures in turns: it sends what it would do next over that connection, first once its libraries
are imported, and goes on when it gets an answer. So several workers start side by side and then measure one at a time.
It never runs inside a profiler.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from podium.benchmarking.spec import SPEC, AnySpec, ColdStartSpec, GenerationSpec, GridSpec, Phase, RepetitionSpec
from podium.execution import program
from podium.records.base import Frozen


def main(arguments: list[str] | None = None) -> int:
    """Measure as the spec file says and write the result or the error; returns the exit code."""
    parser = program.argument_parser("podium.benchmarking.worker", "Take one repetition of a measurement.")
    parser.add_argument("--turns", type=int, metavar="FD", help="measure in turns, each asked for on this descriptor")
    parser.add_argument("--started", type=int, help="measure at once; the launcher's monotonic clock at the start, ns")
    options = parser.parse_args(arguments)
    turns = None if options.turns is None else Connection(options.turns)
    started = options.started or time.monotonic_ns()
    return program.run(
        options, SPEC.validate_json, lambda spec: _measured(spec, turns, started).model_dump(mode="json")
    )


def _measured(spec: AnySpec, turns: Connection | None, started_ns: int) -> Frozen:
    """The result of the job."""

    def next_turn(phase: Phase) -> None:
        if turns is not None:
            turns.send(phase)
            turns.recv()
        if phase == "load":
            bind(spec.cores)

    if isinstance(spec, GenerationSpec):
        from podium.benchmarking.generation import generation

        return generation(spec, next_turn)
    if isinstance(spec, ColdStartSpec):
        bind(spec.cores)
    from podium.benchmarking import measure

    if isinstance(spec, ColdStartSpec):
        return measure.cold_start(spec, started_ns)
    if isinstance(spec, RepetitionSpec):
        return measure.repetition(spec, next_turn)
    return measure.grid(spec, next_turn) if isinstance(spec, GridSpec) else measure.server(spec, next_turn)


def bind(cores: tuple[int, ...]) -> None:
    """Bind every thread of this process, and those it starts later, to `cores`, where the system can."""
    if cores and hasattr(os, "sched_setaffinity"):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that ended since it was listed
                os.sched_setaffinity(int(thread.name), cores)


if __name__ == "__main__":
    program.end(main())
