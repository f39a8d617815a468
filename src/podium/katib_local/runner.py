"""Runs the command of a Katib trial in a worker, and reads its metrics while it runs."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from podium.errors import (
    ComputationFailed,
    MetricsUnavailable,
    NonFiniteLoss,
    OutOfMemory,
    ProcessKilled,
    TimeLimitExceeded,
)
from podium.execution.descendants import adopt_orphans, kill_descendants
from podium.execution.failures import Purpose, out_of_memory_kills, signal_name
from podium.execution.launch import Process
from podium.hpo.engines.base import TrialResult
from podium.hpo.engines.embedded import log_of
from podium.hpo.ledger import Claim, TrialLedger
from podium.katib.experiment import KatibExperiment, render, trial_name
from podium.katib_local.command import LocalCommand, local_command
from podium.katib_local.metrics import MetricReader
from podium.records import Report, Scalar

_POLL_SECONDS = 0.05
_REPORT_SECONDS = 1.0
"""Time between two writes of reports to the ledger, each of which writes all reports so far."""

_FINAL = (MetricsUnavailable, NonFiniteLoss, TimeLimitExceeded)
"""Errors after which a command is not run again: it succeeded, as Kubernetes sees it, or its time is over."""

_LAST_LINE = 200
_COMMAND = Purpose("the command")
_GROUP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class CommandRunner:
    """Runs the command of a trial, in a worker process that runs nothing else.

    The command gets no standard input, and its output goes to the trial's log. Each value of the objective becomes a
    report in the ledger. Everything that the command started is gone once it has ended, was stopped by the trial's
    rule, or reported an objective that is not finite.

    Attributes:
        katib: the experiment.
        logs: directory with the log of each trial, as the engine names them.
        files: directory below which each trial has a directory for the file of its metrics.
    """

    katib: KatibExperiment
    logs: Path
    files: Path

    @property
    def event_fields(self) -> Mapping[str, Scalar]:
        """See `TrialFunction`."""
        return {}

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        """Run the command to its end, and again after a failure as often as the Job's backoffLimit allows.

        Raises:
            ComputationFailed: it failed (a ProcessKilled, OutOfMemory or TimeLimitExceeded for those reasons).
            MetricsUnavailable: it reported no value of the objective.
            NonFiniteLoss: it reported one that is not finite.
            ConfigError: the template does not fit this machine.
        """
        adopt_orphans()
        number = claim.number
        command = local_command(self.katib, render(self.katib, number, claim.params), self.metrics_file(number))
        reports = _Reports(claim, ledger)
        end = None if command.deadline is None else time.monotonic() + command.deadline
        with _unharmed_by_group_signals():
            for retry in range(command.retries + 1):
                try:
                    return self._run(command, number, reports, end)
                except ComputationFailed as error:
                    if retry == command.retries or isinstance(error, _FINAL):
                        raise
        raise AssertionError("the last try returns or raises")

    def metrics_file(self, number: int) -> Path | None:
        """The file from which a trial's metrics are read; None for a collector of kind StdOut."""
        collector = self.katib.collector
        if collector.kind == "StdOut":
            return None
        return self.files / trial_name(self.katib, number) / Path(collector.path).name

    def _run(self, command: LocalCommand, number: int, reports: _Reports, end: float | None) -> TrialResult:
        objective = self.katib.experiment.objective
        log, file = log_of(self.logs, number), self.metrics_file(number)
        if file is not None:
            shutil.rmtree(file.parent, ignore_errors=True)
            file.parent.mkdir(parents=True)
        start = log.stat().st_size if log.exists() else 0
        tail = _Tail(file) if file is not None else _Tail(log, start)
        reader = MetricReader(self.katib.collector, tuple(objective.strategies))
        kills = out_of_memory_kills()
        process = Process(
            command.arguments,
            log,
            purpose=_COMMAND,
            environment=command.variables(),
            directory=command.directory,
            watches_parent=False,
            own_session=False,
        )
        try:
            code = None
            while code is None:
                code = process.wait(_POLL_SECONDS)
                for line in tail.lines(ended=code is not None):
                    if reports.take(reader.take(line)):
                        process.stop(command.grace)
                        observed = reader.observed()
                        return TrialResult(objective.value(observed), observed, pruned=reports.why)
                if code is None and end is not None and time.monotonic() > end:
                    process.stop(command.grace)
                    raise TimeLimitExceeded(
                        f"the command must end within activeDeadlineSeconds={command.deadline}, but did not"
                    )
        finally:
            process.stop()
            # What it started may have outlived it.
            kill_descendants()
            reports.flush()
        if code != 0:
            raise _failure(code, log, start, kills)
        if file is not None:
            # The command may have written its file anew; what it has in the end counts.
            reader = MetricReader(self.katib.collector, tuple(objective.strategies))
            for line in _Tail(file).lines(ended=True):
                reader.take(line)
        observed = reader.observed()
        if objective.metric not in observed:
            raise reader.unavailable()
        return TrialResult(objective.value(observed), observed)


class _Reports:
    """Writes the reports of a trial to the ledger now and then, and applies the trial's stopping rule to each."""

    def __init__(self, claim: Claim, ledger: TrialLedger) -> None:
        self._claim = claim
        self._ledger = ledger
        self._rule = claim.record.rule
        self._made = list(claim.record.reports)
        self._written = len(self._made)
        self._next = time.monotonic() + _REPORT_SECONDS
        self.why = ""

    def take(self, values: Sequence[float]) -> bool:
        """Take values of the objective; returns whether the rule stops the trial, at the last value that was taken."""
        for value in values:
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
        """Write the reports that are not in the ledger yet."""
        if len(self._made) > self._written:
            self._ledger.report(self._claim, *self._made[self._written :])
            self._written = len(self._made)
        self._next = time.monotonic() + _REPORT_SECONDS


class _Tail:
    """Reads what is appended to a file, line by line."""

    def __init__(self, path: Path, position: int = 0) -> None:
        self._path = path
        self._position = position
        self._rest = b""

    def lines(self, ended: bool) -> list[str]:
        """The new lines that are complete; with `ended` the last one too."""
        data = b""
        with suppress(FileNotFoundError), self._path.open("rb") as stream:
            stream.seek(self._position)
            data = stream.read()
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if ended and self._rest:
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace") for line in lines]


@contextmanager
def _unharmed_by_group_signals() -> Iterator[None]:
    """Survive a signal that a command sends to its process group, as `kill 0` in its cleanup does.

    The command does not inherit a handler, as it would a signal that is ignored.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in _GROUP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failure(code: int, log: Path, start: int, kills: int) -> ComputationFailed:
    """The error of a command that did not end with 0; its message has the last line that the command wrote."""
    with log.open("rb") as stream:
        stream.seek(max(start, log.stat().st_size - 4096))
        lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    last = f": {lines[-1][:_LAST_LINE]}" if lines else ", and no output"
    if code > 0:
        return ComputationFailed(f"the command ended with exit code {code}{last}")
    if -code == signal.SIGKILL and out_of_memory_kills() > kills:
        return OutOfMemory(f"the kernel ended the command for lack of memory; lower parallelTrialCount{last}")
    return ProcessKilled(f"the command was ended by {signal_name(-code)}{last}")
