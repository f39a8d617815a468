"""What `podium evaluate` evaluates: a run of `podium infer`, or any model that `podium compare` can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from podium import records
from podium.config.schema import DatasetConfig
from podium.data.artifact import DataArtifact
from podium.data.formats import open_reader, resolve_sources
from podium.data.index import row_id
from podium.data.readers.base import Row
from podium.errors import DamagedArtifact, InputError
from podium.evaluation.answered import FREE_TEXT, Answered, of_predictions, of_texts, outcomes_of
from podium.evaluation.predictions import Predictions
from podium.evaluation.slices import unknown_column
from podium.inference.stored import JOURNAL_FILE, StoredRun, load_run
from podium.stages.batch_results import is_results, open_results
from podium.stages.found_models import FoundModel, find_model, names_stored, title_of
from podium.stages.learned_rows import seen_rows
from podium.stages.process import RUN_FILE
from podium.store.store import ArtifactStore
from podium.tasks import TASKS
from podium.tracking import Tracker

LENGTH, LABEL, SEEN = "length", "label", "seen"
"""Columns that rows can be sliced by without being in the data: the length of what the model read, the truth, and
whether the model learned from a row with the same content."""


@dataclass(frozen=True)
class Places:
    """Where models and runs are looked for.

    Attributes:
        inference: folder of the runs of `podium infer`.
        runs: folder of the runs of `podium run`.
        store, tracker: asked for when a model is no run of `podium infer`.
    """

    inference: Path
    runs: Path
    store: Callable[[], ArtifactStore]
    tracker: Callable[[], Tracker]


@dataclass(frozen=True)
class Reading:
    """How answers are read.

    Attributes:
        task: of the registry, or `text`; empty to take that of the run.
        label_column: the column with the truth, of a run of `podium infer`; empty to take that of the run.
        positive: the label that is looked for; may be empty.
        by: the columns that the rows are sliced by.
        data: where the rows of a run of `podium run` come from; empty to take what its directory says.
    """

    task: str = ""
    label_column: str = ""
    positive: str = ""
    by: Sequence[str] = ()
    data: str = ""


def find_answered(name: str, places: Places, reading: Reading) -> Answered:
    """The truth and the stored answers of the model that `name` names; no model is loaded.

    Raises:
        InputError: the name means nothing, or what it means has no predictions, no labels or no such column.
    """
    if any((folder / JOURNAL_FILE).is_file() for folder in (Path(name), places.inference / name)):
        return _of_inference(name, load_run(name, places.inference), places, reading)
    if is_results(Path(name)):
        run = open_results(Path(name), reading.data, reading.task, reading.label_column)
        return _of_inference(name, run, places, replace(reading, data=""))
    if not names_stored(name, places.runs):
        raise InputError(
            f"{name!r} must be a run of `podium infer` (its directory, or its id in {places.inference}), a run of "
            f"`podium run` (its directory, its id in {places.runs}, or `latest`), the key of a result, or a registered "
            "version as NAME@champion"
        )
    found = find_model(name, name, places.store(), places.runs, places.tracker)
    if reading.label_column:
        raise InputError(f"--label-column is for runs of `podium infer`, but {name} is {title_of(found.record)}")
    place, _, model = (name, "", "") if Path(name).is_dir() else name.partition(":")
    folder = next((folder for folder in (Path(place), places.runs / place) if folder.is_dir()), None)
    shown = f"{folder.resolve().name}{model and ':'}{model}" if folder else name
    return _Stored(shown, found, folder).answered(reading)


def _of_inference(name: str, run: StoredRun, places: Places, reading: Reading) -> Answered:
    if reading.data:
        raise InputError(f"--data is for models of `podium run`; {name} has the columns of its data already")
    about: dict[str, Any] = {"name": run.run.id, "model": run.run.model, "source": f"inference {run.run.id}"}
    target = reading.label_column or None
    if reading.task == FREE_TEXT:
        values, known = run.truth(target)
        answers = [_text(run.lines[place].answer) for place in known]
        ids = [run.ids[place] for place in known]
        found = of_texts(ids, [str(values[place]) for place in known], answers, **about)
    else:
        predictions = run.predictions(reading.task or None, target)
        found = of_predictions(predictions, reading.positive, **about)
        place = {row: number for number, row in enumerate(run.ids)}
        known = [place[row] for row in found.ids]
    texts = run.columns.get(run.run.content or "")
    contents = None if texts is None else [texts[row] for row in known]
    derived = _derived(found, contents)
    left, notes = len(run.ids) - len(known), []
    if left:
        notes.append(f"{left:,} rows without a label are left out")
    seen = seen_rows(run, found.ids, places.store)
    if seen is not None:
        derived[SEEN] = ["yes" if one else "no" for one in seen]
        if any(seen):
            notes.append(
                f"the model learned from {sum(seen):,} of {len(seen):,} rows, so these are not the scores of new rows; "
                f"--by {SEEN} tells them apart"
            )
    for column in reading.by:
        if column in run.columns:
            derived[column] = [run.columns[column][row] for row in known]
        elif column not in derived:
            raise unknown_column(run.run.id, column, [*dict.fromkeys((*derived, *run.columns))])
    outcomes = outcomes_of([run.lines[row] for row in known])
    return replace(found, columns=derived, outcomes=outcomes, notes=tuple(notes))


@dataclass(frozen=True)
class _Stored:
    """A model in the store; `folder` is its run directory where the name is one."""

    name: str
    found: FoundModel
    folder: Path | None

    def answered(self, reading: Reading) -> Answered:
        predictions = self._predictions()
        if reading.task not in ("", predictions.task):
            raise InputError(
                f"--task must be that of the predictions, but {self.name} is of {predictions.task}, not {reading.task}"
            )
        variant = f" ({self.found.variant})" if self.found.variant else ""
        model, source = f"{self.found.entrant}{variant}", title_of(self.found.record)
        answered = of_predictions(predictions, reading.positive, name=self.name, model=model, source=source)
        if not reading.by:
            return answered
        columns = _derived(answered, self._contents(predictions.ids))
        if further := [one for one in reading.by if one not in columns]:
            columns = {**columns, **self._columns(predictions, further, reading.data, tuple(columns))}
        return replace(answered, columns=columns)

    def _predictions(self) -> Predictions:
        artifact = self.found.artifact("predictions")
        if artifact is None:
            raise InputError(
                f"a model must have stored predictions to be evaluated, but {title_of(self.found.record)} has none; "
                "name the run that it is part of"
            )
        try:
            return Predictions.load(self.found.store.fetch(artifact))
        except DamagedArtifact as error:
            raise InputError(f"the predictions of {self.name} cannot be read: {error}; run it again") from error

    @cached_property
    def _data(self) -> records.DataRecord | None:
        parents = [one.parents for one in (self.found.refit, self.found.built, self.found.record) if one is not None]
        key = next((one["data"] for one in parents if "data" in one), None)
        return self.found.store.get(records.DataRecord, key) if key else None

    def _contents(self, ids: Sequence[str]) -> list[Any] | None:
        """What the model read of each row; None where the data set is no longer stored."""
        if self._data is None:
            return None
        try:
            test = DataArtifact(self.found.store.fetch(self._data.artifacts["data"])).test
        except DamagedArtifact:
            return None
        contents = dict(zip(test["id"], test[TASKS.get(self._data.task).content], strict=True))
        return [contents.get(row) for row in ids]

    def _columns(
        self, predictions: Predictions, wanted: Sequence[str], data: str, derived: Sequence[str]
    ) -> Mapping[str, Sequence[Any]]:
        """Columns of the data file, whose rows are found by their ids."""
        config = self._config(data, predictions.task)
        if config is None:
            raise InputError(
                f"the rows of {self.name} can be sliced by {', '.join(derived)}, but got {wanted[0]!r}; name the data "
                "that the run read with --data, and its columns can be used, too"
            )
        places = {row: place for place, row in enumerate(predictions.ids)}
        values: dict[str, list[Any]] = {name: [None] * len(places) for name in wanted}
        known: dict[str, None] = {}
        seen = 0
        for source in resolve_sources(config):
            reader = open_reader(source, config)
            if self._data and any(self._data.sources.get(file) != digest for file, digest in reader.digests().items()):
                raise InputError(
                    f"the data must be what {self.name} read, but {source.location} has changed since, or is another"
                )
            known |= dict.fromkeys(reader.columns())
            for row in reader.rows(set(wanted)):
                if isinstance(row, Row) and (place := places.get(row_id(row.file, row.line))) is not None:
                    seen += 1
                    for name in wanted:
                        values[name][place] = row.values.get(name)
        for name in wanted:
            if name not in known:
                raise unknown_column(self.name, name, [*dict.fromkeys((*derived, *known))])
        if seen < len(places):
            raise InputError(
                f"the data must have every row of {self.name}, but {len(places) - seen} of {len(places)} are not in it"
            )
        return values

    def _config(self, data: str, task: str) -> DatasetConfig | None:
        if data:
            return DatasetConfig(name="data", path=str(Path(data).absolute()), task=task)
        file = self.folder and self.folder / RUN_FILE
        return records.RunRecord.read(file).config.dataset if file and file.is_file() else None


def _derived(found: Answered, contents: Sequence[Any] | None) -> dict[str, Sequence[Any]]:
    """The columns that every run has: the length in characters, or in words of a sentence, and the truth."""
    columns: dict[str, Sequence[Any]] = {}
    if contents is not None and any(contents):
        columns[LENGTH] = [None if one is None else len(one) for one in contents]
    if found.task != FREE_TEXT and not TASKS.get(found.task).words:
        columns[LABEL] = found.truth
    return columns


def _text(answer: Any) -> str | None:
    return None if answer is None else str(answer)
