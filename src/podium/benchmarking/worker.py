"""The program that takes one repetition of a measurement in a fresh process (see `podium.execution.program`).

With `--turns FD` it measures in turns: it sends what it would do next over that connection, first once its libraries
are imported, and goes on when it gets an answer. So several workers start side by side and then measure one at a time.
It never runs inside a profiler.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from podium.benchmarking.bench import Bench, peak_rss_bytes
from podium.benchmarking.calls import Repetition, WorkerCall
from podium.benchmarking.scenarios import SCENARIOS, AnyScenario
from podium.devices.hardware import environment
from podium.execution import program


def main(arguments: list[str] | None = None) -> int:
    """Measure what the call names and write the result or the error; returns the exit code."""
    parser = program.argument_parser("podium.benchmarking.worker", "Take one repetition of a measurement.")
    parser.add_argument("--turns", type=int, metavar="FD", help="measure in turns, each asked for on this descriptor")
    parser.add_argument("--started", type=int, help="measure at once; the launcher's monotonic clock at the start, ns")
    options = parser.parse_args(arguments)
    turns = None if options.turns is None else Connection(options.turns)
    started = options.started or time.monotonic_ns()

    def next_turn(phase: str) -> None:
        if turns is not None:
            turns.send(phase)
            turns.recv()

    return program.run(
        options,
        WorkerCall.model_validate_json,
        lambda call: measured(call, next_turn, started).model_dump(mode="json"),
    )


def measured(call: WorkerCall, next_turn: Callable[[str], None], started_ns: int) -> Repetition:
    """Import the libraries, wait for the turn, load and warm up, and measure each scenario of the call.

    `next_turn` ends the turn and returns once the process may go on with the phase named: `load` or a scenario.
    """
    scenarios: list[AnyScenario] = [SCENARIOS.get(name) for name in call.scenarios]
    first = scenarios[0]
    bench = Bench(call, first.predictor_class(call.model.variant, call.model.model_dir), next_turn, started_ns)
    if first.from_start:
        bind(call.cores)
    else:
        bench.prepare()
        bench.next_turn("load")
        bind(call.cores)
        bench.load()
        bench.warm_up(first.warm_up_call(bench))
    samples = {scenario.name: scenario.measure(bench) for scenario in scenarios}
    return Repetition(
        number=call.number,
        pid=os.getpid(),
        load_seconds=bench.load_seconds,
        warm_up_ns=bench.warm_up_ns,
        settled=bench.settled,
        peak_rss_mb=peak_rss_bytes() / 1e6,
        peak_device_mb=bench.predictor.peak_device_mb(),
        environment=environment(call.model.device),
        samples=samples,
    )


def bind(cores: tuple[int, ...]) -> None:
    """Bind every thread of this process, and those it starts later, to `cores`, where the system can."""
    if cores and hasattr(os, "sched_setaffinity"):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that ended since it was listed
                os.sched_setaffinity(int(thread.name), cores)


if __name__ == "__main__":
    program.end(main())
