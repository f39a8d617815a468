"""What the templates show that the records do not hold as such."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from podium.config.schema import PodiumConfig
from podium.display import numbers as text
from podium.errors import InputError
from podium.hpo.experiment import Experiment
from podium.keys import digest_manifest
from podium.records import (
    DataRecord,
    LeaderboardEntry,
    Measurement,
    ModelRecord,
    Reason,
    Record,
    StudyRecord,
    TrialRecord,
)
from podium.report import charts, search_charts
from podium.report.choice import ChoiceView, choice_view
from podium.report.inputs import ReportInputs
from podium.report.measured import Measured, measured
from podium.report.standing import FoldFinding, Standing, fold_findings, standings
from podium.report.tradeoffs import Tradeoffs, tradeoffs
from podium.selection import decision as verdicts

MATRIX_LIMIT = 30
"""A confusion matrix of more labels is replaced by the most frequent confusions."""
SHOWN_CONFUSIONS = 10
SHOWN_SOURCES = 10
_LEAST_CHARTED = 2
BRIEFLY = {
    verdicts.NO_INCUMBENT: "It is the first model to be promoted here.",
    verdicts.ALREADY_CHAMPION: "It is the incumbent itself, so nothing changes.",
    verdicts.FORCED: "Its promotion was forced.",
    verdicts.BETTER: "It is measurably better than the incumbent.",
    verdicts.WORSE: "It is measurably worse than the incumbent, which stays.",
    verdicts.NOT_BETTER: "It is not shown to be better than the incumbent, which stays.",
    verdicts.GAIN_TOO_SMALL: "It is better than the incumbent, but not by what is asked for, so the incumbent stays.",
    verdicts.TOO_FEW_ROWS: "There are too few held-out rows to promote anything on.",
    verdicts.TOO_FEW_TRIALS: "Its search was too short to promote anything on.",
    verdicts.WORSE_THAN_BASELINE: "It is worse than a baseline.",
    verdicts.BASELINE_NOT_BEATEN: "It is not shown to beat every baseline.",
    verdicts.ROLLED_BACK: "It was rolled back before, so it is not promoted again.",
    verdicts.CHEAPER: "It is not shown to be worse than the incumbent, and costs less.",
    verdicts.INCUMBENT_BREAKS: "It is not shown to be worse than the incumbent, which breaks a constraint.",
    verdicts.NOT_COMPARABLE: "It cannot be compared with the incumbent, which stays.",
}
"""The verdict in one sentence, by the code of its reason."""


@dataclass(frozen=True)
class Cell:
    """A count of a confusion matrix and its share of the row."""

    count: int
    share: float


@dataclass(frozen=True)
class Confusion:
    """Rows of one label that were given another one."""

    true: str
    predicted: str
    count: int
    of: int


@dataclass(frozen=True)
class ChampionView:
    """What one champion gets right and wrong; `scores` are rows of precision, recall, F1 and support by name."""

    entry: LeaderboardEntry
    model: ModelRecord | None
    measurements: Sequence[Measurement]
    is_winner: bool
    labels: Sequence[str]
    matrix: Sequence[tuple[str, Sequence[Cell]]]
    confusions: Sequence[Confusion]
    scores: Mapping[str, Mapping[str, float]]
    scores_of: str


@dataclass(frozen=True)
class StudyView:
    """One study: its history, and what its parameters do to the score.

    Attributes:
        spreads: standard deviation of the fold scores, by number of the trial; of trials with two folds or more.
        slices: None without two scored trials; likewise `parallel`.
        importance: share of the score's variation by parameter, the largest first; empty where it cannot be told.
        absent: why a part is not shown.
    """

    study: StudyRecord
    chart: search_charts.HistoryChart
    trials: Sequence[TrialRecord]
    params: Sequence[str]
    folds: Sequence[str]
    counts: Mapping[str, int]
    spreads: Mapping[int, float]
    slices: search_charts.SliceChart | None
    parallel: search_charts.ParallelChart | None
    importance: Sequence[tuple[str, float]]
    absent: Sequence[str]


@dataclass(frozen=True)
class Step:
    """One step of the lineage."""

    name: str
    record: Record


@dataclass(frozen=True)
class View:
    """Everything a report shows.

    Attributes:
        replay: the command that makes the decision again.
    """

    given: ReportInputs
    title: str
    reasons: Sequence[Reason]
    briefly: str
    winner: LeaderboardEntry | None
    measurement: Measurement | None
    champions: Sequence[ChampionView]
    studies: Sequence[StudyView]
    leaderboard_chart: charts.RangeChart | None
    comparison_chart: charts.RangeChart | None
    latency_chart: charts.RangeChart | None
    measured: Measured
    tradeoffs: Tradeoffs
    standings: Sequence[Standing]
    fold_findings: Sequence[FoldFinding]
    choice: ChoiceView
    replay: str
    sources: Sequence[tuple[str, str]]
    sources_digest: str
    shown_sources: int
    splits: Sequence[str]
    label_rows: Sequence[tuple[str, Sequence[int]]]
    steps: Sequence[Step]
    key_names: Mapping[str, str]
    seconds: float
    config: str
    command: str


def view_of(given: ReportInputs) -> View:
    """Arrange the records of a run for the templates."""
    entries, measurements = given.selection.leaderboard, given.benchmark.measurements
    steps = _steps(given)
    reasons = sorted(dict.fromkeys(given.decision.reasons), key=lambda reason: reason.code not in BRIEFLY)
    splits = tuple(given.data.rows)
    return View(
        given=given,
        title=f"{given.data.name}: which model do I ship?",
        reasons=reasons,
        briefly=next((BRIEFLY[reason.code] for reason in reasons if reason.code in BRIEFLY), ""),
        winner=given.winner,
        measurement=given.winner_measurement,
        champions=[_champion(entry, given) for entry in entries],
        studies=[_study(study, given.run.config) for study in given.studies],
        leaderboard_chart=charts.leaderboard_chart(entries, given.selection.baselines, given.selection.metric)
        if entries
        else None,
        comparison_chart=charts.comparison_chart(given.selection.comparisons) if given.selection.comparisons else None,
        latency_chart=charts.latency_chart(measurements) if measurements else None,
        measured=measured(given),
        tradeoffs=tradeoffs(given),
        standings=standings(given.selection),
        fold_findings=fold_findings(given.selection),
        choice=choice_view(given),
        replay=_replay(given),
        sources=[(text.without_credentials(name), digest) for name, digest in sorted(given.data.sources.items())],
        sources_digest=digest_manifest(given.data.sources),
        shown_sources=SHOWN_SOURCES,
        splits=splits,
        label_rows=_label_rows(given.data, splits),
        steps=steps,
        key_names={step.record.key: step.name for step in steps if step.record.key},
        seconds=sum(step.record.seconds for step in steps),
        config=text.without_credentials(yaml.safe_dump(given.run.config.model_dump(mode="json"), sort_keys=False)),
        command=text.without_credentials(given.command),
    )


def _champion(entry: LeaderboardEntry, given: ReportInputs) -> ChampionView:
    model = given.model_of(entry)
    details: Mapping[str, Any] = model.details if model else {}
    labels, confusion = details.get("labels", []), details.get("confusion", [])
    of_entities = "per_entity" in details
    return ChampionView(
        entry=entry,
        model=model,
        measurements=given.measurements_of(entry),
        is_winner=entry is given.winner,
        labels=labels,
        matrix=_matrix(labels, confusion) if len(labels) <= MATRIX_LIMIT else (),
        confusions=_confusions(labels, confusion),
        scores=details.get("per_entity" if of_entities else "per_label", {}),
        scores_of="Entity" if of_entities else "Label",
    )


def _matrix(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[tuple[str, list[Cell]]]:
    return [
        (label, [Cell(count, count / (sum(row) or 1)) for count in row])
        for label, row in zip(labels, confusion, strict=True)
    ]


def _confusions(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[Confusion]:
    found = [
        Confusion(labels[true], labels[predicted], count, sum(row))
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    found.sort(key=lambda one: (-one.count, one.true, one.predicted))
    return found[:SHOWN_CONFUSIONS]


def _study(study: StudyRecord, config: PodiumConfig) -> StudyView:
    trials = sorted(study.trials, key=lambda trial: trial.number)
    experiment = Experiment.from_config(study.backbone, config.hpo, study.metric, config.seed, cores=1)
    shares, absent = _importance(experiment, trials)
    charted = len([trial for trial in trials if trial.score is not None]) >= _LEAST_CHARTED
    if not charted:
        absent.append(f"Charts of the parameters need {_LEAST_CHARTED} trials with a score.")
    return StudyView(
        study=study,
        chart=search_charts.history_chart(study),
        trials=trials,
        params=sorted({name for trial in trials for name in trial.params}),
        folds=sorted({fold for trial in trials for fold in trial.fold_scores}, key=lambda fold: (len(fold), fold)),
        counts=Counter(trial.status for trial in trials),
        spreads={
            trial.number: statistics.stdev(trial.fold_scores.values()) for trial in trials if len(trial.fold_scores) > 1
        },
        slices=search_charts.slice_chart(study, experiment.space) if charted else None,
        parallel=search_charts.parallel_chart(study, experiment.space) if charted else None,
        importance=shares,
        absent=absent,
    )


def _importance(experiment: Experiment, trials: Sequence[TrialRecord]) -> tuple[list[tuple[str, float]], list[str]]:
    from podium.hpo.suggest.importance import importance

    try:
        shares = importance(experiment, trials)
    except InputError as error:
        return [], [f"{str(error)[:1].upper()}{str(error)[1:]}."]
    return sorted(shares.items(), key=lambda item: (-item[1], item[0])), []


def _replay(given: ReportInputs) -> str:
    """The command that makes the decision again."""
    store = f" --store {shlex.quote(given.run.config.store)}" if given.run.config.store else ""
    return text.without_credentials(f"podium replay {text.short(given.decision.key)}{store}")


def _label_rows(data: DataRecord, splits: Sequence[str]) -> list[tuple[str, list[int]]]:
    named = sorted({label for counts in data.label_counts.values() for label in counts})
    order = [label for label in data.labels if label in named] + [label for label in named if label not in data.labels]
    return [(label, [data.label_counts.get(split, {}).get(label, 0) for split in splits]) for label in order]


def _steps(given: ReportInputs) -> list[Step]:
    return [
        Step("prepare", given.data),
        *(Step(f"hpo {study.backbone}", study) for study in given.studies),
        *(Step(f"refit {model.backbone}", model) for model in given.models),
        Step("select", given.selection),
        Step("benchmark", given.benchmark),
        Step("decide", given.decision),
    ]
