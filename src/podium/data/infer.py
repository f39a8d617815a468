"""Format, task and columns of a data set that a user only named: what `podium run --data PATH` needs no YAML for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from podium.config.overrides import Assignment, Parsed, literal, literal_path
from podium.config.schema import DatasetConfig
from podium.data.compressed import FAILURES
from podium.data.encodings import guess
from podium.data.formats import FORMATS, infer_format, resolve_sources
from podium.data.readers.base import PEEK_ROWS, BadRow, Reader, Row
from podium.data.shapes import as_list
from podium.data.sources import FIELDS, Source, prefix_of, roles_line, says_splits, split_entries
from podium.errors import DataError, InputError
from podium.tasks import TASKS
from podium.tasks.annotations import set_aside
from podium.tasks.base import Task
from podium.tasks.columns import Choice, Column, columns_named, indicators, inner_names, is_one, joined, listed, missing
from podium.text import did_you_mean, shortened

_SHOWN = 8


@dataclass(frozen=True)
class Inferred:
    """The config values that describe the data set, its task, and lines for people: what was inferred from what."""

    given: Parsed
    task: str
    lines: list[str]


def infer(
    path: Path,
    task: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    declared: Mapping[str, str] | None = None,
    uri: str = "",
) -> Inferred:
    """Infer what is not given from the extension and the first rows.

    Args:
        path: file or directory of the data; a directory with `train`, `test` and `validation` files gives fixed splits.
        declared: `format`, `encoding` and `fallback_encoding` where the user has set them.
        uri: where `path` was fetched from, if it was; the config then names it instead.

    Raises:
        InputError: the columns are ambiguous or missing; the message lists them and the flag to use.
        DataError: the data cannot be read or has no rows.
    """
    names = TASKS.names()
    if task is not None and task not in names:
        raise InputError(f"--task must be one of {', '.join(names)}, but got {task!r}{did_you_mean(task, names)}")
    path = path.absolute()
    if not path.exists():
        raise DataError(f"--data must name an existing file or folder, but {path} does not exist")
    named = split_entries(path) if path.is_dir() else {}
    paths = {FIELDS[role]: place for role, place in named.items()} or {"path": path}
    declared = dict(declared or {})
    kind = declared.pop("format", None) or _format_of(paths, task)
    places = {name: str(place) for name, place in paths.items()}
    config = DatasetConfig.model_validate(
        {"name": path.name, "task": task or names[0], "format": kind, **places, **declared}
    )
    sources = resolve_sources(config)
    encodings, encoding_lines = found_encoding(sources, declared)
    config = config.model_copy(update=encodings)
    source = sources[0]
    reader = FORMATS.get(source.format)(source, config)
    kind = source.format if kind == "auto" else kind
    if reader.fixed_columns is not None:
        given = {"text_column": text_column, "label_column": label_column}
        fields = {name: column for name, column in given.items() if column is not None}
        if any(not column.isdigit() for column in fields.values()):
            raise InputError(f"--text-column and --label-column are for formats with columns, but {path} is {kind}")
        fits = [one for one in TASKS.all() if one.content in FORMATS.get(kind).contents]
        chosen = next((one for one in fits if task in (None, one.name)), None)
        if chosen is None:
            raise InputError(f"--task must fit the format, but {kind} holds rows for {fits[0].name}, not {task}")
        why, lines = f"what {kind} holds", []
    else:
        columns, seen = look(reader, label_column)
        chosen, found = _choose(columns, task, text_column, label_column)
        why, fields = "from the columns", {"text_column": found.content, "label_column": found.target}
        lines = [
            f"{chosen.content} column: {found.content!r} ({found.content_reason})",
            f"{chosen.target} column: {found.target!r} ({found.target_reason})",
        ]
        if found.labels:
            more = ", …" if len(found.labels) > _SHOWN else ""
            lines.append(f"labels seen: {', '.join(found.labels[:_SHOWN])}{more}")
        lines.append(f"columns: {listed(columns)} ({seen} rows seen)")
        lines += [
            f"column {column.name!r} has {', '.join(sorted(column.values))}, but splits are drawn anew; to keep them, "
            "write the rows of each into a file named after it, in one folder"
            for column in columns
            if len(sources) == 1 and says_splits(column.values)
        ]
    lines += encoding_lines
    for one in sources:
        opened = FORMATS.get(one.format)(one, config)
        lines += [*opened.found(), *opened.doubts()]
    label = fields.get("label_column") if reader.fixed_columns is None else reader.fixed_columns[1]
    if unlabelled := _unlabelled(sources, config, label):
        paths["predict_path"] = paths.pop("test_path", path)
        lines.append(unlabelled)
    values = {
        "name": literal(path.stem or path.name),
        **{name: literal_path(_named(file, path, uri)) for name, file in paths.items()},
        "task": chosen.name,
        "format": config.format,
        **{name: literal(column) for name, column in fields.items()},
        **{name: literal(encoding) for name, encoding in encodings.items()},
    }
    assigned = [Assignment(("dataset", name), value) for name, value in values.items()]
    where = f"{uri} (its copy is {path})" if uri else path
    head = [
        f"data: {where}",
        roles_line([one for one in sources if one.role != "test" or "predict_path" not in paths]),
        f"format: {kind}",
        f"task: {chosen.name}" + ("" if task else f" ({why})"),
    ]
    return Inferred(Parsed({"dataset": "dataset=custom"}, assigned), chosen.name, [*head, *lines])


def _format_of(paths: Mapping[str, Path], task: str | None) -> str:
    """The format of all these files; `auto` where they differ."""
    first = infer_format(paths["path"], task)
    for path in paths.values():
        with suppress(DataError):  # an empty file is in no format
            if infer_format(path, task) != first:
                return "auto"
    return first


def _unlabelled(sources: Sequence[Source], config: DatasetConfig, label: str | None) -> str:
    """That the test files have no labels, as their first rows show, for people; empty where they have."""
    test = next((one for one in sources if one.role == "test"), None)
    if label is None or test is None or not (why := _without_labels(test, config, label)):
        return ""
    held = [file.name.removeprefix(prefix_of("test")) for file in test.files]
    each = test.split or (f"each of {shortened(held, _SHOWN)}" if len(held) > 1 else held[0])
    what = "so it is no test set: test rows are split off, and the winner predicts its rows (dataset.predict_path)"
    return f"{each} {why}, {what}"


def _without_labels(source: Source, config: DatasetConfig, label: str) -> str:
    reader = FORMATS.get(source.format)(source, config)
    known = reader.columns()
    names = columns_named(label, known)
    if known and (absent := [name for name in names if name not in known]):
        return f"has no column {absent[0]!r}"
    found = [row.values for row in islice(reader.rows(), PEEK_ROWS) if isinstance(row, Row)]
    rows = [values.get(name) for values in found for name in names]
    empty = all(missing(value) or value in ("", []) for value in rows)
    return f"has nothing in its column {label!r}" if rows and empty else ""


def found_encoding(sources: Sequence[Source], declared: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """`encoding`, or `fallback_encoding`, of sources in text files that are not UTF-8, and lines that say so.

    Nothing where the user has declared one, or where no encoding fits.
    """
    texts = [source for source in sources if FORMATS.get(source.format).encoded]
    if not texts or declared.keys() & {"encoding", "fallback_encoding"}:
        return {}, []
    try:
        found = guess((file.name, file.path) for source in texts for file in source.files)
    except (OSError, *FAILURES):
        return {}, []  # whoever reads the rows says what is wrong
    if found is None or not found.encoding:
        return {}, []
    said = f"{found.where} is not UTF-8 and looks like {found.encoding}, as in {found.sample!r}"
    if found.mixed:
        return {}, [
            f"encoding: {said}; other lines are UTF-8, so set dataset.fallback_encoding={found.encoding} if it is"
        ]
    return {"encoding": found.encoding}, [f"encoding: {said}; if it is another, set dataset.encoding"]


def _named(file: Path, path: Path, uri: str) -> Path | str:
    """What the config calls a file of the data at `path`."""
    if not uri:
        return file
    return uri if file == path else f"{uri.rstrip('/')}/{file.name}"


def look(reader: Reader, label: str | None = None) -> tuple[list[Column], int]:
    """The columns of the first rows, and how many rows were seen.

    Args:
        label: name of the label column, or of several columns of 0 and 1, where the user gives it.

    Raises:
        DataError: none of them can be read.
    """
    columns = {name: Column(name) for name in reader.columns()}
    rows = list(islice(reader.rows(), PEEK_ROWS))
    good = [row for row in rows if isinstance(row, Row)]
    for row in good:
        for name, value in row.values.items():
            if value != [] or not set_aside(row.values, name):
                columns.setdefault(name, Column(name)).see(as_list(value))
    if not good:
        first = next((str(row) for row in rows if isinstance(row, BadRow)), "")
        name = reader.source.location
        raise DataError(
            f"a data set must have rows, but {name} has none" + (f" that can be read: {first}" if first else "")
        )
    several = columns_named(label, columns) if label else indicators(list(columns.values()), len(good))
    if len(several) > 1 and not set(several) - columns.keys():
        name = label or joined(several)
        columns[name] = Column(name, parts=tuple(several))
        for row in good:
            with suppress(ValueError):
                cells = zip(several, inner_names(several, columns), strict=True)
                columns[name].see([label for column, label in cells if is_one(row.values.get(column))])
    return list(columns.values()), len(rows)


def _choose(columns: list[Column], given: str | None, text: str | None, label: str | None) -> tuple[Task, Choice]:
    for flag, name in (("--text-column", text), ("--label-column", label)):
        if name is not None and name not in {column.name for column in columns}:
            raise InputError(f"{flag} must name a column, but {name!r} is none of: {listed(columns)}")
    if given is not None:
        task = TASKS.get(given)
    else:
        # The first task recognises everything, so the others, and those of other packages above all, are asked before.
        task = next(task for task in reversed(TASKS.all()) if task.recognises(columns))
    return task, task.choose_columns(columns, text, label)
