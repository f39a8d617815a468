"""What a worker process measures: one function per kind of job. Each loads the model anew.

- single stream: latency of one row after another at batch size 1, end to end: tokenise, copy to the device, forward,
  arg-max, labels back on the host;
- offline: throughput of full batches, end to end as well;
- grid: the same over batch sizes and lengths;
- server: see `podium.benchmarking.server`;
- cold start: from the start of the process to the first answer.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from podium.benchmarking import scenarios
from podium.benchmarking.lengths import rows_of_length
from podium.benchmarking.server import search
from podium.benchmarking.spec import (
    Cell,
    ColdStartResult,
    ColdStartSpec,
    GridResult,
    GridSpec,
    NextTurn,
    RepetitionResult,
    RepetitionSpec,
    ServerResult,
    ServerSpec,
)
from podium.devices.energy import EnergyMeter, energy_meter
from podium.devices.hardware import environment
from podium.inference.predictor import Predictor, PredictorSpec, predictor_class
from podium.inference.rows import Row, row_length

_WARM_UP_SHARE = 0.25
_OFFLINE_SHARE = 0.25
_OFFLINE_SECONDS = 1.0
_WARM_UP_SECONDS = 5.0
_TURN_ROWS = 10
_TURN_SECONDS = 0.25
_MB = 1e6


def repetition(spec: RepetitionSpec, next_turn: NextTurn) -> RepetitionResult:
    """Import the libraries, wait for the turn, load, warm up and measure latency and throughput.

    Where others measure in between, a turn has a few rows, or batches of a quarter of a second, so that what slows the
    machine meanwhile slows all alike; and `max_seconds` bounds the time of this process's own turns.

    Raises:
        Exception: whatever loading or running the model raises.
    """
    predictor, load_seconds = _loaded(spec, next_turn)
    started = time.perf_counter()
    warm = scenarios.warm_up(predictor, _middle(spec.rows), _WARM_UP_SHARE * spec.max_seconds)
    reserved = _OFFLINE_SHARE * spec.max_seconds
    left = spec.max_seconds - reserved - (time.perf_counter() - started)
    latency = _latency(predictor, spec, left, next_turn)
    meter = energy_meter(spec.device)
    batches = _batches(predictor, spec, min(_OFFLINE_SECONDS, reserved), meter, next_turn)
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
        energy_j=meter.joules(),
        energy_note=meter.note,
        batch_tokens=_tokens_of_batches(predictor, spec, len(batches)),
        weights=predictor.weights(),
        environment=environment(spec.device),
    )


def _latency(predictor: Predictor, spec: RepetitionSpec, seconds: float, next_turn: NextTurn) -> list[int]:
    """Latencies of the rows; of as many as `seconds` allow, but not before `spec.least_rows`."""
    each = _TURN_ROWS if spec.alternates else len(spec.rows)
    # What ran in between has driven this model out of the caches and put its threads to sleep; a server of it alone
    # would find both as the call before left them.
    before = _middle(spec.rows) if spec.alternates else None
    times: list[int] = []
    while len(times) < len(spec.rows) and (seconds > 0 or len(times) < spec.least_rows):
        next_turn("latency")
        started = time.perf_counter()
        rows = spec.rows[len(times) : len(times) + each]
        times += scenarios.single_stream(predictor, rows, seconds, spec.least_rows - len(times), before)
        seconds -= time.perf_counter() - started
    return times


def _batches(
    predictor: Predictor, spec: RepetitionSpec, seconds: float, meter: EnergyMeter, next_turn: NextTurn
) -> list[int]:
    """Times of full batches for `seconds`, in each turn after one that is not timed; see `scenarios.offline`."""
    each, least = (_TURN_SECONDS, 1) if spec.alternates else (seconds, scenarios.LEAST_BATCHES)
    batches = scenarios.full_batches(spec.rows, spec.batch_size)
    untimed = next(batches)
    times: list[int] = []
    while seconds > 0 or len(times) < scenarios.LEAST_BATCHES:
        next_turn("offline")
        predictor(untimed)
        started = time.perf_counter()
        times += scenarios.timed_batches(predictor, batches, min(seconds, each), least, meter)
        seconds -= time.perf_counter() - started
    return times


def grid(spec: GridSpec, next_turn: NextTurn) -> GridResult:
    """Throughput at every batch size and length, shortest and smallest first.

    Raises:
        ModelError: the model cuts rows before they have a length that was asked for.
        Exception: whatever loading or running the model raises.
    """
    predictor, _ = _loaded(spec, next_turn)
    rows: dict[int | None, list[Row]] = {None: list(spec.rows)}
    for tokens in spec.lengths:
        rows[tokens] = rows_of_length(spec.rows, tokens, max(spec.batch_sizes), predictor.tokens)
    scenarios.warm_up(predictor, _middle(spec.rows), _WARM_UP_SHARE * spec.max_seconds)
    each = min(_OFFLINE_SECONDS, spec.max_seconds / (len(rows) * len(spec.batch_sizes)))
    cells = []
    for wanted, own in rows.items():
        mean = statistics.mean(predictor.tokens(own))
        for size in sorted(spec.batch_sizes):
            times = scenarios.offline(predictor, own, size, each)
            cells.append(Cell(batch_size=size, length=wanted, tokens=mean, batch_ns=times))
    return GridResult(pid=os.getpid(), cells=cells)


def server(spec: ServerSpec, next_turn: NextTurn) -> ServerResult:
    """Probe rates of arrival; see `podium.benchmarking.server.search`.

    Raises:
        Exception: whatever loading or running the model raises.
    """
    predictor, _ = _loaded(spec, next_turn)
    scenarios.warm_up(predictor, _middle(spec.rows), _WARM_UP_SECONDS)
    rate, probes = search(predictor, spec.rows, spec.capacity, spec.arrivals, spec.q, spec.bound_ms, spec.seed)
    return ServerResult(pid=os.getpid(), rate=rate, probes=probes)


def cold_start(spec: ColdStartSpec, started_ns: int) -> ColdStartResult:
    """Load and answer one row, and tell how long each part took.

    Args:
        started_ns: `time.monotonic_ns` of the launcher just before it started this process; one clock serves all
            processes of a machine.

    Raises:
        Exception: whatever loading or running the model raises.
    """
    kind = predictor_class(spec.variant)
    kind.prepare(spec)
    imported = time.monotonic_ns()
    predictor = kind(spec)
    loaded = time.monotonic_ns()
    predictor(spec.rows[:1])
    answered = time.monotonic_ns()
    return ColdStartResult(
        pid=os.getpid(),
        imports_ns=imported - started_ns,
        load_ns=loaded - imported,
        first_answer_ns=answered - loaded,
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


def _loaded(spec: PredictorSpec, next_turn: NextTurn) -> tuple[Predictor, float]:
    """The predictor and how long it took to load, libraries already imported."""
    kind = predictor_class(spec.variant)
    kind.prepare(spec)
    next_turn("load")
    started = time.perf_counter()
    predictor = kind(spec)
    return predictor, time.perf_counter() - started


def _middle(rows: Sequence[Row]) -> Row:
    return sorted(rows, key=row_length)[len(rows) // 2]


def _tokens_of_batches(predictor: Predictor, spec: RepetitionSpec, batches: int) -> int:
    """Model input tokens of the timed batches, without padding; the first batch was not timed."""
    tokens = predictor.tokens(spec.rows)
    return sum(islice(cycle(tokens), spec.batch_size, spec.batch_size * (batches + 1)))
