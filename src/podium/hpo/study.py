"""Running a study with any engine, and its best trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podium.errors import ConfigError, StudyFailed
from podium.events import emit
from podium.hpo.description import StudyAbout, StudyDescription
from podium.hpo.engines.base import Engine, OnTrial
from podium.hpo.experiment import Direction, Experiment, Objective
from podium.hpo.ledger import TrialLedger
from podium.hpo.progress import Progress
from podium.records import TrialRecord
from podium.text import shortened

_NAMED_ERRORS = 5
"""How many failed trials a message names; the ledger has all."""


def run_study(
    experiment: Experiment,
    ledger: TrialLedger,
    engine: Engine,
    on_trial: OnTrial | None = None,
    about: StudyAbout | None = None,
) -> tuple[TrialRecord, ...]:
    """Run or resume a study until its goal or budget is reached.

    A study that is already over starts nothing. The caller holds the study's lease. Emits `study_started` (name,
    objective, budget, how many trials were found ended) and, for every trial that ended, `trial_finished` (number,
    params, status, score, error, metric, metrics, best score so far, whether an earlier session ended it).

    Args:
        experiment: what to search.
        ledger: of this study; trials it holds are kept and count.
        engine: runs the trials that are missing.
        on_trial: called with every trial that ended: first those found in the ledger, so that a consumer killed
            between a trial and its call catches up, then each new one as it ends. It must tolerate repeated calls.
        about: where the study comes from; with the experiment it becomes the ledger's description of the study.

    Returns:
        The trials that ended, by number. At least one succeeded.

    Raises:
        StudyFailed: more than `max_failed_trials` failed, or none succeeded; the message names their errors.
        ConfigError: the ledger holds a trial that lies outside the space: it belongs to another study.
    """
    found = ledger.trials()
    for trial in found:
        try:
            experiment.space.normalise(trial.params)
        except ConfigError as error:
            raise ConfigError(
                f"trial {trial.number} of the ledger does not belong to study {experiment.name}: {error}"
            ) from error
    announce = _announcer(experiment, on_trial)
    ended = [trial for trial in found if trial.status != "running"]
    objective = experiment.objective
    emit(
        "study_started",
        name=experiment.name,
        metric=objective.metric,
        direction=objective.direction,
        goal=objective.goal,
        additional_metrics=objective.additional_metrics,
        max_trials=experiment.max_trials,
        found=len(ended),
    )
    for trial in ended:
        emit("trial_started", number=trial.number, params=trial.params, found=True)
        announce(trial, True)
    ledger.describe(StudyDescription(experiment=experiment, about=about or StudyAbout()).to_json())
    if Progress(experiment, found).outcome is None:
        engine.run(experiment, ledger, announce)
    trials = ledger.finished()
    progress = Progress(experiment, trials)
    if progress.outcome == "failures":
        raise StudyFailed(
            f"study {experiment.name}: at most max_failed_trials={experiment.max_failed_trials} trials may fail, but "
            f"{progress.failed} of {progress.ended} did: {_errors(trials)}. Correct the cause and run with "
            "run_mode=force_new, or raise hpo.max_failed_trials to go on from here"
        )
    best_trial(trials, experiment.objective.direction)
    return trials


def _announcer(experiment: Experiment, on_trial: OnTrial | None) -> Callable[..., None]:
    """A function that emits the event of a trial that ended and calls the listener."""
    objective = experiment.objective
    best: float | None = None

    def announce(trial: TrialRecord, found: bool = False) -> None:
        nonlocal best
        if trial.status == "succeeded" and trial.score is not None:
            best = trial.score if best is None or objective.better(trial.score, best) else best
        emit(
            "trial_finished",
            number=trial.number,
            params=trial.params,
            status=trial.status,
            score=trial.score,
            error=trial.error,
            metric=objective.metric,
            metrics=collected(trial, objective),
            best=best,
            found=found,
        )
        if on_trial is not None:
            on_trial(trial)

    return announce


def best_trial(trials: Sequence[TrialRecord], direction: Direction) -> TrialRecord:
    """The succeeded trial with the best score; of equals the one with the lowest number.

    Raises:
        StudyFailed: no trial succeeded; the message names the errors.
    """
    scores = [(trial.score, trial) for trial in trials if trial.status == "succeeded" and trial.score is not None]
    if not scores:
        raise StudyFailed(
            f"a study needs at least one succeeded trial, but none of {len(trials)} did: {_errors(trials)}"
        )
    sign = -1.0 if direction == "maximize" else 1.0
    return min(scores, key=lambda item: (sign * item[0], item[1].number))[1]


def collected(trial: TrialRecord, objective: Objective) -> dict[str, float]:
    """One value of every metric of a trial: by the objective's strategy, or else the latest."""
    return {name: getattr(seen, objective.strategies.get(name, "latest")) for name, seen in trial.metrics.items()}


def _errors(trials: Sequence[TrialRecord]) -> str:
    failed = [f"trial {trial.number}: {trial.error}" for trial in trials if trial.status == "failed"]
    return shortened(failed, _NAMED_ERRORS, separator="; ") or "no trial failed either"
