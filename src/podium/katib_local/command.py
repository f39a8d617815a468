"""Runs the command of a Katib trial as a process, and reads its metrics while it runs."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from podium.errors import (
    ComputationFailed,
    MetricsUnavailable,
    NonFiniteLoss,
    OutOfMemory,
    ProcessKilled,
    TimeLimitExceeded,
)
from podium.execution.descendants import adopt_orphans, kill_descendants, terminate_descendants
from podium.execution.failures import out_of_memory_kills, signal_name
from podium.hpo.engines.base import TrialResult
from podium.hpo.engines.embedded import log_of
from podium.hpo.ledger import Claim, TrialLedger
from podium.katib.experiment import KatibExperiment
from podium.katib.read import shown
from podium.katib.trial import render, trial_name
from podium.katib_local.metrics import Collection
from podium.katib_local.process import Process, process_of
from podium.records import Report, Scalar

_POLL_SECONDS = 0.05
_REPORT_SECONDS = 0.5
_PAUSE_SHARE = 10.0
"""Time between two writes of reports, in times of what the last one took: each holds all reports so far."""
_FINAL = (MetricsUnavailable, NonFiniteLoss, TimeLimitExceeded)
"""Errors after which a Job is not run again: it succeeded, as Kubernetes sees it, or its time is over."""
_LAST_LINE = 200
_FILTER_SECONDS = 30.0
_SENT_TO_GROUPS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class CommandTrial:
    """Runs the primary container's command of a Job, or a TrainJob's trainer; can be sent to a worker process.

    The command gets no standard input; its output goes to the trial's log. Each value of the objective becomes a report
    in the ledger. Once the command has ended, was stopped by the trial's rule, or reported an objective that is not
    finite, everything that it started is gone, whatever session that went to. It runs in the process group of a worker
    that leads one.

    Attributes:
        katib: the experiment.
        logs: directory with the log of each trial, as the engine names them.
        files: directory below which a trial gets one of its own for the file of its metrics.
    """

    katib: KatibExperiment
    logs: Path
    files: Path

    @property
    def event_fields(self) -> Mapping[str, Scalar]:
        """See `TrialFunction`."""
        return {}

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        """Run the command to its end, and again after a failure while the Job's backoffLimit lasts.

        Raises:
            ComputationFailed: it failed (a ProcessKilled, OutOfMemory or TimeLimitExceeded for those reasons).
            MetricsUnavailable: it reported no value of the objective.
            NonFiniteLoss: it reported one that is not finite.
            ConfigError: the template does not fit this machine.
        """
        if os.getsid(0) != os.getpid():
            raise RuntimeError("a command is run by a worker that leads a session of its own, as those of a pool do")
        adopt_orphans()
        process = process_of(
            self.katib, render(self.katib, claim.number, claim.params), self.metrics_file(claim.number)
        )
        reports = _Reports(claim, ledger)
        end = None if process.deadline is None else time.monotonic() + process.deadline
        with _spared():
            for retry in range(process.retries + 1):
                try:
                    return self._run(process, claim.number, reports, end)
                except ComputationFailed as error:
                    if retry == process.retries or isinstance(error, _FINAL):
                        raise
                    reports.start_again()
        raise AssertionError("the last try returns or raises")

    def metrics_file(self, number: int) -> Path | None:
        """The file that a trial's metrics are read from; None for a collector of kind StdOut."""
        collector = self.katib.collector
        if collector.kind == "StdOut":
            return None
        return self.files / trial_name(self.katib, number) / Path(collector.path).name

    def _run(self, process: Process, number: int, reports: _Reports, end: float | None) -> TrialResult:
        objective = self.katib.experiment.objective
        log, file = log_of(self.logs, number), self.metrics_file(number)
        if file is not None:
            shutil.rmtree(file.parent, ignore_errors=True)
            file.parent.mkdir(parents=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        start = log.stat().st_size if log.exists() else 0
        tail = _Tail(file) if file is not None else _Tail(log, start)
        collection = Collection(self.katib.collector, tuple(objective.strategies))
        kills = out_of_memory_kills()
        child = _start(process, log)
        try:
            while True:
                code = _wait(child)
                for line in tail.lines(ended=code is not None):
                    if reports.take(_values(collection, line)):
                        _terminate(child, process.grace)
                        observed = collection.observed()
                        return TrialResult(objective.value(observed), observed, pruned=reports.why)
                if code is not None:
                    break
                if end is not None and time.monotonic() > end:
                    _terminate(child, process.grace)
                    raise TimeLimitExceeded(
                        f"the command must end within activeDeadlineSeconds={process.deadline}, but did not"
                    )
        finally:
            kill_descendants()
            child.wait()
            reports.flush()
        if code != 0:
            raise _failure(code, log, start, kills)
        if file is not None:
            # It may have been written anew meanwhile; what it holds in the end counts.
            collection = Collection(self.katib.collector, tuple(objective.strategies))
            for line in _Tail(file).lines(ended=True):
                _values(collection, line)
        observed = collection.observed()
        if objective.metric not in observed:
            raise collection.unavailable()
        return TrialResult(objective.value(observed), observed)


class _Reports:
    """Writes what a trial reports to the ledger every now and then, and judges every value by the trial's rule."""

    def __init__(self, claim: Claim, ledger: TrialLedger) -> None:
        self._claim = claim
        self._ledger = ledger
        self._rule = claim.record.rule
        self._made = list(claim.record.reports)
        self._written = len(self._made)
        self._skip = 0
        self._next = time.monotonic() + _REPORT_SECONDS
        self.why = ""

    def start_again(self) -> None:
        """The command is run again: what it repeats is on record already."""
        self._skip = len(self._made)

    def take(self, values: Sequence[float]) -> bool:
        """Take in values of the objective; whether the trial is stopped, at the last value that was taken in."""
        for value in values:
            if self._skip:
                self._skip -= 1
                continue
            self._made.append(Report(value=value))
            if self._rule is not None and self._rule.stops(self._made):
                self.why = (
                    f"{self._rule.algorithm}: at report {len(self._made)} the {self._rule.compared} value was worse "
                    f"than {self._rule.threshold(self._made):g}"
                )
                return True
        if time.monotonic() > self._next:
            self.flush()
        return False

    def flush(self) -> None:
        """Write what is not in the ledger yet."""
        started = time.monotonic()
        if len(self._made) > self._written:
            self._ledger.report(self._claim, *self._made[self._written :])
            self._written = len(self._made)
        ended = time.monotonic()
        self._next = ended + max(_REPORT_SECONDS, _PAUSE_SHARE * (ended - started))


class _Tail:
    """Reads what is appended to a file, by lines that end with a newline character alone, as Katib splits them."""

    def __init__(self, path: Path, position: int = 0) -> None:
        self._path = path
        self._position = position
        self._rest = b""

    def lines(self, ended: bool) -> Iterator[str]:
        """The lines that are complete; of a file that has ended the last one too."""
        with suppress(FileNotFoundError):
            # A pipe would be waited for.
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise ComputationFailed(
                    f"metrics are read from a file, but the command made something else of {self._path}"
                )
            with self._path.open("rb") as stream:
                stream.seek(self._position)
                data = stream.read()
                self._position += len(data)
                self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        if ended and self._rest:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            yield line.decode(errors="replace")


def _values(collection: Collection, line: str) -> list[float]:
    """See `Collection.take`.

    Raises:
        ComputationFailed: a filter of the experiment found no end, as one of Go's would have.
    """
    if not collection.filtered:
        return collection.take(line)
    signal.setitimer(signal.ITIMER_REAL, _FILTER_SECONDS)
    try:
        return collection.take(line)
    except TimeoutError as error:
        raise ComputationFailed(
            f"the filters of metricsFormat must find the metrics in a line within {_FILTER_SECONDS:g} s, but that took "
            f"longer in {shown(line)}; repeat nothing that is a repetition itself, as (a+)+ does"
        ) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up(*_: object) -> NoReturn:
    raise TimeoutError


@contextmanager
def _spared() -> Iterator[None]:
    """Outlive what a command sends to its process group, as `kill 0` in its cleanup does: in a pod it is alone there.

    A handler, unlike a signal that is ignored, is not inherited by the command. That of SIGALRM is for `_values`.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in _SENT_TO_GROUPS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _give_up)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(process: Process, log: Path) -> subprocess.Popen[bytes]:
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                process.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=process.variables(),
                cwd=process.directory,
            )
    except (OSError, ValueError) as error:
        raise ComputationFailed(f"the command {process.arguments[0]!r} cannot be run: {error}") from error


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _terminate(child: subprocess.Popen[bytes], grace: float) -> None:
    """Ask the command and all that it started to end, and wait for the command at most `grace` seconds."""
    terminate_descendants()
    with suppress(subprocess.TimeoutExpired):
        child.wait(grace)


def _failure(code: int, log: Path, start: int, kills: int) -> ComputationFailed:
    """The error of a command that did not end with 0; it says the last line that the command wrote."""
    with log.open("rb") as stream:
        stream.seek(max(start, log.stat().st_size - 4096))
        lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    last = f": {lines[-1][:_LAST_LINE]}" if lines else ", and no output"
    if code > 0:
        return ComputationFailed(f"the command ended with exit code {code}{last}")
    if -code == signal.SIGKILL and out_of_memory_kills() > kills:
        return OutOfMemory(f"the kernel ended the command for lack of memory; lower parallelTrialCount{last}")
    return ProcessKilled(f"the command was ended by {signal_name(-code)}{last}")
