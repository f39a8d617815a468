"""Format, task and columns of a data set that a user only named: what `podium run --data PATH` needs no YAML for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from podium.config.schema import DatasetConfig, Task
from podium.data.formats import FORMATS, content_of, infer_format, resolve_sources
from podium.data.readers.base import PEEK_ROWS, Reader
from podium.data.rows import BadRow, Row
from podium.data.sources import split_files, visible
from podium.data.tags import invalid_tag
from podium.errors import DataError, InputError

TEXT_NAMES = ("text", "sentence", "content", "document", "review", "body", "message", "comment", "tweet", "article")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "topic", "intent")
TOKEN_NAMES = ("tokens", "words")
TAG_NAMES = ("tags", "ner_tags", "labels")

_TASKS: tuple[Task, ...] = ("text-classification", "ner")
_CLEARLY_LONGER = 2.0
_ROWS_PER_LABEL = 5
_SHOWN = 8


@dataclass(frozen=True)
class Inferred:
    """Overrides that describe the data set, and lines for people that say what was inferred from what."""

    overrides: list[str]
    lines: list[str]


@dataclass
class _Column:
    """What the first rows say about a column."""

    name: str
    texts: int = 0
    length: int = 0
    lists: int = 0
    numbers: int = 0
    values: set[str] = field(default_factory=set)
    bio: bool = True

    def see(self, value: Any) -> None:
        """Take one value into account."""
        if isinstance(value, str):
            self.texts += 1
            self.length += len(value)
            self.values.add(value.strip())
        elif isinstance(value, list):
            self.lists += 1
            self.bio = self.bio and invalid_tag(value) is None
        elif isinstance(value, (bool, int, float)):
            self.numbers += 1
            self.values.add(str(value))

    @property
    def mean_length(self) -> float:
        return self.length / max(1, self.texts)


def infer(
    path: Path,
    task: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    declared: Mapping[str, str] | None = None,
) -> Inferred:
    """Infer what is not given from the extension and the first rows.

    Args:
        path: file or directory of the data; a directory with `train`, `test` and `validation` files gives fixed splits.
        task: `text-classification` or `ner`; None to infer it.
        text_column: column of the text or the tokens; None to infer it.
        label_column: column of the label or the tags; None to infer it.
        declared: `format`, `encoding` and `fallback_encoding` where the user has set them.

    Raises:
        InputError: the columns are ambiguous or missing; the message lists them and the flag to use.
        DataError: the data cannot be read or has no rows.
    """
    if task is not None and task not in _TASKS:
        raise InputError(f"--task must be one of {', '.join(_TASKS)}, but got {task!r}")
    path = path.absolute()
    if not path.exists():
        raise DataError(f"--data must name an existing file or folder, but {path} does not exist")
    given: Task | None = task
    paths = _split_files(path) or {"path": path}
    if "path" not in paths:
        raise DataError(f"--data names a directory with splits but no train file: {path}; add it, or name one file")
    declared = dict(declared or {})
    kind = declared.pop("format", None) or infer_format(paths["path"], given)
    reader = _reader(path, paths["path"], kind, given, declared)
    if reader.fixed_columns is not None:
        if text_column or label_column:
            raise InputError(f"--text-column and --label-column are for formats with columns, but {path} is {kind}")
        chosen = _fixed_task(kind, given)
        lines = [f"format: {kind}", f"task: {chosen}" + ("" if given else f" (what {kind} holds)")]
        names: dict[str, str] = {}
    else:
        columns, seen = _look(reader)
        chosen, content, target, lines = _choose(columns, given, text_column, label_column)
        lines = [
            f"format: {kind}",
            *lines,
            f"columns: {', '.join(column.name for column in columns)} ({seen} rows seen)",
        ]
        names = {"text_column": content, "label_column": target}
    overrides = [
        "dataset=custom",
        f"dataset.name={quoted(path.stem or path.name)}",
        *(f"dataset.{name}={quoted_path(place)}" for name, place in paths.items()),
        f"dataset.task={chosen}",
        f"dataset.format={kind}",
        *(f"dataset.{name}={quoted(column)}" for name, column in names.items()),
    ]
    if len(paths) > 1:
        lines.append("fixed splits: " + ", ".join(f"{name}={place.name}" for name, place in paths.items()))
    return Inferred(overrides, [f"data: {path}", *lines])


def quoted(text: str) -> str:
    """`text` as a quoted value of Hydra's override grammar that means exactly `text`, also where it holds `${`."""
    return _quote(text, r"\$\{")


def quoted_path(path: Path) -> str:
    """`path` as a quoted value of a path field, where `$$` is a dollar because `$NAME` is an environment variable."""
    return _quote(str(path).replace("$", "$$"), r"\$\{(?![A-Za-z_]\w*\})")


def _quote(text: str, interpolation: str) -> str:
    text = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    text = re.sub(r"(\\+)$", lambda match: match[1] * 2, text)
    text = re.sub(rf"(\\*)({interpolation})", lambda match: match[1] * 2 + "\\" + match[2], text)
    return f"'{text}'"


def _split_files(path: Path) -> dict[str, Path]:
    """Files of a directory that are named after splits, by `dataset` field; {} when they are not."""
    if not path.is_dir():
        return {}
    found = split_files([entry for entry in visible(path) if entry.is_file()])
    return {name: found[name] for name in ("path", "validation_path", "test_path") if name in found}


def _reader(path: Path, main: Path, kind: str, task: Task | None, encodings: Mapping[str, str]) -> Reader:
    config = DatasetConfig(name=path.name, path=str(main), task=task or "text-classification", format=kind, **encodings)
    source = resolve_sources(config)[0]
    return FORMATS.get(source.format)(source, config)


def _fixed_task(kind: str, given: Task | None) -> Task:
    fits = [task for task in _TASKS if content_of(task) in FORMATS.get(kind).contents]
    if given is not None and given not in fits:
        raise InputError(f"--task must fit the format, but {kind} holds rows for {fits[0]}, not {given}")
    return fits[0]


def _look(reader: Reader) -> tuple[list[_Column], int]:
    columns = {name: _Column(name) for name in reader.columns()}
    rows = list(islice(reader.rows(), PEEK_ROWS))
    good = [row for row in rows if isinstance(row, Row)]
    for row in good:
        for name, value in row.values.items():
            columns.setdefault(name, _Column(name)).see(value)
    if not good:
        first = next((str(row) for row in rows if isinstance(row, BadRow)), "")
        name = reader.source.location
        raise DataError(
            f"a data set must have rows, but {name} has none" + (f" that can be read: {first}" if first else "")
        )
    return list(columns.values()), len(rows)


def _choose(
    columns: list[_Column], task: Task | None, text: str | None, label: str | None
) -> tuple[Task, str, str, list[str]]:
    for flag, name in (("--text-column", text), ("--label-column", label)):
        if name is not None and name not in {column.name for column in columns}:
            raise InputError(f"{flag} must name a column, but {name!r} is none of: {_listed(columns)}")
    taggable = [column for column in columns if column.lists and column.bio]
    chosen: Task = task or (
        "ner" if taggable and sum(column.lists > 0 for column in columns) > 1 else "text-classification"
    )
    lines = [f"task: {chosen}" + ("" if task else " (from the columns)")]
    if chosen == "ner":
        target, why_target = _tags(columns, taggable, label, text)
        content, why_content = _tokens(columns, text, target)
        what = ("tokens", "tags")
    else:
        content, why_content = _text(columns, text, label)
        target, why_target = _label(columns, label, content)
        what = ("text", "label")
    lines += [f"{what[0]} column: {content!r} ({why_content})", f"{what[1]} column: {target!r} ({why_target})"]
    values = next(column.values for column in columns if column.name == target)
    if chosen == "text-classification":
        shown = ", ".join(sorted(values)[:_SHOWN]) + (", …" if len(values) > _SHOWN else "")
        lines.append(f"labels seen: {shown}")
    return chosen, content, target, lines


def _text(columns: list[_Column], given: str | None, label: str | None) -> tuple[str, str]:
    if given is not None:
        return given, "given"
    textual = [column for column in columns if column.texts and column.name != label]
    if (name := _by_name(textual, TEXT_NAMES)) is not None:
        return name, "by its name"
    ranked = sorted(textual, key=lambda column: -column.mean_length)
    if not ranked:
        raise InputError(
            f"a data set for text-classification must have a text column, but its columns are: {_listed(columns)}"
        )
    if len(ranked) > 1 and ranked[0].mean_length < _CLEARLY_LONGER * ranked[1].mean_length:
        raise _ambiguous("text", "--text-column", columns)
    return ranked[0].name, "the longest text"


def _label(columns: list[_Column], given: str | None, content: str) -> tuple[str, str]:
    if given is not None:
        return given, "given"
    scalar = [column for column in columns if column.values and not column.lists and column.name != content]
    if (name := _by_name(scalar, LABEL_NAMES)) is not None:
        return name, "by its name"
    few = [
        column
        for column in scalar
        if 2 <= len(column.values) <= max(2, (column.texts + column.numbers) // _ROWS_PER_LABEL)
    ]
    if len(few) != 1:
        raise _ambiguous("label", "--label-column", columns)
    return few[0].name, f"{len(few[0].values)} different values"


def _tags(columns: list[_Column], taggable: list[_Column], given: str | None, text: str | None) -> tuple[str, str]:
    if given is not None:
        return given, "given"
    taggable = [column for column in taggable if column.name != text]
    if (name := _by_name(taggable, TAG_NAMES)) is not None:
        return name, "by its name"
    if len(taggable) != 1:
        raise _ambiguous("tags", "--label-column", columns)
    return taggable[0].name, "lists of BIO tags"


def _tokens(columns: list[_Column], given: str | None, target: str) -> tuple[str, str]:
    if given is not None:
        return given, "given"
    lists = [column for column in columns if column.lists and column.name != target]
    if (name := _by_name(lists, TOKEN_NAMES)) is not None:
        return name, "by its name"
    if len(lists) != 1:
        raise _ambiguous("tokens", "--text-column", columns)
    return lists[0].name, "the other lists"


def _by_name(columns: list[_Column], names: Sequence[str]) -> str | None:
    for wanted in names:
        for column in columns:
            if column.name.lower() == wanted:
                return column.name
    return None


def _ambiguous(what: str, flag: str, columns: list[_Column]) -> InputError:
    return InputError(f"the {what} column cannot be told from the data; give {flag} NAME, one of: {_listed(columns)}")


def _listed(columns: list[_Column]) -> str:
    return ", ".join(column.name for column in columns)
