"""Studies for the terminal and for other tools: text tables; CSV, JSON, Parquet, and Katib Experiments."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from podium.config.parameters import AnyParameter, CategoricalParameter, DiscreteParameter
from podium.config.section import Section
from podium.errors import InputError, StudyFailed
from podium.hpo.experiment import Objective
from podium.hpo.study import StoredStudy, best_trial, collected
from podium.records import TrialRecord
from podium.strict_yaml import kubernetes_yaml

_SHOWN = 10
"""Trials of a leaderboard, running ones not counted."""

_ENDED = ("succeeded", "failed", "pruned")
_FIRST, _GROUPS = ("number", "status", "score"), ("param", "fold", "metric", "label")


def studies_table(studies: Sequence[StoredStudy], problems: Sequence[str], now: datetime | None = None) -> str:
    """All studies, one line each, and the problems of others; ages are counted until `now`."""
    if not studies and not problems:
        return "no studies yet; `podium run` and `podium hpo run` make them"
    head = ("KEY", "NAME", "ENTRANT", "ENGINE", "TRIALS", "OK", "FAILED", "PRUNED", "RUNNING", "BEST", "STATE", "AGE")
    rows: list[Sequence[str]] = [head]
    for study in studies:
        counts, started = study.counts, study.started_at
        rows.append(
            (
                study.short,
                study.experiment.name,
                study.about.entrant or "-",
                study.about.engine,
                f"{len(study.trials) - counts['running']}/{study.experiment.max_trials}",
                *(str(counts[status]) for status in _ENDED),
                str(counts["running"] if study.state == "running" else 0),
                number(study.ranked[0].score if study.ranked else None),
                study.state,
                span(((now or datetime.now(UTC)) - started).total_seconds()) if started else "-",
            )
        )
    return "\n".join([table(rows, right=range(4, 10)), *problems] if studies else problems)


def study_text(study: StoredStudy) -> str:
    """One study: what it searches, its state, and its leading trials."""
    experiment, about, counts = study.experiment, study.about, study.counts
    objective, stopping = experiment.objective, experiment.early_stopping
    goal = "" if objective.goal is None else f", goal {number(objective.goal)}"
    ended = f"{len(study.trials) - counts['running']} of {experiment.max_trials} trials ended"
    running = f"{counts['running']} {'running' if study.state == 'running' else 'cut off'}" if counts["running"] else ""
    facts = {
        "study": f"{experiment.name}  ({study.place})",
        "from": about.source or f"entrant {about.entrant}",
        "engine": ", ".join((about.engine, *study.owners)),
        "objective": f"{objective.direction} {objective.metric}{goal}",
        "algorithm": f"{experiment.algorithm.name}{_settings(experiment.algorithm.settings)}, seed {experiment.seed}",
        "stopping": f"{stopping.name}{_settings(stopping.settings)}",
        "state": f"{study.state}: "
        + ", ".join(filter(None, (ended, *(f"{counts[status]} {status}" for status in _ENDED), running))),
    }
    searched = [("PARAMETER", "SEARCHED", "")]
    for name, parameter in experiment.space.parameters.items():
        conditions = (f"where {parent} is {' or '.join(map(value_text, v))}" for parent, v in parameter.when.items())
        searched.append((name, parameter_text(parameter), " and ".join(conditions)))
    lines = [f"{name:<10} {text}" for name, text in facts.items()]
    return "\n".join([*lines, "", table(searched), "", _leaderboard(study)])


def _leaderboard(study: StoredStudy) -> str:
    names = tuple(study.experiment.space.parameters)
    others = [trial for trial in study.trials if trial.status in ("failed", "pruned")]
    running = [trial for trial in study.trials if trial.status == "running"]
    shown = [*study.ranked[:_SHOWN], *others[: max(0, _SHOWN - len(study.ranked))], *running]
    rows: list[Sequence[str]] = [("TRIAL", "STATUS", "SCORE", "FOLDS", *names)]
    for trial in shown:
        status = "cut off" if trial.status == "running" and study.state != "running" else trial.status
        folds = str(len(trial.fold_scores) or "-")
        rows.append(
            (str(trial.number), status, number(trial.score), folds, *(value_text(trial.params.get(n)) for n in names))
        )
    text = table(rows, right=(0, *range(2, len(rows[0]))))
    left = len(study.trials) - len(shown)
    return text + (f"\nand {left} more; `podium hpo export {study.short}` has all" if left else "")


def best_facts(study: StoredStudy) -> dict[str, Any]:
    """The best trial of a study as JSON values.

    `overrides` are the config values that train with its params; absent where params are no config fields, as those
    of a Katib file. `spread` is the standard deviation of the fold scores. `metrics` are those that were
    collected, or else their means over the folds.

    Raises:
        StudyFailed: no trial succeeded yet.
    """
    experiment, objective = study.experiment, study.experiment.objective
    try:
        best = best_trial(study.trials, objective.direction)
    except StudyFailed as error:
        raise StudyFailed(
            f"study {experiment.name} ({study.short}, {study.state}) has no best trial: {error}"
        ) from error
    by_metric: dict[str, list[float]] = {}
    for metrics in best.fold_metrics.values():
        for name, value in metrics.items():
            by_metric.setdefault(name, []).append(value)
    folds = list(best.fold_scores.values())
    facts: dict[str, Any] = {
        "study": study.place,
        "name": experiment.name,
        "metric": objective.metric,
        "direction": objective.direction,
        "trial": best.number,
        "of_trials": len(study.trials),
        "state": study.state,
        "score": best.score,
        "fold_scores": dict(best.fold_scores),
        "spread": statistics.stdev(folds) if len(folds) > 1 else None,
        "metrics": collected(best, objective) or {name: statistics.fmean(by_metric[name]) for name in by_metric},
        "params": dict(best.params),
    }
    if study.about.entrant:
        facts["entrant"] = study.about.entrant
        facts["overrides"] = [
            f"{study.about.section}.{name}={value_text(value, 17)}" for name, value in best.params.items()
        ]
    return facts


def best_text(facts: Mapping[str, Any]) -> str:
    """The facts of `best_facts` as text."""
    folds = ", ".join(number(score) for score in facts["fold_scores"].values())
    spread = "" if facts["spread"] is None else f" (folds {folds}; standard deviation {number(facts['spread'])})"
    lines = [
        f"{facts['name']}  ({facts['study']}, {facts['state']})",
        f"trial {facts['trial']}, the best of {facts['of_trials']}: {facts['metric']} {number(facts['score'])}{spread}",
        "",
        table([("PARAMETER", "VALUE"), *((name, value_text(value)) for name, value in facts["params"].items())]),
    ]
    if facts["metrics"]:
        metrics = [(name, number(value)) for name, value in facts["metrics"].items()]
        lines += ["", table([("METRIC", "VALUE"), *metrics], right=(1,))]
    if "overrides" in facts:
        how = "`podium run` refits this trial. To train with its values elsewhere:"
        lines += ["", how, " ".join(facts["overrides"])]
    return "\n".join(lines)


def importance_text(study: StoredStudy, shares: Mapping[str, float]) -> str:
    """The share of each parameter in the variation of the score, in the order given."""
    rows = [(name, f"{share:.1%}", "█" * round(share * 30)) for name, share in shares.items()]
    return (
        f"{study.experiment.name}: share of the variation of {study.experiment.objective.metric} over "
        f"{study.counts['succeeded']} trials\n" + table([("PARAMETER", "IMPORTANCE", ""), *rows], right=(1,))
    )


def parameter_text(parameter: AnyParameter) -> str:
    """The range or the choices of a parameter."""
    if isinstance(parameter, CategoricalParameter | DiscreteParameter):
        return " | ".join(value_text(value) for value in parameter.choices)
    kind = parameter.type if parameter.distribution == "uniform" else parameter.distribution
    scale = " on a log scale" if parameter.log else ""
    steps = f" in steps of {parameter.step:g}" if parameter.step and parameter.step != 1 else ""
    return f"{kind} {value_text(parameter.low)} to {value_text(parameter.high)}{scale}{steps}"


def number(value: float | None) -> str:
    """A score or metric."""
    return "-" if value is None else f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4g}"


def value_text(value: Any, digits: int = 4) -> str:
    """A parameter's value; a float with that many significant digits, or exactly with 17."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{digits}g}" if isinstance(value, float) and digits < 17 else str(value)


def span(seconds: float) -> str:
    """A time span in its largest unit, rounded down."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{math.floor(seconds / size)} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{math.floor(seconds)} s"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as aligned columns, the first row being the heading; columns whose numbers are in `right` align right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _settings(settings: Section) -> str:
    given = [f"{name}={value_text(value)}" for name, value in settings.model_dump(exclude_none=True).items()]
    return f" ({', '.join(given)})" if given else ""


def export_study(study: StoredStudy, form: Literal["csv", "json", "parquet", "katib"]) -> bytes:
    """A study in one of the formats.

    `csv` and `parquet` have one row for every trial and columns for params, fold scores and metrics; `json` has the
    whole records and the experiment; `katib` is the Katib Experiment that the study was read from.

    Raises:
        InputError: the study was not read from a Katib file.
    """
    match form:
        case "katib":
            if study.about.katib is None:
                raise InputError(
                    f"only a study that was read from a Katib file is written as one, but {study.experiment.name} "
                    f"searched entrant {study.about.entrant!r}; --format json has its experiment"
                )
            return kubernetes_yaml(study.about.katib).encode()
        case "json":
            document = {
                "study": study.place,
                "state": study.state,
                "about": study.about.model_dump(mode="json", exclude={"katib"}),
                "experiment": study.experiment.model_dump(mode="json"),
                "trials": [trial.model_dump(mode="json") for trial in study.trials],
            }
            return (json.dumps(document, indent=1) + "\n").encode()
    rows = [_row(trial, study.experiment.objective) for trial in study.trials]
    columns = sorted(dict.fromkeys(name for row in [_FIRST, *rows] for name in row), key=_column_order)
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    import pyarrow as pa
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pa.table({name: _one_type([row.get(name) for row in rows]) for name in columns}), stream)
    return stream.getvalue()


def _row(trial: TrialRecord, objective: Objective) -> dict[str, Any]:
    started, finished = trial.started_at, trial.finished_at
    row: dict[str, Any] = {"number": trial.number, "status": trial.status, "score": trial.score}
    row |= {f"param.{name}": value for name, value in trial.params.items()}
    row |= {f"fold.{fold}": score for fold, score in trial.fold_scores.items()}
    row |= {f"metric.{name}": value for name, value in collected(trial, objective).items()}
    for fold, metrics in trial.fold_metrics.items():
        row |= {f"fold.{fold}.{name}": value for name, value in metrics.items()}
    row |= {f"label.{name}": value for name, value in trial.labels.items()}
    return row | {
        "started_at": started.isoformat() if started else None,
        "finished_at": finished.isoformat() if finished else None,
        "seconds": (finished - started).total_seconds() if started and finished else None,
        "reports": len(trial.reports),
        "reason": trial.reason,
        "error": trial.error,
    }


def _column_order(name: str) -> tuple[int, bool, str]:
    """Params, folds, metrics and labels by name, fold scores before the folds' metrics; then when and why it ended."""
    group, dot, _ = name.partition(".")
    if not dot:
        return -1 if name in _FIRST else len(_GROUPS), False, ""
    return _GROUPS.index(group), name.count(".") > 1, name


def _one_type(values: Sequence[Any]) -> list[Any]:
    """A column has one type: where values differ, numbers become floats, and anything else text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return list(values)
    convert = float if kinds == {int, float} else str
    return [None if value is None else convert(value) for value in values]
