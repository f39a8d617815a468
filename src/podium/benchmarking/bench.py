"""What a scenario works with in a worker process: the loaded model, its rows and turns, and timed calls.

All times are wall time in nanoseconds from `time.perf_counter_ns`. The garbage collector is switched off meanwhile, so
that no call is charged for a collection that earlier allocations caused.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from podium.benchmarking.calls import WorkerCall
from podium.inference.predictor import LoadedModel, Row, row_length

Call = Callable[[list[Row]], Any]
"""Predicts a batch; returns only when the result is on the host."""

LEAST_BATCHES = 2
"""Timed batches of a repetition, however long they take."""

WARM_UP_SHARE = 0.25
"""Share of `max_seconds` after which warming up ends at the latest."""

_WINDOW = 8
_TOLERANCE = 0.05
_NS = 1_000_000_000
_REFILL_NS = 50_000_000


class Bench:
    """A worker process as a scenario sees it; nothing is loaded at first.

    Attributes:
        call: what is measured, with the rows and the config.
        predictor: the model, once `load` was called: a `Predictor`, or what `Scenario.predictor_class` named.
        warm_up_ns: times of the warm-up, once `warm_up` was called; `settled` says whether they became steady.
        started_ns: `time.monotonic_ns` of the launcher just before it started this process; one clock serves all
            processes of a machine.
    """

    predictor: Any

    def __init__(self, call: WorkerCall, kind: type[LoadedModel], next_turn: Callable[[str], None], started_ns: int):
        self.call, self.started_ns = call, started_ns
        self.warm_up_ns: list[int] = []
        self.settled = True
        self.load_seconds = 0.0
        self._kind, self._next_turn = kind, next_turn
        self._turn_began = time.perf_counter()
        self._earlier_turns = 0.0

    @cached_property
    def middle_row(self) -> Row:
        return sorted(self.call.rows, key=row_length)[len(self.call.rows) // 2]

    @property
    def spent_seconds(self) -> float:
        """Time of this process's own turns since the model was loaded."""
        return self._earlier_turns + time.perf_counter() - self._turn_began

    def next_turn(self, phase: str) -> None:
        """End this turn, and return when the next one begins; `phase` names what it is for."""
        self._earlier_turns = self.spent_seconds
        self._next_turn(phase)
        self._turn_began = time.perf_counter()

    def prepare(self) -> None:
        """Import the libraries and set the threads of this process."""
        self._kind.prepare(self.call.model)

    def load(self) -> None:
        """Load the model onto the device and time it; time spent is counted from here."""
        started = time.perf_counter()
        self.predictor = self._kind(self.call.model)
        self._turn_began, self._earlier_turns = time.perf_counter(), 0.0
        self.load_seconds = self._turn_began - started

    def warm_up(self, call: Call) -> None:
        """Call the model with one row until its times are steady."""
        seconds = WARM_UP_SHARE * self.call.config.max_seconds
        self.warm_up_ns, self.settled = warm_up(call, self.middle_row, seconds)


def warm_up(call: Call, row: Row, seconds: float) -> tuple[list[int], bool]:
    """Call with one row until steady: the medians of the last two windows of 8 calls differ by at most 5 %.

    It is the same row each time, so that differences in length are not mistaken for warming up. The warm-up ends after
    `seconds` at the latest, but not before one call. Returns the times, and whether they became steady.
    """
    end = time.perf_counter_ns() + int(seconds * _NS)
    times: list[int] = []
    with quiet():
        while True:
            times.append(_timed(call, [row]))
            if len(times) >= 2 * _WINDOW:
                before = statistics.median(times[-2 * _WINDOW : -_WINDOW])
                if abs(statistics.median(times[-_WINDOW:]) - before) <= _TOLERANCE * before:
                    return times, True
            if time.perf_counter_ns() >= end:
                return times, False


def single_stream(
    call: Call, rows: Sequence[Row], seconds: float, least: int = 1, before: Row | None = None
) -> list[int]:
    """Latency of one row after another, batch size 1. Stops after `seconds`, but not before `least` rows.

    The row `before` is predicted for 50 ms first, untimed, since caches and threads are cold after a pause.
    """
    end = time.perf_counter_ns() + int(seconds * _NS)
    times: list[int] = []
    with quiet():
        if before is not None:
            refilled = time.perf_counter_ns() + _REFILL_NS
            call([before])
            while time.perf_counter_ns() < refilled:
                call([before])
        for row in rows:
            times.append(_timed(call, [row]))
            if len(times) >= least and time.perf_counter_ns() >= end:
                break
    return times


def full_batches(rows: Sequence[Row], batch_size: int) -> Iterator[list[Row]]:
    """Full batches of rows in the order given, over and over, without end."""
    endless = cycle(rows)
    while True:
        yield list(islice(endless, batch_size))


def timed_batches(
    call: Call,
    batches: Iterator[list[Row]],
    seconds: float,
    least: int = 1,
    around: AbstractContextManager[Any] | None = None,
) -> list[int]:
    """Times of the next of endless `batches` for `seconds`, but of at least `least` of them, within `around`."""
    end = time.perf_counter_ns() + int(seconds * _NS)
    times: list[int] = []
    with quiet(), around or nullcontext():
        while len(times) < least or time.perf_counter_ns() < end:
            times.append(_timed(call, next(batches)))
    return times


def _timed(call: Call, batch: list[Row]) -> int:
    start = time.perf_counter_ns()
    call(batch)
    return time.perf_counter_ns() - start


@contextmanager
def quiet() -> Iterator[None]:
    """Collect garbage now, and none until the end of the block. Later collections skip what is alive now."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


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
