"""What a scenario works with in a worker process: the loaded model, its rows and its turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from podium.benchmarking import timing
from podium.benchmarking.calls import WorkerCall
from podium.inference.predictor import LoadedModel
from podium.inference.rows import Row, row_length

WARM_UP_SHARE = 0.25
"""Share of `max_seconds` after which warming up ends at the latest."""


class Bench:
    """A worker process as a scenario sees it.

    Attributes:
        call: what is measured, with the rows and the config.
        predictor: the model, once `load` was called: a `Predictor`, or what `Scenario.predictor_class` named.
        warm: times of the warm-up, once `warm_up` was called.
        started_ns: `time.monotonic_ns` of the launcher just before it started this process; one clock serves all
            processes of a machine.
    """

    predictor: Any

    def __init__(self, call: WorkerCall, kind: type[LoadedModel], next_turn: Callable[[str], None], started_ns: int):
        """Nothing is loaded yet; `kind` is the class of the predictor."""
        self.call, self.started_ns = call, started_ns
        self.warm = timing.WarmUp([], settled=True)
        self.load_seconds = 0.0
        self._kind, self._next_turn = kind, next_turn
        self._turn_began = time.perf_counter()
        self._earlier_turns = 0.0

    @cached_property
    def middle_row(self) -> Row:
        """The row of median length."""
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

    def warm_up(self, call: timing.Call) -> None:
        """Call the model with one row until its times are steady."""
        self.warm = timing.warm_up(call, self.middle_row, WARM_UP_SHARE * self.call.config.max_seconds)


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
