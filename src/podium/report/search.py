"""The section `Search for hyperparameters`: each study's history, and what its parameters do to the score."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

from podium.config.entrants import search_of
from podium.config.parameters import AnyParameter, IntParameter
from podium.config.schema import PodiumConfig
from podium.display import numbers
from podium.display.blocks import Block, Cell, Columns, Row, Section, Table, Text
from podium.display.charts import LOW_HEIGHT, Axis, Coordinate, Line, Mark, ParallelChart, Path, Plot, PlotChart, Tick
from podium.errors import InputError
from podium.hpo.experiment import Experiment, Space
from podium.records import Scalar, StudyRecord, TrialRecord, TrialStatus
from podium.report.inputs import ReportInputs

_LEAST_CHARTED = 2
_MOST_PATHS = 100
"""Trials of a parallel coordinates chart; the best ones are kept."""
_MOST_LABELS = 12
_TICKS, _CHOICES = 4, 6
"""Labelled values of a range, and labelled choices."""
_OPEN_TRIALS = 10
"""A table of more trials is folded away."""
_ENDS: dict[TrialStatus, str] = {"pruned": "stopped early", "failed": "failed"}
_STYLES = {"succeeded": "first", "pruned": "pruned", "failed": "failed", "running": "failed"}


def search_section(given: ReportInputs) -> Section:
    """A study per entrant, and below them the tables of all trials."""
    lead = (
        "Every trial is a cross-validation on the development rows; its score is the mean of the folds, its spread "
        "their standard deviation."
    )
    if (share := given.run.config.hpo.data_fraction) < 1:
        lead += f" Each fold trained on {share:.0%} of its rows, where the champion trained on all."
    studies = [_study(study, given.run.config) for study in given.studies]
    tables = [_trials(study) for study in given.studies]
    return Section("Search for hyperparameters", [Text(lead, "muted"), Columns(studies), *tables])


def _study(study: StudyRecord, config: PodiumConfig) -> Section:
    search = search_of(config, study.entrant)
    experiment = Experiment.from_config(study.entrant, search, study.metric, config.seed, cores=1)
    blocks: list[Block] = [Text(_outcome(study)), history_chart(study)]
    absent = []
    try:
        blocks.append(_importance(experiment, study))
    except InputError as error:
        absent.append(Text(f"{str(error)[:1].upper()}{str(error)[1:]}.", "small"))
    if len(_scored(study)) >= _LEAST_CHARTED:
        left_out = len(_scored(study)) - _MOST_PATHS
        worst = f"; the {left_out} worst trials are left out" if left_out > 0 else ""
        blocks += [
            Text(f"Each line is a trial, from its parameters to its score{worst}.", "small"),
            parallel_chart(study, experiment.space),
            Text("The score against each parameter.", "small"),
            slice_chart(study, experiment.space),
        ]
    else:
        absent.append(Text(f"Charts of the parameters need {_LEAST_CHARTED} trials with a score.", "small"))
    return Section(study.entrant, [*blocks, *absent])


def _outcome(study: StudyRecord) -> str:
    counts, best = Counter(trial.status for trial in study.trials), study.best_trial
    others = [f", {counts[status]} {_ENDS[status]}" for status in _ENDS if counts[status]]
    params = _params(best)
    return (
        f"{counts['succeeded']} of {len(study.trials)} trials finished{''.join(others)}; best: trial {study.best} with "
        f"{numbers.metric_name(study.metric)} {numbers.score(best.score)}{f': {params}' if params else ''}."
    )


def _params(trial: TrialRecord) -> str:
    return ", ".join(f"{numbers.field_name(k)} {numbers.parameter(v)}" for k, v in trial.params.items())


def _importance(experiment: Experiment, study: StudyRecord) -> Table:
    """The share of the score's variation that each parameter explains, the largest first.

    Raises:
        InputError: the trials are too few or too alike.
    """
    from podium.hpo.suggest.optuna_samplers import importance

    shares = importance(experiment, sorted(study.trials, key=lambda trial: trial.number))
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    best = study.best_trial.params
    rows = [
        (numbers.field_name(name), numbers.parameter(best.get(name)), Cell(f"{share:.0%}", share=share))
        for name, share in ordered
    ]
    columns = ("Parameter", "Best value", "Importance")
    caption = "Importance: the share of the score's variation that a parameter explains."
    return Table(f"Parameter importance of {study.entrant}", columns, "lrr", rows, caption, style="tight")


def _trials(study: StudyRecord) -> Section:
    trials = sorted(study.trials, key=lambda trial: trial.number)
    params = sorted({name for trial in trials for name in trial.params})
    folds = sorted({fold for trial in trials for fold in trial.fold_scores}, key=lambda fold: (len(fold), fold))

    def row(trial: TrialRecord) -> Row:
        scores, seconds = trial.fold_scores.values(), trial.fold_seconds.values()
        ended = f"{trial.status}: {trial.error[:200]}" if trial.error else trial.status
        cells: tuple[Cell | str, ...] = (
            *(str(trial.number), numbers.score(trial.score)),
            numbers.score(statistics.stdev(scores) if len(scores) > 1 else None),
            *(numbers.parameter(trial.params.get(name)) for name in params),
            *(numbers.score(trial.fold_scores.get(fold)) for fold in folds),
            numbers.duration(sum(seconds)) if seconds else numbers.MISSING,
            Cell(ended, style="wide" if trial.error else ""),
        )
        return Row(cells, "★" if trial.number == study.best else "")

    columns = (
        *("Trial", "Score", "Spread", *(numbers.field_name(name) for name in params)),
        *(*(f"Fold {fold}" for fold in folds), "Time", "Status"),
    )
    label = f"Trials of {study.entrant}"
    table = Table(label, columns, "r" * (len(columns) - 1) + "l", [row(trial) for trial in trials])
    return Section(f"All trials of {study.entrant}", [table], "open" if len(trials) <= _OPEN_TRIALS else "closed")


def _scored(study: StudyRecord) -> list[TrialRecord]:
    return [trial for trial in study.trials if trial.score is not None and trial.status in ("succeeded", "pruned")]


def _style(trial: TrialRecord, best: int) -> str:
    return "best" if trial.number == best else _STYLES[trial.status]


def _legend(styles: set[str], **labels: str) -> tuple[tuple[str, str], ...]:
    """What each style means that was drawn."""
    known = {"best": "best trial", "steps": "best so far", "pruned": "stopped early", "failed": "failed"}
    return tuple((style, label) for style, label in {**labels, **known}.items() if style in styles)


def history_chart(study: StudyRecord) -> PlotChart:
    """Score by trial of one study, with the spread of the folds and the best score so far."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    better = max if study.direction == "maximize" else min
    points: list[tuple[float, float]] = []
    values: list[float] = []
    marks = []
    for place, trial in enumerate(trials):
        if points:
            points.append((place, points[-1][1]))
        if trial.score is None:
            marks.append(Mark(place, None, _style(trial, study.best), f"trial {trial.number}: {trial.status}"))
            continue
        own = (trial.score, *trial.fold_scores.values())
        values += own
        marks.append(Mark(place, trial.score, _style(trial, study.best), _title(trial), min(own), max(own)))
        if trial.status == "succeeded" and (not points or better(trial.score, points[-1][1]) != points[-1][1]):
            points.append((place, trial.score))
    every = max(1, math.ceil(len(trials) / _MOST_LABELS))
    ticks = tuple(Tick(place, str(trial.number)) for place, trial in enumerate(trials))[::every]
    across = Axis(0, max(1, len(trials) - 1), ticks)
    counts = Counter(trial.status for trial in trials)
    pruned = f" and {counts['pruned']} that were stopped early" if counts["pruned"] else ""
    alt = (
        f"{numbers.metric_name(study.metric)} of {counts['succeeded']} finished trials of {study.entrant}{pruned}; "
        f"the best is trial {study.best} with {numbers.score(study.best_trial.score)}"
    )
    legend = _legend({"steps", *(mark.style for mark in marks)}, first="trial, with the spread of its folds")
    plot = Plot("", across, Axis.over(values), (Line("steps", tuple(points)),), tuple(marks))
    return PlotChart(alt, (plot,), legend)


def _title(trial: TrialRecord) -> str:
    early = " when it was stopped early" if trial.status == "pruned" else ""
    return f"trial {trial.number}: {numbers.score(trial.score)}{early}"


def slice_chart(study: StudyRecord, space: Space) -> PlotChart:
    """Score against each parameter, of the trials that have both; at least one trial has a score."""
    trials = sorted(_scored(study), key=lambda trial: trial.number == study.best)
    up = Axis.over((trial.score for trial in trials if trial.score is not None), most=_TICKS)
    plots, names = [], [numbers.field_name(name) for name in space.parameters]
    for title, (name, parameter) in zip(names, space.parameters.items(), strict=True):
        number, across = parameter_axis(parameter, margin=0.5)
        marks = tuple(
            Mark(number(trial.params[name]), trial.score, _style(trial, study.best), _title(trial))
            for trial in trials
            if name in trial.params
        )
        plots.append(Plot(f"{title} (log)" if across.log else title, across, up, marks=marks, height=LOW_HEIGHT))
    alt = (
        f"{numbers.metric_name(study.metric)} of the trials of {study.entrant} against {', '.join(names)}; the table "
        "of all trials has figures"
    )
    legend = _legend({mark.style for plot in plots for mark in plot.marks}, first="trial")
    return PlotChart(alt, tuple(plots), legend)


def parallel_chart(study: StudyRecord, space: Space) -> ParallelChart:
    """Parallel coordinates of the best trials that have a score, drawn from the worst to the best.

    An axis is labelled at its ends and, for a few choices, between them.
    """
    sign = 1.0 if study.direction == "maximize" else -1.0
    ranked = sorted(_scored(study), key=lambda trial: (trial.number == study.best, sign * (trial.score or 0.0)))
    kept = ranked[-_MOST_PATHS:]
    coordinates, places = [], {}
    for name, parameter in space.parameters.items():
        places[name], axis = parameter_axis(parameter)
        choices = getattr(parameter, "choices", ())
        between = axis.ticks[1:-1] if 0 < len(choices) <= _CHOICES else ()
        bottom, top = (choices[0], choices[-1]) if choices else (axis.low, axis.high)
        bare = Axis(axis.low, axis.high, between, axis.log)
        coordinates.append(Coordinate(numbers.field_name(name), bare, _label(bottom), _label(top)))
    up = Axis.over(trial.score for trial in kept if trial.score is not None)
    ends = (up.ticks[0].label, up.ticks[-1].label)
    coordinates.append(Coordinate(numbers.metric_name(study.metric), Axis(up.low, up.high), *ends))
    paths = tuple(
        Path(
            (
                *(place(trial.params[name]) if name in trial.params else None for name, place in places.items()),
                trial.score,
            ),
            _style(trial, study.best),
            1.0 if trial.number == study.best else round(0.15 + 0.55 * rank / len(kept), 2),
            f"trial {trial.number}: {numbers.score(trial.score)}",
        )
        for rank, trial in enumerate(kept, start=1)
    )
    best = _params(study.best_trial)
    alt = f"Parallel coordinates of {len(kept)} trials of {study.entrant}; the best one has {best}"
    legend = _legend({path.style for path in paths}, first="trial, the better the stronger")
    return ParallelChart(alt, tuple(coordinates), paths, legend)


def parameter_axis(parameter: AnyParameter, margin: float = 0.0) -> tuple[Callable[[Scalar], float], Axis]:
    """What makes a number of a parameter's value, and the axis of these numbers with a few labelled ones.

    The choices of a categorical parameter are numbered; `margin` keeps them away from the ends of the axis.
    """
    if choices := getattr(parameter, "choices", ()):
        every = math.ceil(len(choices) / _CHOICES)
        ticks = tuple(Tick(number, _label(choice)) for number, choice in enumerate(choices))[::every]
        axis = Axis(-margin, len(choices) - 1 + margin, ticks)
        return lambda value: choices.index(parameter.normalise(value)), axis
    low, high = float(getattr(parameter, "low")), float(getattr(parameter, "high"))  # noqa: B009
    log = bool(getattr(parameter, "log", False))
    values = _round_values(low, high, log=log, whole=isinstance(parameter, IntParameter))
    every = math.ceil(len(values) / _TICKS)
    return float, Axis(low, high, tuple(Tick(value, _label(value)) for value in values[::every]), log)


def _round_values(low: float, high: float, *, log: bool, whole: bool) -> list[float]:
    if low == high:
        return [low]
    if log:
        powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        return [10.0**power for power in powers] if len(powers) > 1 else [low, high]
    for most in (_TICKS - 1, 2 * _TICKS):
        values = [tick.value for tick in Axis.over((low, high), most).ticks if low <= tick.value <= high]
        values = [value for value in values if not whole or value.is_integer()]
        if len(values) > 1:
            return values
    return [low, high]


def _label(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value) or "(empty)"
