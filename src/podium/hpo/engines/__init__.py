"""What every engine promises, and the engine of this machine: an algorithm suggests, worker processes execute.

The state of the algorithm is kept in memory only and rebuilt from the ledger whenever a study is resumed. No second
copy can therefore disagree with the ledger or be damaged by a kill.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

from podium.config.search import MedianStop, NoStopping
from podium.errors import ComputationFailed, KilledFromOutside, PodiumError
from podium.events import emit
from podium.execution.ending import sigterm_unwinds
from podium.hpo.experiment import Experiment, Progress
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.suggest import Suggester, suggester_for
from podium.records import Observed, Scalar, StoppingRule, TrialRecord

if TYPE_CHECKING:
    from podium.execution.calls import WorkerCall
    from podium.execution.workers import WorkerPool


OnTrial = Callable[[TrialRecord], None]
"""Called with every trial that ends."""

MAX_KILLS = 2
"""How often a trial is executed again because its worker was killed from outside."""


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended that did not fail: with a score and every metric that was collected.

    `pruned` says why it was stopped early; the ledger then takes its last report for its score.
    """

    score: float
    metrics: Mapping[str, Observed] = field(default_factory=dict)
    pruned: str | None = None


TrialFunction = Callable[[Claim, TrialLedger], TrialResult]
"""Executes a claimed trial, reports to the ledger meanwhile, and returns how the trial ended.

It can be sent to another process, and ends early once `should_stop` of the record that `TrialLedger.report` returns is
true. A ComputationFailed means that this trial failed and the study continues; any other PodiumError would end every
trial alike and stops the study.
"""


def end_of_trial(
    claim: Claim,
    ledger: TrialLedger,
    execute: Callable[[], TrialResult],
    log: Path | None = None,
    passed_on: tuple[type[Exception], ...] = (),
) -> TrialRecord:
    """Execute a claimed trial, and enter into the ledger whether it succeeded, was pruned or failed.

    Where there is a log, the error of a failed trial refers to it in place of all but the first line of the message.

    Raises:
        PodiumError: an error that would end every trial alike, or one of `passed_on`; the trial stays running.
    """
    try:
        result = execute()
        if result.pruned is not None:
            return ledger.prune(claim, result.pruned, result.metrics)
        return ledger.finish(claim, result.score, result.metrics)
    except passed_on:
        raise
    except Exception as error:
        if isinstance(error, PodiumError) and not isinstance(error, ComputationFailed):
            raise
        message = str(error) if log is None else f"{str(error).partition(chr(10))[0]} (log: {log})"
        return ledger.fail(claim, type(error).__name__, f"{type(error).__name__}: {message}")


class Engine(ABC):
    """Runs the trials of an experiment somewhere, until the study is over.

    A concrete engine is made of what a trial executes and where; `run` takes what to search.

    Ownership: the caller holds the study's lease, so that no other engine runs it. While `run` runs, only it begins,
    takes over and ends trials of the ledger. When it returns or raises, nothing that it started still runs.

    Threads: `run` is called from one thread, and `on_trial` from that thread, once for every trial that ends during the
    call, in the order in which they end, after the ledger holds the result.

    Budget: at most `parallel_trials` run at once, and a trial that ends is replaced at once while the budget lasts. The
    study is over when `Progress.outcome` says so; trials that still run then are stopped and stay `running` in the
    ledger. Too many failures are an outcome, not an error of the engine.

    Resume: trials found `running` in the ledger are continued first, with their number, params and finished folds.
    Trials that ended are never executed again; they are what the search learns from. A new trial takes the lowest
    number that the ledger does not hold, and begins under the stopping rule that follows from the trials before it.

    Suggestions: they follow from the experiment's seed, the trial's number and, for algorithms that learn, the
    trials known at that moment; random search gives a number the same params whatever happened before.

    Kills: a trial whose process is killed from outside while the engine lives (KilledFromOutside: preemption, an
    operator, somebody else's memory) says nothing about its params. It is executed again at once, under its number, as
    another attempt that keeps its finished folds, at most `MAX_KILLS` times; the ledger counts them. A crash of its own
    and a kill that the kernel counted as out of memory are failures.

    Errors: a trial that raises a ComputationFailed or an exception Podium does not know, dies, or ends with a score
    that is not finite, becomes a failed trial with that reason. Any other PodiumError (bad input, a store that
    cannot be written) and an exception of `on_trial` stop the study and are raised; the trials they interrupt
    stay `running`.

    Events: the engine emits `trial_started` (number, params, attempt and what else it knows) for every trial it starts.

    Cancel: KeyboardInterrupt and SystemExit (which SIGTERM becomes) stop what runs and are raised again. After
    those, as after SIGKILL, `run` with the same ledger continues the study.
    """

    @abstractmethod
    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        """Run trials until the study is over; returns at once if it already is."""


_Curve = Sequence[tuple[float, float]]
"""Points of a trial, in order, and the values that it reported there."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddedEngine(Engine):
    """Runs trials in the workers of a pool on this machine. See `Engine` for what it promises.

    Suggestions come from `podium.hpo.suggest`. They depend on which trials have ended at that moment, and not on how
    often the study was interrupted.

    Attributes:
        trial: what every trial executes.
        pool: runs the trials. It belongs to the caller and stays open, and should have as many workers as trials run
            at once.
        logs: directory that gets one log per trial.
        prior: trials of other studies that the search learns from before its own; they count for nothing else.
        deadline: when trials have to end, by `time.monotonic`: none begins that would end later at the pace of those
            that ended, unless none has succeeded yet. A study that ends so may be over before its budget is used up.
        event_fields: what the event of a trial's start holds besides its number and params, such as its entrant.
    """

    trial: TrialFunction
    pool: WorkerPool
    logs: Path
    prior: Sequence[TrialRecord] = ()
    deadline: float = math.inf
    event_fields: Mapping[str, Scalar] = field(default_factory=dict)

    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        trials = ledger.trials()
        progress = Progress(experiment, trials)
        if progress.outcome is not None:
            return
        suggester, known = suggester_for(experiment, trials, self.prior), list(trials)
        upcoming = _claims(experiment, ledger, suggester, known)
        running: dict[WorkerCall, Claim] = {}
        ended: Sequence[WorkerCall] = ()
        try:
            with sigterm_unwinds():
                while progress.outcome is None:
                    while len(running) < min(experiment.parallel_trials, experiment.max_trials - progress.ended):
                        claim = next(upcoming) if self._is_in_time(known) else None
                        if claim is None:
                            break
                        running[self._start(claim, ledger)] = claim
                    if not running:
                        return
                    for call in ended:
                        call.kill()
                    ended = self.pool.wait_any(list(running))
                    for call in ended:
                        claim = running.pop(call)
                        record = self._end(call, claim, ledger)
                        if record is None:
                            again = ledger.again(claim)
                            running[self._start(again, ledger)] = again
                            continue
                        progress.add(record)
                        suggester.tell(record)
                        known.append(record)
                        on_trial(record)
        finally:
            for call in (*running, *ended):
                call.kill()

    def _is_in_time(self, known: Sequence[TrialRecord]) -> bool:
        """Whether a trial that begins now is expected to end before the deadline."""
        ended = [trial for trial in known if trial.status == "succeeded" and trial.started_at and trial.finished_at]
        if not ended or self.deadline == math.inf:
            return True
        seconds = fmean((trial.finished_at - trial.started_at).total_seconds() for trial in ended)  # type: ignore[operator]
        return time.monotonic() + seconds <= self.deadline

    def _start(self, claim: Claim, ledger: TrialLedger) -> WorkerCall:
        known = {"number": claim.number, "params": claim.params, "attempt": claim.attempt}
        emit("trial_started", **self.event_fields, **known)
        return self.pool.submit(self.trial, claim, ledger, log=log_of(self.logs, claim.number))

    def _end(self, call: WorkerCall, claim: Claim, ledger: TrialLedger) -> TrialRecord | None:
        """The trial as it ended; None where its worker was killed and it is to be executed again."""
        again = (KilledFromOutside,) if claim.record.kills < MAX_KILLS else ()
        try:
            return end_of_trial(claim, ledger, call.wait, log_of(self.logs, claim.number), passed_on=again)
        except again as error:
            _log.warning("trial %d is executed again: %s", claim.number, error)
            return None


def _claims(
    experiment: Experiment, ledger: TrialLedger, suggester: Suggester, trials: list[TrialRecord]
) -> Iterator[Claim | None]:
    """Trials left running, then new ones under free numbers without end; None while the algorithm suggests nothing.

    The list grows by the trials that end meanwhile.
    """
    taken = {trial.number: trial.status for trial in trials}
    for number, status in taken.items():
        if status == "running":
            yield ledger.take_over(number)
    for number in itertools.count():
        if number in taken:
            continue
        while (suggestion := suggester.suggest(number)) is None:
            yield None
        yield ledger.begin(number, suggestion.params, suggestion.labels, stopping_rule(experiment, trials))


def log_of(logs: Path, number: int) -> Path:
    """The log of a trial below the engine's directory of logs."""
    return logs / f"trial-{number:06d}.log"


def stopping_rule(experiment: Experiment, trials: Iterable[TrialRecord]) -> StoppingRule | None:
    """The early stopping rule for a trial that begins after these ended; None lets it run to its end.

    `medianstop` is Katib's rule (`pkg/earlystopping/v1beta1/medianstop`): the threshold is the *mean*, over succeeded
    trials, of the mean of each one's first `start_step` reports; a trial is judged once, at its `start_step`-th report,
    by its best value so far. `median` is the median stopping rule of Golovin et al., "Google Vizier" (KDD 2017),
    section 3.2.2, with the values at the same point in place of running averages: from the `start_step`-th report on,
    a trial whose last value is worse than the median of what succeeded trials had reported by that point is stopped.
    The point is the share of the same fold's training (see `Report.progress`), so that trials of more epochs or smaller
    batches are compared with others at the same share; without folds it is the number of the report.
    """
    rule = experiment.early_stopping
    reported = [trial.reports for trial in trials if trial.status == "succeeded" and trial.reports]
    if isinstance(rule, NoStopping) or len(reported) < rule.settings.min_trials_required:
        return None
    start, common = rule.settings.start_step, {"algorithm": rule.name, "direction": experiment.objective.direction}
    if isinstance(rule, MedianStop):
        means = [fmean(report.value for report in reports[:start]) for reports in reported]
        return StoppingRule(**common, compared="best", thresholds={start: fmean(means)})
    curves: list[_Curve] = [
        [(float(n) if r.progress is None else r.progress, r.value) for n, r in enumerate(reports, start=1)]
        for reports in reported
    ]
    thresholds = {}
    for point in sorted({point for curve in curves for point, _ in curve}):
        values = [value for curve in curves if (value := _reached(curve, point)) is not None]
        if len(values) >= rule.settings.min_trials_required:
            thresholds[point] = median(values)
    if not thresholds:
        return None
    return StoppingRule(**common, compared="latest", point="progress", start_step=start, thresholds=thresholds)


def _reached(curve: _Curve, point: float) -> float | None:
    """The value that was reported last at or before a point, within the same fold."""
    return next((value for at, value in reversed(curve) if at <= point and ceil(at) == ceil(point)), None)
