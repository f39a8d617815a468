"""One job of a measurement, in a fresh process: `python -m podium.benchmarking.worker --spec FILE`.

With `--turns FD` it measures in turns: it writes what it would do next to that file descriptor, first once its
libraries are imported, and goes on when it reads a line from standard input. So several workers start side by side and
then measure one at a time. It ends at once when standard input is closed, that is when its parent has died. It never
runs inside a profiler.
"""

from __future__ import annotations

import argparse
import logging
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from podium.benchmarking.spec import (
    SPEC,
    AnySpec,
    ColdStartSpec,
    GenerationSpec,
    GridSpec,
    Phase,
    RepetitionFailure,
    RepetitionSpec,
)
from podium.records.base import Frozen


def main(arguments: list[str] | None = None) -> int:
    """Measure as the spec file says and write the result or the failure; exit code 1 on failure."""
    parser = argparse.ArgumentParser(prog="python -m podium.benchmarking.worker", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file of a job")
    parser.add_argument("--turns", type=int, metavar="FD", help="measure in turns, each asked for on this descriptor")
    parser.add_argument("--started", type=int, help="measure at once; the launcher's monotonic clock at the start, ns")
    options = parser.parse_args(arguments)
    spec = SPEC.validate_json(options.spec.read_bytes())
    launched = options.turns is not None or options.started is not None
    turns = _Turns(options.turns) if launched else None
    try:
        result = _measured(spec, turns, options.started or time.monotonic_ns())
    except Exception as error:
        logging.exception("the repetition failed")
        spec.output.write_text(RepetitionFailure(error=f"{type(error).__name__}: {error}").model_dump_json())
        return 1
    spec.output.write_text(result.model_dump_json())
    return 0


def _measured(spec: AnySpec, turns: _Turns | None, started_ns: int) -> Frozen:
    """The result of the job."""

    def next_turn(phase: Phase) -> None:
        if turns is not None:
            turns.next(phase)
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


class _Turns:
    """Turns that the launcher, which holds the other end of standard input, gives; the process ends once it is gone.

    A thread of its own listens. It is blocked in a read while the process measures, so it takes no time from that.
    """

    def __init__(self, asked_on: int | None):
        """Listen from now on; turns are asked for on the file descriptor `asked_on`."""
        self._asked_on = asked_on
        self._given: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self, phase: Phase) -> None:
        """Give up the turn, ask for one to do `phase`, and return once it is given."""
        if self._asked_on is not None:
            os.write(self._asked_on, f"{phase}\n".encode())
            self._given.get()

    def _listen(self) -> None:
        for line in iter(sys.stdin.readline, ""):
            self._given.put(line)
        os._exit(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the result is written; taking torch down tidily would cost most of a second
