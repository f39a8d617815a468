"""Runs the command of a Katib trial in a worker, and reads its metrics; docs/katib.md says what differs from Katib."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
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
from podium.execution.ending import adopt_orphans, group_signals_survived, kill_descendants
from podium.execution.failures import Purpose, out_of_memory_kills, signal_name
from podium.execution.launch import Process
from podium.hpo.engines import TrialResult, log_of
from podium.hpo.ledger import Claim, TrialLedger
from podium.katib.experiment import KatibExperiment, render, trial_name
from podium.katib.read import shown
from podium.katib.template import MetricsCollector, go_expression
from podium.katib_local.command import LocalCommand, local_command
from podium.records import Observed, Report

_DEFAULT_FILTER = r"(?i)([\w|-]+)\s*=\s*([+-]?(?:(?:nan|inf(?:inity)?)\b|\d*(?:\.\d+)?(?:e[+-]?\d+)?))"
"""Finds `name=number` as Katib's does, and also the values that are not finite."""

_POLL_SECONDS = 0.05
_REPORT_SECONDS = 1.0
"""Time between two writes of reports to the ledger, each of which writes all reports so far."""

_FINAL = (MetricsUnavailable, NonFiniteLoss, TimeLimitExceeded)
"""Errors after which a command is not run again: it succeeded, as Kubernetes sees it, or its time is over."""

_LAST_LINE = 200
_COMMAND = Purpose("the command")


@dataclass(frozen=True)
class CommandRunner:
    """Runs the command of a trial, in a worker process that runs nothing else.

    The command gets no standard input, and its output goes to the trial's log. Each value of the objective becomes a
    report in the ledger. Everything that the command started is gone once it has ended, was stopped by the trial's
    rule, or reported an objective that is not finite.

    Attributes:
        logs: directory with the log of each trial, as the engine names them.
        files: directory below which each trial has a directory for the file of its metrics.
    """

    katib: KatibExperiment
    logs: Path
    files: Path

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
        with group_signals_survived():
            for _ in range(command.retries):
                try:
                    return self._run(command, number, reports, end)
                except ComputationFailed as error:
                    if isinstance(error, _FINAL):
                        raise
            return self._run(command, number, reports, end)

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


class MetricReader:
    """Takes the lines of one trial, one after another, and says what was observed."""

    def __init__(self, collector: MetricsCollector, metrics: Sequence[str]) -> None:
        """`metrics` are the names of those that are collected, the objective first."""
        self._json = collector.format == "JSON"
        self._place = collector.path if collector.kind == "File" else "the output"
        self._filters = [go_expression(found) for found in collector.metrics_format or (_DEFAULT_FILTER,)]
        self._metrics = tuple(metrics)
        self._objective = metrics[0]
        self._observed: dict[str, Observed] = {}
        self._lines = 0
        self._no_number = ""

    def take(self, line: str) -> list[float]:
        """Take a line, and return the values of the objective in it.

        Raises:
            NonFiniteLoss: a value of the objective is NaN or infinite.
            ComputationFailed: the format is JSON, and the line is not a JSON object.
        """
        self._lines += 1
        values = []
        for metric, text in self._in_json(line) if self._json else self._in_text(line):
            value = self._number(metric, text)
            if value is None:
                continue
            old = self._observed.get(metric, Observed.of([value]))
            self._observed[metric] = Observed(min=min(old.min, value), max=max(old.max, value), latest=value)
            if metric == self._objective:
                values.append(value)
        return values

    def observed(self) -> dict[str, Observed]:
        """What was reported so far, by metric, without those that were not reported."""
        return {metric: self._observed[metric] for metric in self._metrics if metric in self._observed}

    def unavailable(self) -> MetricsUnavailable:
        """The error of a trial that ended without a value of its objective."""
        return MetricsUnavailable(
            f"a trial must report its objective {self._objective!r}, but {self._place} has {self._lines} lines and no "
            f"value of it{self._no_number}"
        )

    def _in_text(self, line: str) -> Iterator[tuple[str, str]]:
        if not any(metric in line for metric in self._metrics):
            return
        for pattern in self._filters:
            for match in pattern.finditer(line):
                name = (match[1] or "").strip()
                if name in self._metrics:
                    yield name, (match[2] or "").strip()

    def _in_json(self, line: str) -> Iterator[tuple[str, str]]:
        """Only texts are values, as in Katib."""
        if not line.strip():
            return
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise ComputationFailed(
                f"every line of {self._place} must be a JSON object, but line {self._lines} is {shown(line)}"
            )
        for metric in self._metrics:
            value = fields.get(metric)
            if isinstance(value, str):
                yield metric, value.strip()
            elif value is not None and metric == self._objective:
                self._no_number = (
                    f" that is a text: line {self._lines} has {shown(value)}; Katib reads it in quotes only"
                )

    def _number(self, metric: str, text: str) -> float | None:
        """The value of a text; None where it is not a number, or an additional metric is not finite."""
        try:
            value = float(text)
        except ValueError:
            if metric == self._objective:
                self._no_number = f" that is a number: line {self._lines} has {shown(text)}"
            return None
        if math.isfinite(value):
            return value
        if metric == self._objective:
            raise NonFiniteLoss(
                f"the objective must be finite, but line {self._lines} of {self._place} reports {metric}={text}"
            )
        return None


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
