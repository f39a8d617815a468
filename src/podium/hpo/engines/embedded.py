"""The engine of this machine: an algorithm suggests, worker processes execute, the ledger remembers.

The state of the algorithm is kept in memory only and rebuilt from the ledger whenever a study is resumed. No second
copy can therefore disagree with the ledger or be damaged by a kill.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from podium.errors import KilledFromOutside
from podium.events import emit
from podium.execution.ending import sigterm_unwinds
from podium.hpo.engines.base import MAX_KILLS, Engine, OnTrial, TrialFunction, end_of_trial
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.progress import Progress
from podium.hpo.stopping import Stopper
from podium.hpo.suggest import Suggester, suggester_for
from podium.records import TrialRecord

if TYPE_CHECKING:
    from podium.execution.calls import WorkerCall
    from podium.execution.workers import WorkerPool

_log = logging.getLogger(__name__)


class EmbeddedEngine(Engine):
    """Runs trials in the workers of a pool on this machine. See `Engine` for what it promises.

    Suggestions come from `podium.hpo.suggest`. They depend on which trials have ended at that moment, and not on how
    often the study was interrupted.
    """

    def __init__(self, trial: TrialFunction, pool: WorkerPool, logs: Path, prior: Sequence[TrialRecord] = ()) -> None:
        """Make an engine.

        Args:
            trial: what every trial executes.
            pool: runs the trials. It belongs to the caller and stays open, and should have as many workers as trials
                run at once.
            logs: directory that gets one log per trial.
            prior: trials of other studies that the search learns from before its own; they count for nothing else.
        """
        self._trial = trial
        self._pool = pool
        self._logs = logs
        self._prior = prior

    def run(self, experiment: Experiment, ledger: TrialLedger, on_trial: OnTrial) -> None:
        """See `Engine`."""
        trials = ledger.trials()
        progress = Progress(experiment, trials)
        if progress.outcome is not None:
            return
        suggester = suggester_for(experiment, trials, self._prior)
        stopper = Stopper(experiment, trials)
        upcoming = self._claims(ledger, suggester, stopper, trials)
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
                    ended = self._pool.wait_any(list(running))
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

    def _claims(
        self, ledger: TrialLedger, suggester: Suggester, stopper: Stopper, trials: Iterable[TrialRecord]
    ) -> Iterator[Claim | None]:
        """Trials to execute, without end: those left running, then new ones under the lowest free numbers.

        Yields None while the algorithm suggests nothing.
        """
        taken = {trial.number: trial for trial in trials}
        for number, trial in taken.items():
            if trial.status == "running":
                yield ledger.take_over(number)
        for number in itertools.count():
            if number in taken:
                continue
            while (suggestion := suggester.suggest(number)) is None:
                yield None
            yield ledger.begin(number, suggestion.params, suggestion.labels, stopper.rule())

    def _start(self, claim: Claim, ledger: TrialLedger) -> WorkerCall:
        fields = {**self._trial.event_fields, "number": claim.number, "params": claim.params, "attempt": claim.attempt}
        emit("trial_started", **fields)
        return self._pool.submit(self._trial, claim, ledger, log=log_of(self._logs, claim.number))

    def _end(self, call: WorkerCall, claim: Claim, ledger: TrialLedger) -> TrialRecord | None:
        """The trial as it ended; None where its worker was killed and it is to be executed again."""
        again = (KilledFromOutside,) if claim.record.kills < MAX_KILLS else ()
        try:
            return end_of_trial(claim, ledger, call.wait, log_of(self._logs, claim.number), passed_on=again)
        except again as error:
            _log.warning("trial %d is executed again: %s", claim.number, error)
            return None


def log_of(logs: Path, number: int) -> Path:
    """The log of a trial below the engine's directory of logs."""
    return logs / f"trial-{number:06d}.log"
