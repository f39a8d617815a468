"""What a run of `podium infer` left in its directory, read without a model.

The directory `podium-out/inference/RUN_ID/` holds `run.json` (see `RunFile`), `journal.jsonl` with one line per row
(see `JournalLine`; the last line of an id counts, and a torn last line is ignored), and `predictions.FORMAT` with one
row per row of the data that was chosen: the columns of the data under their own names, and those of Podium, whose names
begin with `podium_`. One of these, `podium_id`, has the id of the row in the journal.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from podium.errors import InputError
from podium.evaluation.predictions import Predictions
from podium.tasks import TASKS
from podium.tasks.columns import missing
from podium.text import did_you_mean, shortened

RUN_FILE, JOURNAL_FILE, PREDICTIONS_STEM = "run.json", "journal.jsonl", "predictions"
FINISHED = "finished"
"""The `status` of a run whose predictions are whole."""
OWN_PREFIX = "podium_"
"""What the names of the columns begin with that are not those of the data."""
ID_COLUMN = "podium_id"

_SHOWN = 5


class RunFile(BaseModel):
    """What `run.json` says, as far as it is read here; it may say more.

    Attributes:
        model: as the user named it.
        data: path or name of the data.
        status: `finished`, or another word for a run that may go on.
        task: of the registry of tasks; None where the answers are free text, or it is not known.
        labels: the labels the model may answer, in the order of `probabilities`; None where there are none.
        target: the column of the data with the truth; None where the data has none.
        content: the column that the model read; None where a template read several.
        parts: of the key of the run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    id: str
    model: str
    data: str
    status: str
    task: str | None = None
    labels: tuple[str, ...] | None = None
    target: str | None = None
    content: str | None = None
    parts: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class JournalLine:
    """What the line of a row says, as far as it is read here.

    Attributes:
        answer: a label, a list of labels, the tags of all words, or a text; None where there is no valid answer.
        probabilities: one for each of the labels of the run; None where the model gives none.
    """

    id: str
    outcome: str
    answer: Any = None
    probabilities: tuple[float, ...] | None = None


class Columns(Mapping[str, Sequence[Any]]):
    """The columns of a file with predictions by name; each is read when it is first asked for.

    Args:
        first: those that are read at once, since they will be asked for.
    """

    def __init__(self, path: Path, first: Sequence[str] = ()) -> None:
        self._path = path
        self._read = _READERS[path.suffix[1:]]
        self._names, found = self._read(path, (ID_COLUMN, *first))
        self._known: dict[str, Sequence[Any]] = dict(found)
        self.ids = tuple(str(value) for value in found.get(ID_COLUMN, ()))

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self:
            raise KeyError(name)
        if name not in self._known:
            self._known |= self._read(self._path, (name,))[1]
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names and not str(name).startswith(OWN_PREFIX)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A finished run: its rows in the order of the data.

    Attributes:
        directory: what it was read from.
        ids: of the rows, as in the journal.
        columns: values of each column of the data, read when they are asked for.
        lines: what the journal says of each row.
    """

    directory: Path
    run: RunFile
    ids: tuple[str, ...]
    columns: Mapping[str, Sequence[Any]]
    lines: tuple[JournalLine, ...]

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column of the data.

        Raises:
            InputError: there is none of this name.
        """
        if name not in self.columns:
            raise InputError(
                f"a column must be one of the data of {self.run.id}, but got {name!r}"
                f"{did_you_mean(name, self.columns)}; its columns: {', '.join(self.columns)}"
            )
        return self.columns[name]

    def truth(self, target: str | None = None) -> tuple[Sequence[Any], list[int]]:
        """The values of the column with the truth, and the places of the rows that have one.

        Args:
            target: its name; None to take the one that the run knows.

        Raises:
            InputError: the data has no such column, or no row has a value in it.
        """
        name = target or self.run.target
        if name is None:
            raise InputError(
                f"the rows of {self.run.id} must have labels to be evaluated, but its run names no column with them; "
                f"name it with --label-column, one of: {', '.join(self.columns)}"
            )
        values = self.column(name)
        known = [place for place, value in enumerate(values) if not missing(value) and value != ""]
        if not known:
            raise InputError(
                f"the rows of {self.run.id} must have labels to be evaluated, but none has a value in column {name!r}; "
                "name another one with --label-column"
            )
        return values, known

    @property
    def model_digest(self) -> str:
        """Digest of the model's files; empty for a model that has none here."""
        system = self.run.parts.get("system", {})
        return str(system.get("model") or "") if isinstance(system, dict) else ""

    def predictions(self, task: str | None = None, target: str | None = None) -> Predictions:
        """The truth and the answers of the rows that have a label, as everything else in Podium takes them.

        Args:
            task, target: None to take what the run knows.

        Raises:
            InputError: the task is not known, the data has no labels, or a label or an answer does not fit the task.
        """
        name = task or self.run.task
        if name is None:
            raise InputError(
                f"the task of {self.run.id} must be known to evaluate it, but its run names none; give --task, one of: "
                f"text, {', '.join(TASKS.names())}"
            )
        kind = TASKS.get(name)
        values, known = self.truth(target)
        contents = self._contents(name)
        options = {option: one.default for option, one in kind.options.items()}
        truth = []
        for place in known:
            value = _as_list(values[place]) if kind.words else values[place]
            try:
                truth.append(kind.read_target(value, contents[place], options)[0])
            except ValueError as error:
                column = target or self.run.target
                raise InputError(f"row {self.ids[place]} of {self.run.id}, field {column!r}: {error}") from error
        answers = [self.lines[place].answer for place in known]
        occurring = set().union(*(kind.kinds(one) for one in (*truth, *(one for one in answers if one is not None))))
        labels = self.run.labels or kind.label_space(occurring)
        if unknown := sorted(set().union(*(kind.kinds(one) for one in truth)) - set(kind.kinds_of(labels))):
            raise InputError(
                f"the labels of the rows must be among those that the model may answer ({shortened(labels, _SHOWN)}), "
                f"but column {target or self.run.target!r} also has {shortened(unknown, _SHOWN)}; evaluate it on rows "
                "with its own labels, or run it again with these"
            )
        try:
            true, predicted = kind.numbered(truth, labels), kind.numbered(answers, labels)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"every answer of {self.run.id} must fit the task {name} and its labels "
                f"({shortened(labels, _SHOWN)}), but got {error}; give the right one with --task"
            ) from error
        probabilities = self._probabilities(known, len(labels)) if kind.probabilities else None
        return Predictions(name, labels, tuple(self.ids[place] for place in known), true, predicted, probabilities)

    def _contents(self, task: str) -> Sequence[Any]:
        kind = TASKS.get(task)
        if not kind.words:
            return [""] * len(self.ids)
        names = (self.run.content, *kind.content_names)
        name = next((one for one in names if one in self.columns), None)
        if name is None:
            raise InputError(f"the data of {self.run.id} must have a column with tokens for {task}, but has none")
        return [_as_list(value) for value in self.columns[name]]

    def _probabilities(self, known: Sequence[int], labels: int) -> Any:
        """Shape (rows, labels), 0 where there is no valid answer; None unless every answered row has them."""
        rows = [self.lines[place] for place in known]
        answered = [one for one in rows if one.answer is not None]
        if not answered or not all(len(one.probabilities or ()) == labels for one in answered):
            return None
        return np.array([one.probabilities if one.answer is not None else [0.0] * labels for one in rows])


def load_run(name: str | Path, folder: Path) -> StoredRun:
    """The run in a directory, or the one of this id in `folder`.

    Raises:
        InputError: there is none, it is not finished, or its files do not fit each other.
    """
    directory = next((path for path in (Path(name), folder / name) if (path / RUN_FILE).is_file()), None)
    if directory is None:
        raise InputError(f"{name} must be the directory or the id of a run of `podium infer` in {folder}")
    try:
        run = RunFile.model_validate_json((directory / RUN_FILE).read_bytes())
    except ValidationError as error:
        raise InputError(f"{directory / RUN_FILE} must be what `podium infer` wrote, but {error}") from error
    if run.status != FINISHED:
        raise InputError(
            f"a run must be finished to be evaluated, but {run.id} is {run.status}; run the same `podium infer` "
            "command again, and it goes on"
        )
    journal = {line.id: line for line in _journal(directory / JOURNAL_FILE)}
    columns = _columns(directory, [name for name in (run.target, run.content) if name is not None])
    ids = columns.ids
    if lacking := [row for row in ids if row not in journal] or [ID_COLUMN][: not ids]:
        raise InputError(
            f"every row of {directory} must be in its journal, but {len(lacking)} are not ({shortened(lacking, 3)}): "
            "the directory is damaged; run it again"
        )
    return StoredRun(directory, run, ids, columns, tuple(journal[row] for row in ids))


def _journal(path: Path) -> list[JournalLine]:
    if not path.is_file():
        raise InputError(f"a run must have a journal, but {path} does not exist")
    found: list[JournalLine] = []
    same: dict[str, str] = {}  # most answers are one of a few labels
    decode = json.JSONDecoder().decode
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break  # it is torn
            try:
                said = decode(line.decode("utf-8"))
                answer, given = said.get("answer"), said.get("probabilities")
                if isinstance(answer, str):
                    answer = same.setdefault(answer, answer)
                outcome = same.setdefault(said["outcome"], said["outcome"])
                found.append(JournalLine(said["id"], outcome, answer, None if given is None else tuple(given)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path} must hold one row per line, but line {number} is damaged: {error}") from error
    return found


def _columns(directory: Path, first: Sequence[str]) -> Columns:
    """The file with the predictions, some of whose columns are read at once."""
    for extension in _READERS:
        path = directory / f"{PREDICTIONS_STEM}.{extension}"
        if path.is_file():
            return Columns(path, first)
    raise InputError(
        f"{directory} must hold {PREDICTIONS_STEM} as one of {', '.join(_READERS)} to be evaluated, but has none"
    )


Read = tuple[tuple[str, ...], dict[str, list[Any]]]
"""The names of all columns, and the values of those that were asked for."""


def _of_parquet(path: Path, wanted: Sequence[str]) -> Read:
    import pyarrow.parquet as pq

    names = tuple(pq.read_schema(path).names)
    table = pq.read_table(path, columns=[name for name in wanted if name in names])
    return names, {name: table.column(name).to_pylist() for name in table.column_names}


def _of_rows(rows: Iterable[Mapping[str, Any]], wanted: Sequence[str]) -> Read:
    """Of rows that all have the same columns."""
    names: tuple[str, ...] = ()
    values: dict[str, list[Any]] = {}
    for row in rows:
        if not names:
            names = tuple(row)
            values = {name: [] for name in wanted if name in names}
        for name, column in values.items():
            column.append(row.get(name))
    return names, values


def _of_csv(path: Path, wanted: Sequence[str]) -> Read:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8", newline="") as file:
        return _of_rows(csv.DictReader(file), wanted)


def _of_lines(path: Path, wanted: Sequence[str]) -> Read:
    with path.open(encoding="utf-8") as file:
        return _of_rows((json.loads(line) for line in file), wanted)


_READERS: dict[str, Callable[[Path, Sequence[str]], Read]] = {
    "parquet": _of_parquet,
    "jsonl": _of_lines,
    "json": lambda path, wanted: _of_rows(json.loads(path.read_text(encoding="utf-8")), wanted),
    "csv": _of_csv,
    "yaml": lambda path, wanted: _of_rows(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader), wanted),
}


def _as_list(value: Any) -> Any:
    """A list, which a CSV file holds as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
