"""The trials of a study for other tools: CSV, JSON, Parquet; its search as a Katib Experiment."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

from podium.errors import InputError
from podium.hpo.experiment import Objective
from podium.hpo.studies import StoredStudy
from podium.hpo.study import collected
from podium.records import TrialRecord
from podium.strict_yaml import kubernetes_yaml

Format = Literal["csv", "json", "parquet", "katib"]

_FIRST = ("number", "status", "score")


def export_study(study: StoredStudy, form: Format) -> bytes:
    """A study in one of the formats.

    `csv` and `parquet` have one row for every trial and columns for params, fold scores and metrics; `json` has the
    whole records and the experiment; `katib` is the Katib Experiment that the study was read from.

    Raises:
        InputError: the study was not read from a Katib file.
    """
    match form:
        case "csv":
            return _csv(trial_rows(study)).encode()
        case "parquet":
            return _parquet(trial_rows(study))
        case "json":
            return (json.dumps(_document(study), indent=1) + "\n").encode()
        case "katib":
            return _katib(study).encode()


def trial_rows(study: StoredStudy) -> list[dict[str, Any]]:
    """One flat row per trial, all with the same columns; what a trial lacks is None."""
    rows = [_row(trial, study.experiment.objective) for trial in study.trials]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [*_FIRST, *sorted((name for name in names if name not in _FIRST), key=_column_order)]
    return [{name: row.get(name) for name in columns} for row in rows]


def _row(trial: TrialRecord, objective: Objective) -> dict[str, Any]:
    started, finished = trial.started_at, trial.finished_at
    row: dict[str, Any] = {"number": trial.number, "status": trial.status, "score": trial.score}
    row |= {f"param.{name}": value for name, value in trial.params.items()}
    row |= {f"fold.{fold}": score for fold, score in trial.fold_scores.items()}
    row |= {f"metric.{name}": value for name, value in collected(trial, objective).items()}
    for fold, metrics in trial.fold_metrics.items():
        row |= {f"fold.{fold}.{name}": value for name, value in metrics.items()}
    row |= {f"label.{name}": value for name, value in trial.labels.items()}
    row |= {
        "started_at": started.isoformat() if started else None,
        "finished_at": finished.isoformat() if finished else None,
        "seconds": (finished - started).total_seconds() if started and finished else None,
        "reports": len(trial.reports),
        "reason": trial.reason,
        "error": trial.error,
    }
    return row


_GROUPS = ("param", "fold", "metric", "label")


def _column_order(name: str) -> tuple[int, bool, str]:
    """Params, folds, metrics and labels, then the other columns; fold scores before the folds' metrics."""
    group = name.partition(".")[0]
    known = group in _GROUPS and "." in name
    return (_GROUPS.index(group) if known else len(_GROUPS), known and name.count(".") > 1, name if known else "")


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else list(_FIRST), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    names = list(rows[0]) if rows else list(_FIRST)
    stream = io.BytesIO()
    parquet.write_table(pa.table({name: _one_type([row[name] for row in rows]) for name in names}), stream)
    return stream.getvalue()


def _one_type(values: Sequence[Any]) -> list[Any]:
    """A column has one type: where values differ, numbers become floats, and anything else text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return list(values)
    convert = float if kinds == {int, float} else str
    return [None if value is None else convert(value) for value in values]


def _document(study: StoredStudy) -> dict[str, Any]:
    return {
        "study": study.place,
        "state": study.state,
        "about": study.description.about.model_dump(mode="json", exclude={"katib"}),
        "experiment": study.experiment.model_dump(mode="json"),
        "trials": [trial.model_dump(mode="json") for trial in study.trials],
    }


def _katib(study: StoredStudy) -> str:
    resource = study.description.about.katib
    if resource is None:
        raise InputError(
            f"only a study that was read from a Katib file is written as one, but {study.name} searched backbone "
            f"{study.description.about.backbone!r}; --format json has its experiment"
        )
    return kubernetes_yaml(resource)
