"""Text tables for the terminal: all studies, one study, its best trial and the importance of its parameters."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from podium.config.parameters import AnyParameter, CategoricalParameter, DiscreteParameter
from podium.config.section import Section
from podium.errors import StudyFailed
from podium.hpo.experiment import Objective
from podium.hpo.studies import StoredStudy
from podium.hpo.study import collected
from podium.records import TrialRecord

_SHOWN = 10
"""Trials of a leaderboard, running ones not counted."""


def studies_table(studies: Sequence[StoredStudy], problems: Sequence[str], now: datetime | None = None) -> str:
    """All studies, one line each, and the problems of others; ages are counted until `now`."""
    if not studies and not problems:
        return "no studies yet; `podium run` and `podium hpo run` make them"
    head = ("KEY", "NAME", "BACKBONE", "ENGINE", "TRIALS", "OK", "FAILED", "PRUNED", "RUNNING", "BEST", "STATE", "AGE")
    rows = [head, *(_study_row(study, now or datetime.now(UTC)) for study in studies)]
    lines = [table(rows, right=range(4, 10))] if studies else []
    return "\n".join([*lines, *problems])


def _study_row(study: StoredStudy, now: datetime) -> tuple[str, ...]:
    counts, about = study.counts, study.description.about
    ended = len(study.trials) - counts["running"]
    return (
        study.short,
        study.name,
        about.backbone or "-",
        about.engine,
        f"{ended}/{study.experiment.max_trials}",
        *(str(counts[status]) for status in ("succeeded", "failed", "pruned")),
        str(counts["running"] if study.state == "running" else 0),
        number(_best_score(study)),
        study.state,
        span((now - study.started_at).total_seconds()) if study.started_at else "-",
    )


def study_text(study: StoredStudy) -> str:
    """One study: what it searches, its state, and its leading trials."""
    experiment, about, counts = study.experiment, study.description.about, study.counts
    objective, stopping = experiment.objective, experiment.early_stopping
    goal = "" if objective.goal is None else f", goal {number(objective.goal)}"
    facts = {
        "study": f"{study.name}  ({study.place})",
        "from": about.source or f"backbone {about.backbone}",
        "engine": about.engine + "".join(f", {owner}" for owner in study.owners),
        "objective": f"{objective.direction} {objective.metric}{goal}",
        "algorithm": f"{experiment.algorithm.name}{_settings(experiment.algorithm.settings)}, seed {experiment.seed}",
        "stopping": f"{stopping.name}{_settings(stopping.settings)}",
        "state": f"{study.state}: {len(study.trials) - counts['running']} of {experiment.max_trials} trials ended, "
        + ", ".join(f"{counts[status]} {status}" for status in ("succeeded", "failed", "pruned"))
        + (
            f", {counts['running']} {'running' if study.state == 'running' else 'cut off'}" if counts["running"] else ""
        ),
    }
    lines = [f"{name:<10} {text}" for name, text in facts.items()]
    searched = [
        (name, parameter_text(parameter), _conditions(parameter))
        for name, parameter in experiment.space.parameters.items()
    ]
    lines += ["", table([("PARAMETER", "SEARCHED", ""), *searched])]
    return "\n".join([*lines, "", _leaderboard(study)])


def _conditions(parameter: AnyParameter) -> str:
    return " and ".join(
        f"where {parent} is {' or '.join(map(value_text, values))}" for parent, values in parameter.when.items()
    )


def _leaderboard(study: StoredStudy) -> str:
    sign = -1.0 if study.experiment.objective.direction == "maximize" else 1.0
    scored = [trial for trial in study.trials if trial.status == "succeeded" and trial.score is not None]
    scored.sort(key=lambda trial: (sign * (trial.score or 0.0), trial.number))
    running = [trial for trial in study.trials if trial.status == "running"]
    others = [trial for trial in study.trials if trial.status in ("failed", "pruned")]
    shown = [*scored[:_SHOWN], *others[: max(0, _SHOWN - len(scored))], *running]
    head = ("TRIAL", "STATUS", "SCORE", "FOLDS", *study.experiment.space.parameters)
    text = table([head, *(_trial_row(trial, study) for trial in shown)], right=(0, 2, 3, *range(4, len(head))))
    left = len(study.trials) - len(shown)
    return text + (f"\nand {left} more; `podium hpo export {study.short}` has all" if left else "")


def _trial_row(trial: TrialRecord, study: StoredStudy) -> tuple[str, ...]:
    params = (trial.params.get(name) for name in study.experiment.space.parameters)
    folds = str(len(trial.fold_scores)) if trial.fold_scores else "-"
    status = "cut off" if trial.status == "running" and study.state != "running" else trial.status
    return (str(trial.number), status, number(trial.score), folds, *(value_text(value) for value in params))


def best_facts(study: StoredStudy) -> dict[str, Any]:
    """The best trial of a study as JSON values.

    `overrides` are the config values that train with its params; absent where params are no training fields, as
    those of a Katib file. `spread` is the standard deviation of the fold scores.

    Raises:
        StudyFailed: no trial succeeded yet.
    """
    try:
        best = study.best
    except StudyFailed as error:
        raise StudyFailed(f"study {study.name} ({study.short}, {study.state}) has no best trial: {error}") from error
    objective = study.experiment.objective
    folds = list(best.fold_scores.values())
    facts: dict[str, Any] = {
        "study": study.place,
        "name": study.name,
        "metric": objective.metric,
        "direction": objective.direction,
        "trial": best.number,
        "of_trials": len(study.trials),
        "state": study.state,
        "score": best.score,
        "fold_scores": dict(best.fold_scores),
        "spread": statistics.stdev(folds) if len(folds) > 1 else None,
        "metrics": _metrics(best, objective),
        "params": dict(best.params),
    }
    if study.description.about.backbone:
        facts["backbone"] = study.description.about.backbone
        facts["overrides"] = [f"training.{name}={value_text(value, 17)}" for name, value in best.params.items()]
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
    metrics = [(name, number(value)) for name, value in facts["metrics"].items()]
    if metrics:
        lines += ["", table([("METRIC", "VALUE"), *metrics], right=(1,))]
    if "overrides" in facts:
        lines += [
            "",
            "`podium run` refits this trial. To train with its values elsewhere:",
            " ".join(facts["overrides"]),
        ]
    return "\n".join(lines)


def _metrics(trial: TrialRecord, objective: Objective) -> dict[str, float]:
    """The metrics that were collected, or else their means over the folds."""
    if trial.metrics:
        return collected(trial, objective)
    names = dict.fromkeys(name for metrics in trial.fold_metrics.values() for name in metrics)
    return {
        name: statistics.fmean(metrics[name] for metrics in trial.fold_metrics.values() if name in metrics)
        for name in names
    }


def importance_text(study: StoredStudy, shares: Mapping[str, float]) -> str:
    """The share of each parameter in the variation of the score, the largest first."""
    rows = [("PARAMETER", "IMPORTANCE", "")]
    for name, share in sorted(shares.items(), key=lambda item: (-item[1], item[0])):
        rows.append((name, f"{share:.1%}", "█" * round(share * 30)))
    counted = study.counts["succeeded"]
    return (
        f"{study.name}: share of the variation of {study.experiment.objective.metric} over {counted} trials\n"
        + table(rows, right=(1,))
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
    return (repr(value) if digits >= 17 else f"{value:.{digits}g}") if isinstance(value, float) else str(value)


def span(seconds: float) -> str:
    """A time span in its largest unit, rounded down."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{math.floor(seconds / size)} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{math.floor(seconds)} s"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as aligned columns, the first row being the heading; columns whose numbers are in `right` align right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _best_score(study: StoredStudy) -> float | None:
    return study.best.score if study.counts["succeeded"] else None


def _settings(settings: Section) -> str:
    given = [f"{name}={value_text(value)}" for name, value in settings.model_dump(exclude_none=True).items()]
    return f" ({', '.join(given)})" if given else ""
