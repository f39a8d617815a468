"""The documents through which the engine and the process of a trial on another machine exchange what they know.

Both sides see the documents of one trial and nothing else. The process keeps a ledger of this trial in them, and the
error that would end the whole study, where it met one. The engine merges what it finds into the ledger of the study.
Neither waits for the other, so that each may be killed and started again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from podium.errors import PodiumError
from podium.execution.failures import describe, rebuild
from podium.hpo.engines.base import TrialFunction, end_of_trial
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.space import Params
from podium.records import TrialRecord
from podium.store.files import DocumentFolder
from podium.store.process import ProcessIdentity

_ERROR = "error.json"
_NOBODY = ProcessIdentity(host="engine", pid=0, started=0.0)
"""The holder of a trial that the engine begins for a process that has not started yet: any process may take it over."""


class TrialDocuments:
    """The documents of one trial. Methods raise StoreError when the storage fails."""

    def __init__(self, documents: DocumentFolder, owner: ProcessIdentity | None = None) -> None:
        """Read and write documents as `owner`; None for this process."""
        self._documents = documents
        self._owner = owner

    @property
    def record(self) -> TrialRecord | None:
        """The trial as its process wrote it; None before it began."""
        return next(iter(TrialLedger(self._documents).trials()), None)

    @property
    def has_ended(self) -> bool:
        """Whether the trial wrote that it ended, with success or failure."""
        record = self.record
        return record is not None and record.status != "running"

    @property
    def error(self) -> PodiumError | None:
        """The error of the process that would end every trial alike; None where it met none."""
        described: Mapping[str, str] = json.loads(self._documents.get(_ERROR) or "{}")
        return rebuild(described, None) if described else None

    def prepare(self, trial: TrialRecord) -> None:
        """Write what the study's ledger holds of a trial, for the process that is to continue it."""
        self._documents.put(_ERROR, "{}")
        if self.record is not None:
            return
        ledger = TrialLedger(self._documents, _NOBODY)
        merge(trial, ledger.begin(trial.number, trial.params, trial.labels, trial.rule), ledger)

    def execute(self, trial: TrialFunction, params: Params, number: int = 0) -> TrialRecord:
        """Execute the trial in this process, or continue what an earlier process left; one that ended is not repeated.

        Args:
            trial: what the trial does.
            params: its params; a trial that was begun before keeps the params it has.
            number: its number, where it is known here.

        Raises:
            PodiumError: an error that would end every trial alike; the engine finds it as `error`.
            StudyFailed: another process on this machine executes the trial.
        """
        ledger, found = TrialLedger(self._documents, self._owner), self.record
        if found is not None and found.status != "running":
            return found
        claim = ledger.begin(number, params) if found is None else ledger.take_over(found.number)
        try:
            return end_of_trial(claim, ledger, lambda: trial(claim, ledger))
        except PodiumError as error:
            self._documents.put(_ERROR, json.dumps(describe(error)))
            raise


def merge(trial: TrialRecord, claim: Claim, ledger: TrialLedger) -> TrialRecord:
    """Enter into a ledger the reports and folds that `trial` has beyond the claimed record, which it continued."""
    record = claim.record
    if fresh := trial.reports[len(record.reports) :]:
        record = ledger.report(claim, *fresh)
    for fold, score in trial.fold_scores.items():
        if fold not in record.fold_scores:
            seconds = trial.fold_seconds.get(fold, 0.0)
            record = ledger.fold_finished(claim, int(fold), score, trial.fold_metrics.get(fold, {}), seconds)
    return record
