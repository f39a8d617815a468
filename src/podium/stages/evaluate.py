"""`podium evaluate`: evaluates stored answers, and keeps what was found in a directory of its own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from podium.evaluation.answered import Answered
from podium.evaluation.evaluated import CONFIDENCE, RESAMPLES, SEED, Evaluation, evaluate, probability_of_answers
from podium.jsonfile import write_text
from podium.keys import canonical_json, digest_bytes
from podium.records import Interval
from podium.report.evaluation import as_html
from podium.stages.evaluated_models import Places, Reading, find_answered
from podium.text import file_name

JSON_FILE, HTML_FILE = "evaluation.json", "report.html"

_VERSION = 1
"""Changes when equal answers give other figures."""
_BOUNDS = ("value", "low", "high")

Table = Iterable[Sequence[Any]]


def evaluate_run(
    name: str, against: str, places: Places, reading: Reading, folder: Path, only: str = ""
) -> tuple[Evaluation, Path]:
    """Evaluate a model, alone or against another one, and write the result.

    Equal answers and options have one directory, whose files are written again.

    Args:
        folder: of the directories of evaluations.
        only: name of the directory; made of the run's name and the key where it is empty.

    Returns:
        What was found, and the directory with `evaluation.json`, `report.html` and tables as CSV.

    Raises:
        InputError: a name, a column or a label is not there, or the two cannot be compared.
    """
    one = find_answered(name, places, reading)
    other = find_answered(against, places, replace(reading, by=())) if against else None
    key = _key(one, other, reading)
    found = evaluate(one, other, reading.by, key)
    directory = folder / (only or f"{file_name(Path(one.name).name) or 'run'}-{key[:8]}")
    for file, rows in _tables(found, one).items():
        write_text(directory / file, _csv(rows))
    write_text(directory / HTML_FILE, as_html(found))
    write_text(directory / JSON_FILE, found.model_dump_json(indent=1) + "\n")
    return found, directory


def _key(one: Answered, other: Answered | None, reading: Reading) -> str:
    """A digest of all that shapes the evaluation."""
    parts = {
        "version": _VERSION,
        "settings": [CONFIDENCE, RESAMPLES, SEED],
        "by": {column: list(map(str, one.columns.get(column, ()))) for column in reading.by},
        "answers": [_answers(model) for model in (one, other) if model is not None],
    }
    return digest_bytes(canonical_json(parts))


def _answers(one: Answered) -> list[Any]:
    given = one.predictions.probabilities if one.predictions else None
    columns = (one.ids, one.truth, one.answers, one.documents or ())
    # A key's parts are looked at one by one, which takes seconds for the columns of many rows.
    digests = [digest_bytes(json.dumps(list(column), ensure_ascii=False).encode()) for column in columns]
    return [one.task, one.positive, *digests, None if given is None else digest_bytes(given.tobytes())]


def _tables(found: Evaluation, one: Answered) -> dict[str, Table]:
    """The tables by file name; one without rows is left out."""
    tables: dict[str, Table] = {
        "metrics.csv": [
            ("metric", *_BOUNDS),
            *((metric.name, *_bounds(metric.interval)) for metric in found.metrics),
        ],
        "rows.csv": _rows(found, one),
    }
    if found.against:
        tables["differences.csv"] = [
            ("metric", "this", "other", "difference", "low", "high", "p_value", "real", "better"),
            *(
                (part.name, part.value, part.against, *_bounds(part.difference), part.p_value, part.real, part.better)
                for part in found.against.metrics
            ),
        ]
        tables["changes.csv"] = [
            ("row", "truth", "before", "after", "change"),
            *(
                (part.row, part.truth, part.before, part.after, "became right" if part.now_right else "became wrong")
                for part in found.against.changes
            ),
        ]
    if found.slicings:
        tables["slices.csv"] = [("column", "slice", "rows", "small", "metric", *_BOUNDS), *_slices(found)]
        tables["disparities.csv"] = [
            ("column", "measure", "of", "lowest", "highest", "difference", "ratio", "p_value"),
            *_disparities(found),
        ]
    if found.calibration:
        tables["calibration.csv"] = [
            ("low", "high", "count", "mean_probability", "true", "true_low", "true_high"),
            *(
                (part.low, part.high, part.count, part.confidence, *_bounds(part.accuracy))
                for part in found.calibration.curve
            ),
        ]
    if found.thresholds and found.thresholds.points:
        tables["thresholds.csv"] = [
            ("threshold", "precision", "recall", "f1"),
            *((part.threshold, part.precision, part.recall, part.f1) for part in found.thresholds.points),
        ]
    if found.thresholds and found.thresholds.coverage:
        tables["coverage.csv"] = [
            ("coverage", "threshold", "accuracy", "low", "high"),
            *((part.coverage, part.threshold, *_bounds(part.accuracy)) for part in found.thresholds.coverage),
        ]
    return tables


def _rows(found: Evaluation, one: Answered) -> Iterator[Sequence[Any]]:
    """Every row with its truth, its answer, and the columns that it was sliced by."""
    likely = probability_of_answers(one)
    columns = [part.column for part in found.slicings]
    yield ("row", "truth", "answer", "right", *(["probability"] if likely is not None else []), *columns)
    for place, row in enumerate(one.ids):
        sure = [] if likely is None else ["" if one.answers[place] is None else float(likely[place])]
        values = (one.columns[column][place] for column in columns)
        yield (row, one.truth[place], one.answers[place], bool(one.right[place]), *sure, *values)


def _slices(found: Evaluation) -> Iterator[Sequence[Any]]:
    for one in found.slicings:
        for part in one.slices:
            for name, score in part.scores.items():
                yield (one.column, part.value, part.rows, part.small, name, *_bounds(score))


def _disparities(found: Evaluation) -> Iterator[Sequence[Any]]:
    for one in found.slicings:
        for part in one.disparities:
            yield (
                *(one.column, "metric", part.metric, part.lowest, part.highest),
                *(part.difference, part.ratio, part.p_value),
            )
        for label in one.parity:
            yield (one.column, "demographic parity", label.label, "", "", label.demographic_parity, "", "")
            yield (one.column, "equalised odds", label.label, "", "", label.equalised_odds, "", "")


def _bounds(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _csv(rows: Table) -> str:
    """RFC 4180, but with plain line ends; lists are JSON, and what is missing is empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for row in rows:
        table.writerow(
            [canonical_json(list(cell)).decode() if isinstance(cell, list | tuple) else cell for cell in row]
        )
    return text.getvalue()
