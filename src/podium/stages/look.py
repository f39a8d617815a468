"""What `podium data` shows: a data set read, checked, split and counted exactly as the step `prepare` does it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from podium.config.fields import shipped_data
from podium.config.form import RunForm
from podium.config.schema import DatasetConfig
from podium.data.artifact import contents_of
from podium.data.formats import open_reader, resolve_sources
from podium.data.prepare import prepare
from podium.data.sources import ROLES, prefix_of, roles_line
from podium.errors import DataError
from podium.records import PreparedData, RunRecord
from podium.stages.prepare import resolve_form
from podium.stages.step import StepInputs, open_store
from podium.stages.steps import step_named
from podium.text import shortened

_QUANTILES = (0.05, 0.5, 0.95, 0.99, 1.0)
_LABELS = 12
_EXAMPLES = 5


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
        inferred: lines for people: what was inferred from what.
        data: what `prepare` found; None where it refuses the data.
        words: quantiles of the number of words of a row, by their names.
        problem: why `prepare` refuses the data; empty where it does not.
        files: names of the files of each split.
        reading: how each file is read.
    """

    inferred: tuple[str, ...]
    dataset: DatasetConfig
    data: PreparedData | None = None
    words: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    files: Mapping[str, list[str]] = field(default_factory=dict)
    reading: tuple[str, ...] = ()


def look_at(form: RunForm, directory: Path) -> Look:
    """Look at all rows of the data that a form names: a file, folder or URI, or a data set that comes with Podium.

    Where rows are bad, what is left without them is counted, and the problem says that a run would refuse them.

    Raises:
        ConfigError, InputError: a value is wrong, or a column cannot be inferred.
        DataError: the data cannot be read.
    """
    name = form.data_path
    if name in shipped_data() and not (directory / name).exists():
        form = replace(form, data_path="", run_overrides=(f"dataset={name}", *form.run_overrides))
    composed = resolve_form(form, directory)
    return look_through(composed.config.dataset, composed.config.seed, composed.inferred)


def look_through(dataset: DatasetConfig, seed: int, inferred: tuple[str, ...] = ()) -> Look:
    """Look at all rows of a data set; errors as for `look_at`."""
    sources = resolve_sources(dataset)
    files = {str(one.role): [file.name.removeprefix(prefix_of(one.role)) for file in one.files] for one in sources}
    if not inferred:
        inferred = (f"data: {dataset.path}", roles_line(sources), f"task: {dataset.task}")
    reading = tuple(line for one in sources for line in open_reader(one, dataset).found())
    found = Look(inferred, dataset, files=files, reading=reading)
    try:
        return replace(found, **_prepared(dataset, seed))
    except DataError as error:
        found = replace(found, problem=str(error))
    if dataset.on_bad_row == "fail":
        with suppress(DataError):
            return replace(found, **_prepared(dataset.model_copy(update={"on_bad_row": "drop"}), seed))
    return found


def look_before_planning(run: RunRecord) -> tuple[list[str], str]:
    """What a run would read, for people, and why it would refuse it; nothing where the prepared data set is stored."""
    step, inputs = step_named("prepare"), StepInputs(run)
    if step.stored(open_store(run.config), inputs, step.key(inputs)) is not None:
        return [], ""
    found = look_through(run.config.dataset, run.config.seed)
    return list(_counts(found, set())), found.problem


def _prepared(dataset: DatasetConfig, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        data = prepare(dataset, seed, Path(scratch) / "data")
        contents = (row for split in ROLES for row in contents_of(Path(scratch) / "data", split))
        words = np.array([len(row.split() if isinstance(row, str) else row) for row in contents])
    names = [f"{share:.0%}" if share < 1 else "longest" for share in _QUANTILES]
    lengths = dict(zip(names, np.quantile(words, _QUANTILES).round().astype(int).tolist(), strict=True))
    return {"data": data, "words": lengths}


def as_lines(found: Look) -> list[str]:
    """What was found, for people."""
    known = set(found.inferred)
    return [*found.inferred, *(line for line in found.reading if line not in known), *_counts(found, known)]


def _counts(found: Look, known: set[str]) -> Iterator[str]:
    data = found.data
    if data is None:
        return
    parts = [f"{data.read_rows} read", f"{data.rejected} bad", f"{data.duplicates} dropped as duplicates or leaks"]
    yield f"rows: {', '.join([*parts, *([f'{data.left_out} left out'] if data.left_out else [])])}"
    yield f"splits: {', '.join(f'{split} {data.rows[split]}' for split in ROLES)}; {data.folds} folds"
    totals = totals_of(data)
    counts = [f"{label!r} {totals[label]}" for label in sorted(totals, key=lambda one: (-totals[one], one))]
    yield f"labels: {len(counts)}: {shortened(counts, _LABELS)}"
    quantiles = [f"{name} {'≤ ' if name != 'longest' else ''}{count}" for name, count in found.words.items()]
    yield f"words in a row: {', '.join(quantiles)}"
    for example in data.rejected_examples[:_EXAMPLES]:
        yield f"bad: {example}"
    yield from (f"look at this: {warning}" for warning in (*data.cautions, *data.warnings) if warning not in known)


def totals_of(data: PreparedData) -> dict[str, int]:
    """How often each label occurs in all splits together."""
    return {label: sum(data.label_counts[split][label] for split in ROLES) for label in data.labels}


def as_json(found: Look) -> dict[str, Any]:
    """What was found, as JSON holds it."""
    data = found.data
    return {
        "usable": not found.problem,
        "problem": found.problem or None,
        "dataset": found.dataset.model_dump(mode="json"),
        "files": found.files,
        "reading": found.reading,
        "inferred": found.inferred,
        "labels": totals_of(data) if data else None,
        "words": found.words,
        "prepared": data.model_dump(mode="json") if data else None,
    }
