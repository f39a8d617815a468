"""Studies: running one with any engine, its best trial, and finding those of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import ValidationError

from podium.config.fields import explain
from podium.config.section import Section
from podium.errors import ConfigError, InputError, StudyFailed
from podium.events import emit
from podium.hpo.engines import Engine, OnTrial
from podium.hpo.experiment import Direction, Experiment, Objective, Progress
from podium.hpo.ledger import TrialLedger
from podium.records import TrialRecord
from podium.store.files import DocumentFolder
from podium.store.store import ArtifactStore
from podium.text import shortened

LEDGERS = "ledgers"
"""Prefix of the documents of all ledgers: below it, `KEY/NAME` of the ledger."""

_DESCRIPTION = "study.json"
_NAMED_ERRORS = 5
"""How many failed trials a message names; the ledger has all."""
_SHORT = 12
"""Digits of a key that people read; every command accepts them."""


class StudyAbout(Section):
    """Where a study comes from.

    One of the pipeline has an entrant that it tunes, the section of the config that has the entrant's hyperparameters,
    and a family: the key of the studies that share everything else. One that was read from a Katib file has that file
    as its source, and the Experiment in it.
    """

    engine: str = "embedded"
    entrant: str = ""
    section: str = "training"
    family: str = ""
    source: str = ""
    katib: dict[str, Any] | None = None


class StudyDescription(Section):
    """A study without its trials: the document `study.json` beside them."""

    schema_version: Literal[2] = 2
    about: StudyAbout = StudyAbout()
    experiment: Experiment

    def write(self, documents: DocumentFolder) -> None:
        """Keep the description among the documents of the ledger; nothing is written if it has not changed."""
        text = self.model_dump_json(indent=1)
        if documents.get(_DESCRIPTION) != text:
            documents.put(_DESCRIPTION, text)

    @classmethod
    def read(cls, documents: DocumentFolder) -> StudyDescription | None:
        """The description among the documents of a ledger, if any; InputError where this version did not write it."""
        text = documents.get(_DESCRIPTION)
        try:
            return None if text is None else cls.model_validate_json(text)
        except ValidationError as error:
            problems = "; ".join(explain(error, root=cls))
            raise InputError(
                f"{documents.place}/{_DESCRIPTION}: the description of a study is damaged, or of another version: "
                f"{problems}"
            ) from error


def run_study(
    experiment: Experiment,
    ledger: TrialLedger,
    engine: Engine,
    on_trial: OnTrial | None = None,
    about: StudyAbout | None = None,
) -> tuple[TrialRecord, ...]:
    """Run or resume a study until its goal or budget is reached, and return the trials that ended, by number.

    Trials of the ledger are kept and count, and a study that is already over starts nothing. The caller holds the
    study's lease. Emits `study_started` (name, objective, budget, how many trials were found ended) and, for every
    trial that ended, `trial_finished` (number, params, status, score, error, metric, metrics, best score so far,
    whether an earlier session ended it).

    `on_trial` is called with every trial that ended: first those found in the ledger, so that a consumer killed between
    a trial and its call catches up, then each new one as it ends. It must tolerate repeated calls.

    Raises:
        StudyFailed: more than `max_failed_trials` failed, or none succeeded; the message names their errors.
        ConfigError: the ledger holds a trial that lies outside the space: it belongs to another study.
    """
    trials, objective = ledger.trials(), experiment.objective
    for trial in trials:
        try:
            experiment.space.normalise(trial.params)
        except ConfigError as error:
            raise ConfigError(
                f"trial {trial.number} of the ledger does not belong to study {experiment.name}: {error}"
            ) from error
    best: float | None = None

    def announce(trial: TrialRecord, found: bool = False) -> None:
        nonlocal best
        if trial.status == "succeeded" and trial.score is not None:
            best = trial.score if best is None or objective.better(trial.score, best) else best
        emit(
            "trial_finished",
            **trial.model_dump(include={"number", "params", "status", "score", "error"}),
            metric=objective.metric,
            metrics=collected(trial, objective),
            best=best,
            found=found,
        )
        if on_trial is not None:
            on_trial(trial)

    ended = [trial for trial in trials if trial.status != "running"]
    emit(
        "study_started",
        name=experiment.name,
        **objective.model_dump(include={"metric", "direction", "goal", "additional_metrics"}),
        max_trials=experiment.max_trials,
        found=len(ended),
    )
    for trial in ended:
        emit("trial_started", number=trial.number, params=trial.params, found=True)
        announce(trial, True)
    StudyDescription(experiment=experiment, about=about or StudyAbout()).write(ledger.documents)
    if Progress(experiment, trials).outcome is None:
        engine.run(experiment, ledger, announce)
    trials = ledger.finished()
    progress = Progress(experiment, trials)
    if progress.outcome == "failures":
        again = "run the same command again, which executes them once more"
        if about is not None and about.engine != "embedded":
            again = "run with run_mode=force_new"
        raise StudyFailed(
            f"study {experiment.name}: at most max_failed_trials={experiment.max_failed_trials} trials may fail, but "
            f"{progress.failed} of {progress.ended} did: {_errors(trials)}. Correct the cause and {again}, or "
            "raise hpo.max_failed_trials to go on from here"
        )
    best_trial(trials, objective.direction)
    return trials


def has_failed(experiment: Experiment, trials: Sequence[TrialRecord]) -> bool:
    """Whether a study is over without a result: more trials failed than may, or none succeeded."""
    outcome = Progress(experiment, trials).outcome
    succeeded = any(trial.status == "succeeded" for trial in trials)
    return outcome == "failures" or (outcome is not None and not succeeded)


def try_again(experiment: Experiment, ledger: TrialLedger) -> None:
    """Have the failed trials of a study that has failed executed once more by the next engine that runs it."""
    if has_failed(experiment, ledger.trials()):
        ledger.reopen_failed()


def ranked(trials: Sequence[TrialRecord], direction: Direction) -> list[TrialRecord]:
    """The succeeded trials, best first; of equals the one with the lowest number."""
    sign = -1.0 if direction == "maximize" else 1.0
    scored = [
        (sign * trial.score, trial) for trial in trials if trial.status == "succeeded" and trial.score is not None
    ]
    return [trial for _, trial in sorted(scored, key=lambda item: (item[0], item[1].number))]


def best_trial(trials: Sequence[TrialRecord], direction: Direction) -> TrialRecord:
    """The first of `ranked`.

    Raises:
        StudyFailed: no trial succeeded; the message names the errors.
    """
    succeeded = ranked(trials, direction)
    if not succeeded:
        raise StudyFailed(
            f"a study needs at least one succeeded trial, but none of {len(trials)} did: {_errors(trials)}"
        )
    return succeeded[0]


def collected(trial: TrialRecord, objective: Objective) -> dict[str, float]:
    """One value of every metric of a trial: by the objective's strategy, or else the latest."""
    return {name: getattr(seen, objective.strategies.get(name, "latest")) for name, seen in trial.metrics.items()}


def _errors(trials: Sequence[TrialRecord]) -> str:
    failed = [f"trial {trial.number}: {trial.error}" for trial in trials if trial.status == "failed"]
    return shortened(failed, _NAMED_ERRORS, separator="; ") or "no trial failed either"


@dataclass(frozen=True)
class StoredStudy:
    """One study as its ledger holds it now; several studies may share the name of their experiments.

    Attributes:
        key: the study key of the pipeline, or `katib-NAMESPACE.NAME` of one read from a Katib file.
        ledger: name of its ledger: `main`, or the run that began anew under the same key.
        owners: processes that execute its running trials and may be alive.
    """

    key: str
    ledger: str
    experiment: Experiment
    about: StudyAbout
    trials: tuple[TrialRecord, ...] = ()
    owners: tuple[str, ...] = ()

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(trial.status for trial in self.trials)

    @property
    def short(self) -> str:
        """The start of its key for people; the whole key of a study that was read from a Katib file."""
        return self.key if self.key.startswith("katib-") else self.key[:_SHORT]

    @property
    def place(self) -> str:
        return f"{self.key}/{self.ledger}"

    @cached_property
    def state(self) -> Literal["running", "stopped", "finished", "goal reached", "failed"]:
        """`stopped`: it is not over, and no process that may be alive executes one of its trials.

        `failed`: it ended without a best trial, or with more failures than `max_failed_trials`.
        """
        outcome = Progress(self.experiment, self.trials).outcome
        if outcome is None:
            return "running" if self.owners else "stopped"
        if has_failed(self.experiment, self.trials):
            return "failed"
        return "goal reached" if outcome == "goal" else "finished"

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        return ranked(self.trials, self.experiment.objective.direction)

    @property
    def started_at(self) -> datetime | None:
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
    found = studies if meant else [study for study in studies if study.experiment.name == text]
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
    ledger = TrialLedger(store.documents(f"{LEDGERS}/{place}"))
    description = StudyDescription.read(ledger.documents)
    if description is None:
        raise InputError(
            f"{LEDGERS}/{place} has no {_DESCRIPTION}: an older version of Podium wrote it. Run the study again with a "
            "larger hpo.max_trials; its trials are kept and it is described"
        )
    trials = ledger.trials()
    running = (ledger.owner(trial.number) for trial in trials if trial.status == "running")
    alive = {str(owner) for owner in running if owner is not None and not owner.has_ended()}
    key, name = place.split("/")
    return StoredStudy(key, name, description.experiment, description.about, trials, tuple(sorted(alive)))


def _listed(studies: Sequence[StoredStudy]) -> str:
    several = Counter(study.key for study in studies)
    lines = [
        f"\n  {study.place if several[study.key] > 1 else study.short}  {study.experiment.name}, {study.state}, "
        f"{len(study.trials)} trials"
        for study in studies
    ]
    return "".join(lines)
