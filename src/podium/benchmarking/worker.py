"""One repetition of a measurement, in a fresh process: `python -m podium.benchmarking.worker --spec FILE`.

It loads the model directory, warms up until steady, and measures two scenarios on rows of the data set:

- single stream: latency of one row after another at batch size 1, end to end: tokenise, copy to the device, forward,
  arg-max, labels back on the host;
- offline: throughput of full batches, end to end as well.

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
from collections.abc import Callable
from pathlib import Path

from podium.benchmarking.spec import RepetitionFailure, RepetitionResult, RepetitionSpec

_WARM_UP_SHARE = 0.25
_OFFLINE_SHARE = 0.25
_OFFLINE_SECONDS = 1.0
_MB = 1e6


def ready_file(spec_file: Path) -> Path:
    """The file a waiting worker creates once its libraries are imported."""
    return spec_file.with_suffix(".ready")


def main(arguments: list[str] | None = None) -> int:
    """Measure as the spec file says and write the result or the failure; exit code 1 on failure."""
    parser = argparse.ArgumentParser(prog="python -m podium.benchmarking.worker", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file of a RepetitionSpec")
    parser.add_argument("--wait", action="store_true", help="measure only once a line arrives on standard input")
    options = parser.parse_args(arguments)
    spec = RepetitionSpec.model_validate_json(options.spec.read_bytes())
    try:
        result = measure(spec, (lambda: _await_turn(ready_file(options.spec))) if options.wait else None)
    except Exception as error:
        logging.exception("the repetition failed")
        spec.output.write_text(RepetitionFailure(error=f"{type(error).__name__}: {error}").model_dump_json())
        return 1
    spec.output.write_text(result.model_dump_json())
    return 0


def measure(spec: RepetitionSpec, await_turn: Callable[[], None] | None = None) -> RepetitionResult:
    """Import the libraries, wait for the turn, load, warm up and measure.

    Raises:
        Exception: whatever loading or running the model raises.
    """
    from podium.benchmarking import scenarios
    from podium.benchmarking.predictor import predictor_class
    from podium.benchmarking.sampling import length

    kind = predictor_class(spec.variant)
    kind.prepare(spec)
    if await_turn:
        await_turn()

    started = time.perf_counter()
    predictor = kind(spec)
    load_seconds = time.perf_counter() - started

    started = time.perf_counter()
    middle = sorted(spec.rows, key=length)[len(spec.rows) // 2]
    warm = scenarios.warm_up(predictor, middle, _WARM_UP_SHARE * spec.max_seconds)
    reserved = _OFFLINE_SHARE * spec.max_seconds
    left = spec.max_seconds - reserved - (time.perf_counter() - started)
    latency = scenarios.single_stream(predictor, spec.rows, left, spec.least_rows)
    batches = scenarios.offline(predictor, spec.rows, spec.batch_size, min(_OFFLINE_SECONDS, reserved))
    return RepetitionResult(
        pid=os.getpid(),
        load_seconds=load_seconds,
        warm_up_ns=warm.times_ns,
        settled=warm.settled,
        latency_ns=latency,
        tokens=predictor.tokens(spec.rows[: len(latency)]),
        batch_ns=batches,
        peak_rss_mb=peak_rss_bytes() / _MB,
        peak_device_mb=predictor.peak_device_mb(),
    )


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far.

    On Linux from `VmHWM` of proc(5), which starts anew at exec. `getrusage` does not: there a process inherits the
    peak of the one that started it, so a large parent would be charged to the model.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _await_turn(ready: Path) -> None:
    """Announce readiness and block until a line arrives; from then on a thread ends the process with its parent.

    That thread is blocked in a read, so it takes no time from the measurement.
    """
    ready.touch()
    if not sys.stdin.readline():
        os._exit(1)

    def end_with_parent() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the result is written; taking torch down tidily would cost most of a second
