"""Results of OpenAI's batch interface as a run whose answers are stored, beside the rows that were asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from podium.config.schema import DatasetConfig
from podium.data.formats import infer_format, open_reader, resolve_sources
from podium.data.index import row_id
from podium.data.readers.base import Row
from podium.errors import InputError
from podium.inference.backends.openai_batch import read_results
from podium.inference.parsers import PARSERS
from podium.inference.stored import FINISHED, JournalLine, RunFile, StoredRun
from podium.models.prompted.replies import split_reasoning
from podium.tasks import TASKS
from podium.tasks.columns import missing


def is_results(path: Path) -> bool:
    """Whether a file begins with a result."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        try:
            first = json.loads(next(lines, ""))
        except ValueError:
            return False
    return isinstance(first, dict) and {"custom_id", "response"} <= first.keys()


def open_results(path: Path, data: str, task: str, label_column: str) -> StoredRun:
    """The results as a finished run; their ids are those of a column of the data, or of its files and lines.

    Args:
        data: file with the rows that were asked.
        task: of the registry; empty for one label per row.

    Raises:
        InputError: the data or its labels are not named, or no column has the ids.
        DataError: a file cannot be read.
    """
    if not data or not label_column:
        raise InputError(
            f"{path} has answers and no rows: name the file that was asked with --data, and its column of right "
            "answers with --label-column"
        )
    results = read_results(path)
    kind = TASKS.get(task or TASKS.names()[0])
    rows = _rows(Path(data), kind.name)
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    if label_column not in names:
        raise InputError(
            f"--label-column must name a column of {data}, but {label_column!r} is none of {', '.join(names)}"
        )
    by_column = [[(str(values.get(name)), values) for _, values in rows] for name in names]
    *of_columns, of_places = [[one for one in found if one[0] in results] for found in (*by_column, rows)]
    asked = max(of_columns, key=len) or of_places
    if not asked:
        raise InputError(
            f"the custom_id of a result must be the id of a row, but no column of {data} has any of {path}"
        )
    options = {name: one.default for name, one in kind.options.items()}
    targets = [values.get(label_column) for _, values in asked]
    known = [one for one in targets if not missing(one) and one != ""]
    content = next((name for name in kind.content_names if name in names), None) if kind.words else None
    words = [values.get(content) for _, values in asked] if content else [None] * len(asked)
    kinds = (kind.kinds(kind.read_target(one, one if kind.words else "", options)[0]) for one in known)
    labels = kind.label_space(set().union(*kinds))
    lines = [_line(row, results[row], labels, held) for (row, _), held in zip(asked, words, strict=True)]
    run = RunFile(
        id=path.stem,
        model=_model(results[asked[0][0]]),
        data=data,
        status=FINISHED,
        task=kind.name,
        labels=labels,
        target=label_column,
        content=content,
    )
    columns = {name: [values.get(name) for _, values in asked] for name in names}
    return StoredRun(path, run, tuple(row for row, _ in asked), columns, tuple(lines))


def _rows(file: Path, task: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows of a file by their place in it."""
    form = infer_format(file, task)
    fields = {"name": file.stem, "path": str(file.resolve()), "task": task, "format": form}
    config = DatasetConfig.model_validate(fields)
    return [
        (row_id(row.file, row.line), row.values)
        for source in resolve_sources(config)
        for row in open_reader(source, config).rows()
        if isinstance(row, Row)
    ]


def _line(row: str, result: dict[str, Any], labels: Sequence[str], words: Any) -> JournalLine:
    response = result.get("response") or {}
    try:
        choice = response["body"]["choices"][0]
        text = split_reasoning(str(choice["message"]["content"] or ""))[0]
    except (KeyError, IndexError, TypeError):
        return JournalLine(row, "permanent")
    if choice.get("finish_reason") == "length":
        return JournalLine(row, "truncated")
    names = ("spans",) if words is not None else ("json", "label")
    found = next((one for one in (PARSERS.get(name).parse(text, labels, words) for name in names) if one), None)
    return JournalLine(row, "unparseable") if found is None else JournalLine(row, "ok", found.answer)


def _model(result: dict[str, Any]) -> str:
    body = (result.get("response") or {}).get("body") or {}
    return str(body.get("model") or "a model behind a batch")
