"""The trial ledger: the truth of a study, in small JSON documents, one for each attempt at a trial.

Every document is replaced as a whole: when a process is killed, the ledger holds each trial as it was before or after
the write.

- One process at a time runs a study; it holds the lease of the study's key. It begins trials, takes over those that a
  dead process left running, and ends them.
- The worker that executes a trial reports its folds. Taking a trial over opens a new document. A worker that outlives
  the process that started it writes to the old one, which nobody reads any more.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from podium.errors import NonFiniteLoss, StoreError, StudyFailed, TrialPruned
from podium.hpo.space import Params
from podium.keys import canonical_json, digest_bytes
from podium.records import Frozen, Observed, Report, Scalar, StoppingRule, TrialRecord
from podium.store.files import DocumentFolder
from podium.store.process import ProcessIdentity

DESCRIPTION = "study.json"
"""The document that describes the study beside whose trials it lies."""

_NAME = re.compile(r"trial-(\d{6,})\.(\d+)\.json")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """The right to execute a trial and to write its results.

    Attributes:
        record: the trial as it was when claimed; its `fold_scores` need not be computed again.
        attempt: 1 for the first execution, and one more for each later one.
    """

    record: TrialRecord
    attempt: int

    @property
    def number(self) -> int:
        """Number of the trial."""
        return self.record.number

    @property
    def params(self) -> Params:
        """Parameters of the trial."""
        return self.record.params


class _Document(Frozen):
    owner: ProcessIdentity
    attempt: int
    trial: TrialRecord


class TrialLedger:
    """Trials of one study, in a folder of documents that holds nothing else.

    An instance can be sent to another process, where it writes for the same owner. Methods raise StoreError when the
    storage fails.
    """

    def __init__(self, documents: DocumentFolder, owner: ProcessIdentity | None = None) -> None:
        self._documents = documents
        self._owner = owner or ProcessIdentity.current()

    @property
    def place(self) -> str:
        """Where it is; two ledgers at one place hold the same study."""
        return self._documents.place

    def below(self, name: str) -> DocumentFolder:
        """The folder in which the process of one trial writes, on a machine that does not see the study's ledger."""
        return self._documents.below(name)

    def describe(self, text: str) -> None:
        """Keep the description of the study beside its trials; nothing is written if it has not changed."""
        if self.description() != text:
            self._documents.put(DESCRIPTION, text)

    def description(self) -> str | None:
        """What `describe` kept, or None."""
        return self._documents.get(DESCRIPTION)

    def begin(
        self,
        number: int,
        params: Params,
        labels: Mapping[str, Scalar] | None = None,
        rule: StoppingRule | None = None,
    ) -> Claim:
        """Enter a new trial as running.

        Args:
            number: of the trial.
            params: of the trial.
            labels: what the search algorithm reads again when the study is resumed.
            rule: when the trial is stopped early.

        Raises:
            ValueError: the number is negative, or already names a trial: numbers are never used twice.
        """
        if number < 0:
            raise ValueError(f"number >= 0 must hold, but got {number}")
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
        """Continue a trial of this process whose worker was killed, as `take_over` does, and count the kill.

        Raises:
            StudyFailed: see `fold_finished`.
        """
        trial = _continued(self._held(claim))
        return self._claim(trial.model_copy(update={"kills": trial.kills + 1}), claim.attempt + 1)

    def report(self, claim: Claim, *reports: Report) -> TrialRecord:
        """Keep values of the objective that a running trial reports; `should_stop` of the result says how to go on.

        Raises:
            NonFiniteLoss: a value is NaN or infinite; nothing was written.
            StudyFailed: see `fold_finished`.
        """
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
        """Keep the result of one fold.

        Args:
            claim: of the trial, from `begin` or `take_over`.
            fold: its number.
            score: the objective metric of the fold.
            metrics: all metrics of the fold.
            seconds: wall time of the fold.
            reports: values of the objective that the trial can report now that this fold has ended.

        Raises:
            NonFiniteLoss: the score or a metric is NaN or infinite; nothing was written.
            StudyFailed: the trial has ended or was taken over by another process; this one should stop.
        """
        values = {"score": score, **metrics, **{f"report {report.progress}": report.value for report in reports}}
        for name, value in values.items():
            if not math.isfinite(value):
                raise NonFiniteLoss(f"{name} must be finite, but fold {fold} of trial {claim.number} gave {value}")
        old = self._held(claim)
        return self._write(
            claim,
            old.model_copy(
                update={
                    "fold_scores": {**old.fold_scores, str(fold): score},
                    "fold_metrics": {**old.fold_metrics, str(fold): dict(metrics)},
                    "fold_seconds": {**old.fold_seconds, str(fold): seconds},
                    "reports": (*old.reports, *reports),
                }
            ),
        )

    def finish(self, claim: Claim, score: float, metrics: Mapping[str, Observed] | None = None) -> TrialRecord:
        """End a trial as succeeded, with its score and every metric that was collected.

        Raises:
            NonFiniteLoss: the score is NaN or infinite; nothing was written.
            StudyFailed: see `fold_finished`.
        """
        if not math.isfinite(score):
            raise NonFiniteLoss(f"the score of a trial must be finite, but trial {claim.number} gave {score}")
        return self._end(claim, status="succeeded", score=score, metrics=dict(metrics or {}))

    def fail(self, claim: Claim, reason: str, error: str) -> TrialRecord:
        """End a trial as failed, with a stable word for machines and an error for people; finished folds are kept.

        Raises:
            StudyFailed: see `fold_finished`.
        """
        return self._end(claim, status="failed", reason=reason, error=error)

    def prune(self, claim: Claim, error: str, metrics: Mapping[str, Observed] | None = None) -> TrialRecord:
        """End a trial as stopped early; its score is its last report, if it made one.

        Raises:
            StudyFailed: see `fold_finished`.
        """
        reports = self._held(claim).reports
        return self._end(
            claim,
            status="pruned",
            score=reports[-1].value if reports else None,
            metrics=dict(metrics or {}),
            reason=TrialPruned.__name__,
            error=error,
        )

    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial, by number. A damaged document is logged as a warning and ignored."""
        attempts: dict[int, list[int]] = {}
        for name in self._documents.names():
            if match := _NAME.fullmatch(name):
                attempts.setdefault(int(match[1]), []).append(int(match[2]))
        newest = (self._first(number, sorted(attempts[number], reverse=True)) for number in sorted(attempts))
        return tuple(document.trial for document in newest if document is not None)

    def owner(self, number: int) -> ProcessIdentity | None:
        """The process that began or took over a trial; None if the ledger does not hold the trial."""
        document, _ = self._newest(number)
        return None if document is None else document.owner

    def finished(self) -> tuple[TrialRecord, ...]:
        """The trials that ended, by number."""
        return tuple(trial for trial in self.trials() if trial.status != "running")

    def _claim(self, record: TrialRecord, attempt: int) -> Claim:
        claim = Claim(record, attempt)
        self._write(claim, record)
        return claim

    def _held(self, claim: Claim) -> TrialRecord:
        if self._text(claim.number, claim.attempt + 1) is not None:
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
        body = document.model_dump(mode="json")
        text = json.dumps({"digest": digest_bytes(canonical_json(body)), **body}, indent=1)
        self._documents.put(_name(claim.number, claim.attempt), text)
        return record

    def _newest(self, number: int) -> tuple[_Document | None, int]:
        """The newest readable document of a trial, and how many attempts at it there were."""
        attempts = 0
        while self._text(number, attempts + 1) is not None:
            attempts += 1
        return self._first(number, range(attempts, 0, -1)), attempts

    def _first(self, number: int, attempts: Iterable[int]) -> _Document | None:
        return next((found for attempt in attempts if (found := self._read(number, attempt)) is not None), None)

    def _read(self, number: int, attempt: int) -> _Document | None:
        text = self._text(number, attempt)
        try:
            return None if text is None else _parse(text, number, attempt)
        except ValueError as error:
            name = _name(number, attempt)
            _log.warning("trial %d counts as not finished: its document %s is damaged: %s", number, name, error)
            return None

    def _text(self, number: int, attempt: int) -> str | None:
        """Text of a document; None where there is none, and empty where its bytes are no text."""
        try:
            return self._documents.get(_name(number, attempt))
        except StoreError as error:
            if isinstance(error.__cause__, UnicodeDecodeError):
                return ""
            raise


def _continued(trial: TrialRecord) -> TrialRecord:
    """A trial without the reports of folds that have to run again."""
    kept = tuple(report for report in trial.reports if str(report.fold) in trial.fold_scores)
    return trial.model_copy(update={"reports": kept})


def _parse(text: str, number: int, attempt: int) -> _Document:
    body = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("it must hold a JSON object")
    digest = body.pop("digest", None)
    if digest != digest_bytes(canonical_json(body)):
        raise ValueError("its content does not have the digest it was written with")
    document = _Document.model_validate_json(json.dumps(body))
    if (document.trial.number, document.attempt) != (number, attempt):
        raise ValueError(f"it holds attempt {document.attempt} at trial {document.trial.number}")
    return document


def _name(number: int, attempt: int) -> str:
    return f"trial-{number:06d}.{attempt}.json"
