"""The trial ledger: the truth of a study, in small JSON documents, one for each attempt at a trial.

Every document is replaced as a whole: when a process is killed, the ledger holds each trial as it was before or after
the write.

- One process at a time runs a study; it holds the lease of the study's key. It begins trials, takes over those that a
  dead process left running, and ends them.
- The worker that executes a trial reports its folds. Taking a trial over opens a new document. A worker that outlives
  the process that started it writes to the old one, which nobody reads any more.

The held-out predictions of a fold are a document of their own, written before the fold counts as finished.
"""

from __future__ import annotations

import logging
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from podium.errors import NonFiniteLoss, StoreError, StudyFailed, TrialPruned
from podium.hpo.experiment import Params
from podium.keys import canonical_json, digest_bytes
from podium.records import Frozen, Observed, Report, Scalar, StoppingRule, TrialRecord
from podium.store.files import DocumentFolder
from podium.store.process import ProcessIdentity

_NAME = re.compile(r"trial-(\d{6,})\.(\d+)\.json")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """The right to execute a trial and to write its results.

    The record is the trial as it was when claimed: its `fold_scores` need not be computed again. The first execution is
    attempt 1.
    """

    record: TrialRecord
    attempt: int

    @property
    def number(self) -> int:
        return self.record.number

    @property
    def params(self) -> Params:
        return self.record.params


class _Document(Frozen):
    digest: str = ""
    owner: ProcessIdentity
    attempt: int
    trial: TrialRecord

    def digested(self) -> str:
        return digest_bytes(canonical_json(self.model_dump(mode="json", exclude={"digest"})))


class TrialLedger:
    """Trials of one study, in a folder of documents of its own.

    An instance can be sent to another process, where it writes for the same owner. Methods raise StoreError when the
    storage fails. Those that write for a claim raise StudyFailed where the trial has ended or was taken over by another
    process, so that this one should stop, and NonFiniteLoss, before anything is written, where a value is NaN or
    infinite.

    Attributes:
        documents: the folder; two ledgers at one place hold the same study.
    """

    def __init__(self, documents: DocumentFolder, owner: ProcessIdentity | None = None) -> None:
        self.documents = documents
        self._owner = owner or ProcessIdentity.current()

    def begin(
        self,
        number: int,
        params: Params,
        labels: Mapping[str, Scalar] | None = None,
        rule: StoppingRule | None = None,
    ) -> Claim:
        """Enter a new trial as running, with labels that the algorithm reads again when the study is resumed.

        Raises:
            ValueError: the number already names a trial: numbers are never used twice.
        """
        document, attempts = self._newest(number)
        if document is not None:
            raise ValueError(f"a trial number is used once, but trial {number} is already in the ledger")
        record = TrialRecord(
            number=number,
            params=params,
            status="running",
            labels=dict(labels or {}),
            rule=rule,
            started_at=datetime.now(UTC),
        )
        return self._claim(record, attempts + 1)

    def take_over(self, number: int) -> Claim:
        """Continue a trial that a dead process left running, with its number, params, rule and finished folds.

        The reports of folds that have to run again are dropped.

        Raises:
            ValueError: there is no such running trial.
            StudyFailed: the process that runs it is alive on this machine.
        """
        document, attempts = self._newest(number)
        if document is None or document.trial.status != "running":
            raise ValueError(f"only a running trial can be taken over, but trial {number} is not running")
        owner = document.owner
        if owner.host == self._owner.host and owner.pid != self._owner.pid and not owner.has_ended():
            raise StudyFailed(
                f"a study is run by one process at a time, but trial {number} is being run by {owner}; "
                "wait until it has ended, or stop it, and run the same command again"
            )
        return self._claim(_continued(document.trial), attempts + 1)

    def again(self, claim: Claim) -> Claim:
        """Continue a trial of this process whose worker was killed, as `take_over` does, and count the kill."""
        trial = _continued(self._held(claim))
        return self._claim(trial.model_copy(update={"kills": trial.kills + 1}), claim.attempt + 1)

    def reopen_failed(self) -> None:
        """Have the trials that failed executed once more from their start, with their numbers, params and rules.

        What belongs to their folds may have been removed when they failed.
        """
        for number, attempts in self._attempts().items():
            document = self._readable(number, attempts)
            if document is not None and document.trial.status == "failed":
                kept = document.trial.model_dump(include={"number", "params", "labels", "rule"})
                self._claim(TrialRecord(**kept, status="running", started_at=datetime.now(UTC)), attempts + 1)

    def report(self, claim: Claim, *reports: Report) -> TrialRecord:
        """Keep values of the objective that a running trial reports; `should_stop` of the result says how to go on."""
        for report in reports:
            if not math.isfinite(report.value):
                raise NonFiniteLoss(f"a report must be finite, but trial {claim.number} reported {report.value}")
        old = self._held(claim)
        return self._write(claim, old.model_copy(update={"reports": (*old.reports, *reports)}))

    def fold_finished(
        self,
        claim: Claim,
        fold: int,
        score: float,
        metrics: Mapping[str, float],
        seconds: float,
        reports: Sequence[Report] = (),
    ) -> TrialRecord:
        """Keep the objective, all metrics and the wall time of a fold, and the reports that its end allows."""
        values = {"score": score, **metrics, **{f"report {report.progress}": report.value for report in reports}}
        for name, value in values.items():
            if not math.isfinite(value):
                raise NonFiniteLoss(f"{name} must be finite, but fold {fold} of trial {claim.number} gave {value}")
        old = self._held(claim)
        changes = {
            "fold_scores": {**old.fold_scores, str(fold): score},
            "fold_metrics": {**old.fold_metrics, str(fold): dict(metrics)},
            "fold_seconds": {**old.fold_seconds, str(fold): seconds},
            "reports": (*old.reports, *reports),
        }
        return self._write(claim, old.model_copy(update=changes))

    def keep_predictions(self, claim: Claim, fold: int, file: bytes) -> None:
        """Keep the file with the held-out predictions of a fold, before `fold_finished`."""
        self._held(claim)
        text = f"{digest_bytes(file)} {b64encode(file).decode()}"
        self.documents.put(_predictions_name(claim.number, fold), text)

    def predictions(self, trial: TrialRecord) -> dict[int, bytes]:
        """The files that `keep_predictions` kept of the finished folds of a trial, by fold.

        A damaged one is logged as a warning and ignored.
        """
        found: dict[int, bytes] = {}
        for fold in sorted(map(int, trial.fold_scores)):
            name = _predictions_name(trial.number, fold)
            digest, _, text = (self.documents.get(name) or "").partition(" ")
            file = b64decode(text)
            if digest == digest_bytes(file):
                found[fold] = file
            elif digest:
                _log.warning("predictions of trial %d are ignored: their document %s is damaged", trial.number, name)
        return found

    def drop_predictions(self, trial: TrialRecord) -> None:
        for fold in trial.fold_scores:
            self.documents.remove(_predictions_name(trial.number, int(fold)))

    def finish(self, claim: Claim, score: float, metrics: Mapping[str, Observed] | None = None) -> TrialRecord:
        """End a trial as succeeded, with its score and every metric that was collected."""
        if not math.isfinite(score):
            raise NonFiniteLoss(f"the score of a trial must be finite, but trial {claim.number} gave {score}")
        return self._end(claim, status="succeeded", score=score, metrics=dict(metrics or {}))

    def fail(self, claim: Claim, reason: str, error: str) -> TrialRecord:
        """End a trial as failed, with a stable word for machines and an error for people; finished folds are kept."""
        return self._end(claim, status="failed", reason=reason, error=error)

    def prune(self, claim: Claim, error: str, metrics: Mapping[str, Observed] | None = None) -> TrialRecord:
        """End a trial as stopped early; its score is its last report, if it made one."""
        reports = self._held(claim).reports
        score = reports[-1].value if reports else None
        reason = TrialPruned.__name__
        return self._end(claim, status="pruned", score=score, metrics=dict(metrics or {}), reason=reason, error=error)

    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial, by number. A damaged document is logged as a warning and ignored."""
        newest = (self._readable(number, attempts) for number, attempts in self._attempts().items())
        return tuple(document.trial for document in newest if document is not None)

    def finished(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials() if trial.status != "running")

    def owner(self, number: int) -> ProcessIdentity | None:
        """The process that began or took over a trial; None if the ledger does not hold the trial."""
        document, _ = self._newest(number)
        return None if document is None else document.owner

    def _claim(self, record: TrialRecord, attempt: int) -> Claim:
        claim = Claim(record, attempt)
        self._write(claim, record)
        return claim

    def _held(self, claim: Claim) -> TrialRecord:
        """The trial as its claim left it last; a document that was damaged meanwhile is restored by the next write."""
        if self.documents.get(_name(claim.number, claim.attempt + 1)) is not None:
            raise StudyFailed(
                f"only the newest attempt at a trial may write, but trial {claim.number} was taken over from attempt "
                f"{claim.attempt} by another process"
            )
        document = self._read(claim.number, claim.attempt)
        record = claim.record if document is None else document.trial
        if record.status != "running":
            raise StudyFailed(f"a trial that ended is not changed, but trial {claim.number} has {record.status}")
        return record

    def _end(self, claim: Claim, **changes: Any) -> TrialRecord:
        return self._write(claim, self._held(claim).model_copy(update={**changes, "finished_at": datetime.now(UTC)}))

    def _write(self, claim: Claim, record: TrialRecord) -> TrialRecord:
        document = _Document(owner=self._owner, attempt=claim.attempt, trial=record)
        document = document.model_copy(update={"digest": document.digested()})
        self.documents.put(_name(claim.number, claim.attempt), document.model_dump_json(indent=1))
        return record

    def _newest(self, number: int) -> tuple[_Document | None, int]:
        """The newest readable document of a trial, and how many attempts at it there were."""
        attempts = self._attempts().get(number, 0)
        return self._readable(number, attempts), attempts

    def _attempts(self) -> dict[int, int]:
        """How many attempts there were at each trial, by its number."""
        found = [match for name in self.documents.names() if (match := _NAME.fullmatch(name))]
        return dict(sorted((int(match[1]), int(match[2])) for match in found))

    def _readable(self, number: int, attempts: int) -> _Document | None:
        found = (self._read(number, attempt) for attempt in range(attempts, 0, -1))
        return next((document for document in found if document is not None), None)

    def _read(self, number: int, attempt: int) -> _Document | None:
        name = _name(number, attempt)
        try:
            text = self.documents.get(name)
            if text is None:
                return None
            document = _Document.model_validate_json(text)
            if document.digest != document.digested():
                raise ValueError("its content does not have the digest it was written with")
            if (document.trial.number, document.attempt) != (number, attempt):
                raise ValueError(f"it holds attempt {document.attempt} at trial {document.trial.number}")
            return document
        except (ValueError, StoreError) as error:
            if isinstance(error, StoreError) and not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            _log.warning("trial %d counts as not finished: its document %s is damaged: %s", number, name, error)
            return None


def _continued(trial: TrialRecord) -> TrialRecord:
    """A trial without the reports of folds that have to run again."""
    kept = tuple(report for report in trial.reports if str(report.fold) in trial.fold_scores)
    return trial.model_copy(update={"reports": kept})


def _predictions_name(number: int, fold: int) -> str:
    return f"predictions-{number:06d}.{fold}.txt"


def _name(number: int, attempt: int) -> str:
    return f"trial-{number:06d}.{attempt}.json"
