"""The engine of this machine: an algorithm suggests, worker processes execute, the ledger remembers.

The state of the algorithm is kept in memory only and rebuilt from the ledger whenever a study is resumed. No second
copy can therefore disagree with the ledger or be damaged by a kill.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

from podium.config.search import MedianStop, NoStopping
from podium.errors import KilledFromOutside
from podium.events import emit
from podium.execution.ending import sigterm_unwinds
from podium.hpo.engines.base import MAX_KILLS, Engine, OnTrial, TrialFunction, end_of_trial
from podium.hpo.experiment import Experiment, Progress
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.suggest import Suggester, suggester_for
from podium.records import Scalar, StoppingRule, TrialRecord

if TYPE_CHECKING:
    from podium.execution.calls import WorkerCall
    from podium.execution.workers import WorkerPool

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
        event_fields: what the event of a trial's start holds besides its number and params, such as its backbone.
    """

    trial: TrialFunction
    pool: WorkerPool
    logs: Path
    prior: Sequence[TrialRecord] = ()
    event_fields: Mapping[str, Scalar] = field(default_factory=dict)

    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        trials = ledger.trials()
        progress = Progress(experiment, trials)
        if progress.outcome is not None:
            return
        suggester, stopper = suggester_for(experiment, trials, self.prior), Stopper(experiment, trials)
        upcoming = _claims(ledger, suggester, stopper, trials)
        running: dict[WorkerCall, Claim] = {}
        ended: Sequence[WorkerCall] = ()
        try:
            with sigterm_unwinds():
                while progress.outcome is None:
                    while len(running) < min(experiment.parallel_trials, experiment.max_trials - progress.ended):
                        claim = next(upcoming)
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
                        stopper.add(record)
                        on_trial(record)
        finally:
            for call in (*running, *ended):
                call.kill()

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
    ledger: TrialLedger, suggester: Suggester, stopper: Stopper, trials: Sequence[TrialRecord]
) -> Iterator[Claim | None]:
    """Trials left running, then new ones under free numbers without end; None while the algorithm suggests nothing."""
    for trial in trials:
        if trial.status == "running":
            yield ledger.take_over(trial.number)
    taken = {trial.number for trial in trials}
    for number in itertools.count():
        if number in taken:
            continue
        while (suggestion := suggester.suggest(number)) is None:
            yield None
        yield ledger.begin(number, suggestion.params, suggestion.labels, stopper.rule())


def log_of(logs: Path, number: int) -> Path:
    """The log of a trial below the engine's directory of logs."""
    return logs / f"trial-{number:06d}.log"


class Stopper:
    """Makes the early stopping rules of a study; a function of the succeeded trials it has seen, in any order.

    `medianstop` is Katib's rule (`pkg/earlystopping/v1beta1/medianstop`): the threshold is the *mean*, over succeeded
    trials, of the mean of each one's first `start_step` reports; a trial is judged once, at its `start_step`-th report,
    by its best value so far. `median` is the median stopping rule of Golovin et al., "Google Vizier" (KDD 2017),
    section 3.2.2, with the values at the same point in place of running averages: from the `start_step`-th report on,
    a trial whose last value is worse than the median of what succeeded trials had reported by that point is stopped.
    The point is the share of the same fold's training (see `Report.progress`), so that trials of more epochs or smaller
    batches are compared with others at the same share; without folds it is the number of the report.
    """

    def __init__(self, experiment: Experiment, trials: Iterable[TrialRecord] = ()) -> None:
        self._rule = experiment.early_stopping
        self._direction = experiment.objective.direction
        self._curves: list[_Curve] = []
        for trial in trials:
            self.add(trial)

    def add(self, trial: TrialRecord) -> None:
        """Learn from a trial that ended; only those that succeeded and made reports count."""
        if trial.status == "succeeded" and trial.reports:
            numbered = enumerate(trial.reports, start=1)
            self._curves.append([(float(n) if r.progress is None else r.progress, r.value) for n, r in numbered])

    def rule(self) -> StoppingRule | None:
        """The rule for a trial that begins now; None lets it run to its end."""
        rule, common = self._rule, {"algorithm": self._rule.name, "direction": self._direction}
        if isinstance(rule, NoStopping) or len(self._curves) < rule.settings.min_trials_required:
            return None
        start = rule.settings.start_step
        if isinstance(rule, MedianStop):
            means = [fmean(value for _, value in curve[:start]) for curve in self._curves]
            return StoppingRule(**common, compared="best", thresholds={start: fmean(means)})
        thresholds = {}
        for point in sorted({point for curve in self._curves for point, _ in curve}):
            values = [value for curve in self._curves if (value := _reached(curve, point)) is not None]
            if len(values) >= rule.settings.min_trials_required:
                thresholds[point] = median(values)
        if not thresholds:
            return None
        return StoppingRule(**common, compared="latest", point="progress", start_step=start, thresholds=thresholds)


def _reached(curve: _Curve, point: float) -> float | None:
    """The value that was reported last at or before a point, within the same fold."""
    return next((value for at, value in reversed(curve) if at <= point and ceil(at) == ceil(point)), None)
