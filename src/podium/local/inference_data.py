"""The data of `podium infer`: which file, which columns, and which of them names and labels the rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from podium.config.dataset import READING, DatasetConfig
from podium.config.fields import shipped_data
from podium.config.form import RunForm
from podium.config.paths import is_remote, is_uri, locate, resolve
from podium.data.formats import FORMATS, infer_format, resolve_sources
from podium.data.infer import found_encoding, look
from podium.data.readers.base import Reader
from podium.data.shapes import Shaped
from podium.data.sources import Role, Source
from podium.errors import InputError
from podium.inference.rows import RowSource, id_column
from podium.stages.prepare import resolve_form
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.tasks.columns import Column, listed
from podium.text import did_you_mean, redact, shortened

_SPLITS: tuple[Role, ...] = ("test", "train", "validation")
"""Of several splits the first one that there is is predicted, unless the user names one."""
_READING = (*READING, "query", "max_row_bytes")
_SHOWN = 5


@dataclass(frozen=True)
class DataCommand:
    """What the user said of the data.

    Attributes:
        data: file, folder, URI, or name of a shipped data set.
        text_column, label_column: empty to infer them.
        id_column: None to infer it; empty to name rows by their line.
        split: of data with several splits; empty for `test`, or else `train`.
        settings: `NAME=VALUE` of how the data is read.
    """

    data: str
    text_column: str = ""
    label_column: str = ""
    id_column: str | None = None
    split: str = ""
    settings: Sequence[str] = ()


@dataclass(frozen=True)
class OpenData:
    """Data that can be read.

    Attributes:
        name: for people and run ids.
        place: as it is recorded, without credentials.
        target: column with the labels; None where there is none.
        identity: what shapes the rows: digests of the files, and how they are read.
        lines: what was inferred from what, for people.
    """

    name: str
    place: str
    source: RowSource
    target: str | None
    identity: dict[str, Any]
    lines: list[str] = field(default_factory=list)


def open_data(command: DataCommand, directory: Path, task: str | None, labels: Sequence[str]) -> OpenData:
    """Find the data, and infer what the user did not say of it.

    Args:
        directory: where relative paths start.
        task: of the model; None where a template reads the columns.
        labels: of the model; empty where they are not known.

    Raises:
        InputError: the data is not there, or a column is missing or ambiguous.
        DataError: it cannot be read.
    """
    config, place = _config(command, directory, task)
    source = _source(config, command.split)
    encodings, encoding_lines = found_encoding([source], dict(one.split("=", 1) for one in command.settings))
    config = config.model_copy(update=encodings)
    reader = FORMATS.get(source.format)(source, config)
    kind = TASKS.get(task) if task is not None else None
    if kind is not None and kind.content not in reader.contents:
        fit = ", ".join(one.name for one in FORMATS.all() if kind.content in one.contents)
        raise InputError(
            f"the data must have what the model reads ({kind.content}), but {source.format} cannot; use {fit}"
        )
    columns, seen = look(reader, command.label_column)
    names = {column.name for column in columns}
    for option, given in (("--text-column", command.text_column), ("--label-column", command.label_column)):
        if given and given not in names:
            hint = did_you_mean(given, names)
            raise InputError(f"{option} must name a column, but {given!r} is none of: {listed(columns)}{hint}")
    lines = [f"data: {place}", f"format: {source.format}"]
    lines += [f"split: {source.role}; choose another one with --split"] if source.split or command.split else []
    content = None
    if kind is not None:
        content, why = _content(kind, reader, columns, command)
        lines.append(f"{kind.content} column: {content!r} ({why})")
    target, line = _target(kind, reader, columns, content, command.label_column, labels)
    named = id_column(reader, command.id_column)
    lines += [line, f"rows are named by {f'column {named!r}' if named else 'file and line'}"]
    lines.append(f"columns: {listed(columns)} ({seen} rows seen)")
    lines += [_own(line) for line in (*encoding_lines, *reader.found(), *reader.doubts())]
    check = kind.content_problem if kind is not None else lambda _: None
    read = Shaped(reader, (content or "", target or ""), config) if kind is not None else reader
    identity = {
        "files": reader.digests(),
        "reading": {name: getattr(config, name) for name in _READING} | {"format": source.format},
        "split": source.role if source.split else "",
        "content": content,
        "id": named,
    }
    return OpenData(config.name, place, RowSource(read, content, check, named), target, identity, lines)


def _config(command: DataCommand, directory: Path, task: str | None) -> tuple[DatasetConfig, str]:
    """How the data is read, and its place as people may see it."""
    given = values_of("--set", command.settings, _READING)
    shipped = shipped_data()
    if command.data in shipped and not (directory / command.data).exists():
        config = resolve_form(RunForm(run_overrides=(f"dataset={command.data}",)), directory).config.dataset
        return config.model_copy(update=given), f"{command.data} ({config.path})"
    place = resolve(command.data, directory)
    by_query = given.get("format") == "sql"
    try:
        path = Path(place) if by_query else locate(place)
    except InputError as error:
        hint = "" if is_uri(place) else f"; shipped data sets: {', '.join(shipped)}"
        raise InputError(f"--data: {error}{hint}") from error
    values: dict[str, Any] = {
        "name": Path(redact(command.data).split("://")[-1].partition("?")[0]).stem or path.stem,
        "path": place if by_query else str(path),
        "task": task or TASKS.names()[0],
        "format": "auto" if by_query else infer_format(path, task),
        **given,
    }
    try:
        config = DatasetConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--set {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return config, redact(place if is_remote(place) or by_query else str(path))


@contextmanager
def own_options() -> Iterator[None]:
    """Errors of the data room name fields of the config; here they name the options of this command."""
    try:
        yield
    except InputError as error:
        raise type(error)(_own(str(error))) from error


def _own(text: str) -> str:
    """A message of the data room in the options of this command."""
    names = "|".join(_READING)
    text = re.sub(rf"set dataset\.({names}) to one of", r"give --set \1=NAME with one of", text)
    text = re.sub(rf"set dataset\.({names})=", r"give --set \1=", text)
    return re.sub(rf"dataset\.({names})\b(?!=)", r"--set \1=…", text)


def values_of(option: str, settings: Sequence[str], known: Sequence[str], whose: str = "") -> dict[str, str]:
    """What an option sets, from texts `NAME=VALUE`; an InputError for another form or an unknown name."""
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in known:
            raise InputError(
                f"{option} must be NAME=VALUE with one of {', '.join(known) or 'no setting'}{whose}, but got "
                f"{setting!r}{did_you_mean(name, known)}"
            )
        found[name] = value
    return found


def _source(config: DatasetConfig, split: str) -> Source:
    sources = {source.role: source for source in resolve_sources(config)}
    if split and split not in sources:
        raise InputError(f"--split must be one of {', '.join(sources)}, but got {split!r}")
    return next(sources[role] for role in ((split,) if split else _SPLITS) if role in sources)


def _content(kind: Task, reader: Reader, columns: Sequence[Column], command: DataCommand) -> tuple[str, str]:
    if reader.fixed_columns is not None:
        return reader.fixed_columns[0], "what the format holds"
    return kind.choose_content(columns, command.text_column or None, command.label_column or None)


def _target(
    kind: Task | None,
    reader: Reader,
    columns: Sequence[Column],
    content: str | None,
    given: str,
    labels: Sequence[str],
) -> tuple[str | None, str]:
    """The column with the labels, which need not be there, and a line for people."""
    none = "no label column: the answers are not scored; name one with --label-column where there is one"
    if given or kind is None or content is None:
        return (given, f"label column: {given!r} (given)") if given else (None, none)
    if reader.fixed_columns is not None:
        return reader.fixed_columns[1], f"label column: {reader.fixed_columns[1]!r} (what the format holds)"
    try:
        found = kind.choose_columns(columns, content, None)
    except InputError:
        fitting = [one.name for one in columns if one.name != content and set() < one.values - {""} <= set(labels)]
        only = fitting[0] if len(fitting) == 1 else None
        return only, none if only is None else f"label column: {only!r} (its values are labels of the model)"
    if not labels:
        # Without labels to compare with, only the name tells that a column holds labels.
        sure = kind.words or found.target_reason == "by its name"
        return (found.target, f"label column: {found.target!r} ({found.target_reason})") if sure else (None, none)
    strange = [label for label in found.labels if label not in labels]
    if strange or not (found.labels or kind.words):
        why = f"it has {shortened(strange, _SHOWN)}, which the model cannot answer" if strange else "it is empty"
        return None, f"no label column: {found.target!r} is not used, since {why}; --label-column names one"
    return found.target, f"label column: {found.target!r} ({found.target_reason})"
