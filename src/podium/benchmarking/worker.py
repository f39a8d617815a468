"""One job of a measurement, in a fresh process: `python -m podium.benchmarking.worker --spec FILE`.

With `--wait` it imports its libraries, creates the file SPEC.ready, and measures once it reads a line from
standard input, so that several workers start side by side and then measure one at a time; it ends at once when
standard input is closed, that is when its parent has died. It never runs inside a profiler.
"""

from __future__ import annotations

import argparse
import logging
import os
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
    Message,
    RepetitionFailure,
    RepetitionSpec,
)


def ready_file(spec_file: Path) -> Path:
    """The file a waiting worker creates once its libraries are imported."""
    return spec_file.with_suffix(".ready")


def main(arguments: list[str] | None = None) -> int:
    """Measure as the spec file says and write the result or the failure; exit code 1 on failure."""
    parser = argparse.ArgumentParser(prog="python -m podium.benchmarking.worker", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file of a job")
    parser.add_argument("--wait", action="store_true", help="measure only once a line arrives on standard input")
    parser.add_argument("--started", type=int, help="measure at once; the launcher's monotonic clock at the start, ns")
    options = parser.parse_args(arguments)
    spec = SPEC.validate_json(options.spec.read_bytes())
    if options.started is not None:
        _end_with_parent()
    started = options.started or time.monotonic_ns()
    try:
        result = _measured(spec, ready_file(options.spec) if options.wait else None, started)
    except Exception as error:
        logging.exception("the repetition failed")
        spec.output.write_text(RepetitionFailure(error=f"{type(error).__name__}: {error}").model_dump_json())
        return 1
    spec.output.write_text(result.model_dump_json())
    return 0


def _measured(spec: AnySpec, ready: Path | None, started_ns: int) -> Message:
    """The result of the job."""

    def await_turn() -> None:
        if ready is not None:
            _await_turn(ready)
        bind(spec.cores)

    if isinstance(spec, GenerationSpec):
        from podium.benchmarking.generation import generation

        return generation(spec, await_turn)
    if isinstance(spec, ColdStartSpec):
        bind(spec.cores)
    from podium.benchmarking import measure

    if isinstance(spec, ColdStartSpec):
        return measure.cold_start(spec, started_ns)
    if isinstance(spec, RepetitionSpec):
        return measure.repetition(spec, await_turn)
    return measure.grid(spec, await_turn) if isinstance(spec, GridSpec) else measure.server(spec, await_turn)


def bind(cores: tuple[int, ...]) -> None:
    """Bind every thread of this process, and those it starts later, to `cores`, where the system can."""
    if cores and hasattr(os, "sched_setaffinity"):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that ended since it was listed
                os.sched_setaffinity(int(thread.name), cores)


def _await_turn(ready: Path) -> None:
    """Announce readiness and block until a line arrives; from then on the process ends with its parent."""
    ready.touch()
    if not sys.stdin.readline():
        os._exit(1)
    _end_with_parent()


def _end_with_parent() -> None:
    """End this process once the launcher, which holds the other end of standard input, is gone.

    The thread that does so is blocked in a read, so it takes no time from the measurement.
    """

    def watch() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the result is written; taking torch down tidily would cost most of a second
