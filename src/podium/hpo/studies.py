"""The studies of a store: listing them, their state, and finding one by its name or the start of its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from podium.errors import InputError
from podium.hpo.description import StudyDescription
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import DESCRIPTION, TrialLedger
from podium.hpo.progress import Progress
from podium.hpo.study import best_trial
from podium.records import TrialRecord
from podium.store.store import ArtifactStore

LEDGERS = "ledgers"
"""Prefix of the documents of all ledgers: below it, `KEY/NAME` of the ledger."""

_SHORT = 12
"""Digits of a key that people read; every command accepts them."""

State = Literal["running", "stopped", "finished", "goal reached", "failed"]


@dataclass(frozen=True)
class StoredStudy:
    """One study as its ledger holds it now.

    Attributes:
        key: the study key of the pipeline, or `katib-NAMESPACE.NAME` of one read from a Katib file.
        ledger: name of its ledger: `main`, or the run that began anew under the same key.
        description: what it searches, and where it comes from.
        trials: all of them, by number.
        owners: processes that execute its running trials and may be alive.
    """

    key: str
    ledger: str
    description: StudyDescription
    trials: tuple[TrialRecord, ...] = ()
    owners: tuple[str, ...] = ()

    @cached_property
    def counts(self) -> Counter[str]:
        """How many trials have each status."""
        return Counter(trial.status for trial in self.trials)

    @property
    def experiment(self) -> Experiment:
        """What it searches."""
        return self.description.experiment

    @property
    def name(self) -> str:
        """Its name, for people; several studies may share one."""
        return self.experiment.name

    @property
    def short(self) -> str:
        """The start of its key for people; the whole key of a study that was read from a Katib file."""
        return self.key if self.key.startswith("katib-") else self.key[:_SHORT]

    @property
    def place(self) -> str:
        """The full name of this study: key and ledger."""
        return f"{self.key}/{self.ledger}"

    @property
    def state(self) -> State:
        """Its state.

        `stopped`: it is not over, and no process that may be alive executes one of its trials. `failed`: it ended
        without a best trial, or with more failures than `max_failed_trials`.
        """
        outcome = Progress(self.experiment, self.trials).outcome
        if outcome is None:
            return "running" if self.owners else "stopped"
        if outcome == "failures" or not self.counts["succeeded"]:
            return "failed"
        return "goal reached" if outcome == "goal" else "finished"

    @property
    def best(self) -> TrialRecord:
        """Its best trial.

        Raises:
            StudyFailed: no trial succeeded.
        """
        return best_trial(self.trials, self.experiment.objective.direction)

    @property
    def started_at(self) -> datetime | None:
        """When its first trial began."""
        return min((trial.started_at for trial in self.trials if trial.started_at), default=None)


def list_studies(store: ArtifactStore) -> tuple[list[StoredStudy], list[str]]:
    """Every study of a store, the one that began last first, and the errors of ledgers that cannot be read."""
    studies, problems = _open_all(store, _places(store))
    studies.sort(key=lambda study: (study.started_at is None, study.started_at, study.place), reverse=True)
    return studies, problems


def find_study(store: ArtifactStore, text: str) -> StoredStudy:
    """The only study whose name is `text`, or whose key (`KEY/LEDGER` where it has several ledgers) starts with it.

    Raises:
        InputError: no study matches, or several do; the message lists them. Or its ledger has no description.
    """
    places = _places(store)
    meant = [place for place in places if place.startswith(text)] if text else []
    if len(meant) == 1:
        return _open(store, meant[0])
    studies, _ = _open_all(store, meant or places)
    found = studies if meant else [study for study in studies if study.name == text]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"one study must be meant, but {text!r} means {len(found)}; give one of these keys:{_listed(found)}"
        )
    known = f"; it holds:{_listed(studies)}" if studies else ", which holds none"
    raise InputError(f"no study in the store {store.uri} has the name {text!r} or a key that starts with it{known}")


def _places(store: ArtifactStore) -> list[str]:
    keys = store.documents(LEDGERS).names()
    return [f"{key}/{ledger}" for key in keys for ledger in store.documents(f"{LEDGERS}/{key}").names()]


def _open_all(store: ArtifactStore, places: Sequence[str]) -> tuple[list[StoredStudy], list[str]]:
    """The studies at these places, and the errors of those that cannot be opened."""
    studies, problems = [], []
    for place in places:
        try:
            studies.append(_open(store, place))
        except InputError as error:
            problems.append(str(error))
    return studies, problems


def _open(store: ArtifactStore, place: str) -> StoredStudy:
    """The study at a place.

    Raises:
        InputError: it is not described, or not as this version of Podium does it.
    """
    ledger = TrialLedger(store.documents(f"{LEDGERS}/{place}"))
    text = ledger.description()
    if text is None:
        raise InputError(
            f"{LEDGERS}/{place} has no {DESCRIPTION}: an older version of Podium wrote it. Run the study again with a "
            "larger hpo.max_trials; its trials are kept and it is described"
        )
    try:
        description = StudyDescription.from_json(text)
    except InputError as error:
        raise InputError(f"{LEDGERS}/{place}/{DESCRIPTION}: {error}") from error
    trials = ledger.trials()
    running = (ledger.owner(trial.number) for trial in trials if trial.status == "running")
    alive = {str(owner) for owner in running if owner is not None and not owner.has_ended()}
    key, name = place.split("/")
    return StoredStudy(key, name, description, trials, tuple(sorted(alive)))


def _listed(studies: Sequence[StoredStudy]) -> str:
    several = Counter(study.key for study in studies)
    lines = [
        f"\n  {study.place if several[study.key] > 1 else study.short}  {study.name}, {study.state}, "
        f"{len(study.trials)} trials"
        for study in studies
    ]
    return "".join(lines)
