"""Step `hpo`: the study of one entrant, and the finished studies whose trials it learns from before its own."""

from __future__ import annotations

import math
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from podium.config.entrants import ENTRANTS, search_of
from podium.config.schema import PodiumConfig
from podium.devices.hardware import available_cores
from podium.errors import ConfigError, InputError
from podium.hpo.experiment import Experiment, Progress
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import LEDGERS, StudyAbout, best_trial, run_study, try_again
from podium.records import ArtifactRef, DataRecord, RunRecord, StudyRecord, TrialRecord
from podium.stages.keys import Prior, family_key
from podium.stages.step import StepRun
from podium.store.explain import differences
from podium.store.store import ArtifactStore
from podium.text import shortened

if TYPE_CHECKING:
    from podium.execution.workers import WorkerPool
    from podium.hpo.trial import CrossValidationTrial

MAIN = "main"
"""Name of a study's ledger, unless the study was begun anew with `run_mode=force_new`."""
_SHOWN = 5


def is_complete(run: RunRecord, study: StudyRecord) -> bool:
    """Whether a stored study satisfies the goal and budget of this run, or had as much time as this run gives it."""
    over = Progress(experiment_of(run.config, study.entrant), study.trials).outcome is not None
    limit = run.config.hpo.timeout_seconds
    return over or (limit is not None and study.timeout_seconds is not None and limit <= study.timeout_seconds)


def experiment_of(config: PodiumConfig, entrant: str) -> Experiment:
    """The neutral description of one entrant's search."""
    name = f"{config.dataset.name}-{entrant}"
    return Experiment.from_config(name, search_of(config, entrant), config.hpo.metric, config.seed, available_cores())


def compute(step: StepRun) -> StudyRecord:
    """Search the hyperparameters of one entrant, or go on with the study that exists.

    A stored study with fewer trials than the budget is extended from its ledger; finished trials are never
    repeated, and failed ones only where the study itself failed. With `run_mode=force_new` a ledger of its own is
    begun.

    Raises:
        ModelError: the entrant does not fit the task.
        StudyFailed: too many trials failed.
    """
    from podium.execution.failures import Purpose
    from podium.execution.workers import WorkerPool
    from podium.hpo.engines import EmbeddedEngine
    from podium.hpo.trial import BestTrialFiles, CrossValidationTrial
    from podium.stages.train import training_spec

    config, data, entrant, hpo = step.config, step.one(DataRecord), step.entrant, step.config.hpo
    stored = step.store.get(StudyRecord, step.key.digest)
    ledger_name = step.run.run_id if config.run_mode == "force_new" else stored.ledger if stored else MAIN
    experiment = experiment_of(config, entrant)
    direction, prefix = experiment.objective.direction, f"{LEDGERS}/{step.key.digest}/{ledger_name}"
    ledger = TrialLedger(step.store.documents(prefix))
    work = step.store.cache(f"trials-{step.key.digest}-{ledger_name}")
    logs = (step.directory or work) / "trials"
    kind = ENTRANTS.get(config.entrants[entrant].kind)
    settings = kind.settings_in(config, trial=True)
    own = {"keep_model": hpo.fold_models == "best", "data_fraction": hpo.data_fraction}
    spec = training_spec(step, settings, work, getattr(settings, "threads", None) or 1, **own)
    trial = CrossValidationTrial(spec, data.folds, hpo.early_stopping.name != "none", hpo.parallel_folds)
    files = BestTrialFiles(trial, ledger, direction)

    def track(record: TrialRecord) -> None:
        step.tracker.log_trial(step.mlflow_run_id, record)
        files.ended(record)

    _log_search(step)
    family = family_key(config, data, entrant).digest
    about = StudyAbout(engine=hpo.engine, entrant=entrant, section=kind.section, family=family)
    artifacts: dict[str, ArtifactRef] = {}
    if hpo.engine == "katib":
        from podium.stages.on_cluster import katib_engine

        trials = run_study(experiment, ledger, katib_engine(step, trial, prefix), track, about)
        best = best_trial(trials, direction)
    else:
        purpose = Purpose("the trial", kind.memory_advice)
        preload = (*kind.preload, CrossValidationTrial.__module__, "podium.store.store")
        with WorkerPool(experiment.parallel_trials, spec.threads, preload, purpose) as pool:
            # In a worker, which has the libraries loaded; loading them here as well would cost seconds.
            pool.submit(kind.check, spec, log=logs / "entrant.txt").wait()
            prior = prior_trials(step.store, config, data, entrant)
            known = tuple(trial for trials in prior.values() for trial in trials)
            try_again(experiment, ledger)
            engine = EmbeddedEngine(
                trial, pool, logs, known, _deadline(step), {"entrant": entrant, "folds": data.folds}
            )
            trials = run_study(experiment, ledger, engine, track, about)
            best = best_trial(trials, direction)
            if stored is not None and (stored.ledger, stored.best) == (ledger_name, best.number):
                artifacts = stored.artifacts
            elif spec.keep_model:
                artifacts = _fold_models(step, trial, best, pool, logs)
    shutil.rmtree(work)
    artifacts |= _out_of_fold(step, ledger, best, data.folds)
    study = StudyRecord(
        **step.stamp,
        family=about.family,
        entrant=entrant,
        metric=hpo.metric,
        direction=direction,
        budget=experiment.max_trials,
        timeout_seconds=hpo.timeout_seconds,
        ledger=ledger_name,
        trials=trials,
        best=best.number,
        artifacts=artifacts,
    )
    step.tracker.log_metrics(step.mlflow_run_id, {f"best_cv_{study.metric}": study.best_score})
    return study


def _deadline(step: StepRun) -> float:
    """When the trials of a run have to end, by `time.monotonic`."""
    limit = step.config.hpo.timeout_seconds
    if limit is None:
        return math.inf
    return time.monotonic() + limit - (datetime.now(UTC) - step.run.created_at).total_seconds()


def _log_search(step: StepRun) -> None:
    hpo = search_of(step.config, step.entrant)
    space = {f"space.{name}": one.model_dump_json(exclude_none=True) for name, one in hpo.space.items()}
    search = {"metric": hpo.metric, "algorithm": hpo.algorithm.name, "max_trials": hpo.max_trials, **space}
    step.tracker.log_params(step.mlflow_run_id, {"entrant": step.entrant, **search})


def _out_of_fold(step: StepRun, ledger: TrialLedger, best: TrialRecord, folds: int) -> dict[str, ArtifactRef]:
    """The predictions of the best trial for all development rows, each by the fold that did not learn from it.

    Empty where its models give no probabilities, or the ledger lacks a fold.
    """
    from podium.evaluation.predictions import FILE, Predictions
    from podium.stages.train import keep_predictions

    files, parts = ledger.predictions(best), []
    if len(files) < folds:
        return {}
    with step.store.scratch() as scratch:
        for fold, file in files.items():
            (scratch / str(fold)).mkdir()
            (scratch / str(fold) / FILE).write_bytes(file)
            parts.append(Predictions.load(scratch / str(fold)))
    return {"out_of_fold": keep_predictions(step, Predictions.joined(parts))}


def _fold_models(
    step: StepRun, trial: CrossValidationTrial, best: TrialRecord, pool: WorkerPool, logs: Path
) -> dict[str, ArtifactRef]:
    from podium.hpo.trial import fold_models_of

    models = pool.submit(fold_models_of, trial, best, log=logs / "fold_models.txt").wait()
    return {"fold_models": step.store.put_artifact("fold_models", models)}


def prior_trials(store: ArtifactStore, config: PodiumConfig, data: DataRecord, entrant: str) -> Prior:
    """The trials of the studies that `hpo.warm_start` names, by key of the study, in order of the keys.

    Studies of another kind of entrant are left out, since they search other hyperparameters.

    Raises:
        ConfigError: no finished study of the store has such a key, several have, or it is not of the same family:
            it searched something else, or trained on other data.
    """
    found: dict[str, tuple[TrialRecord, ...]] = {}
    family = family_key(config, data, entrant)
    for prefix in config.hpo.warm_start:
        try:
            _, key = store.resolve(f"study/{prefix.removeprefix('study/')}")
        except InputError as error:
            raise ConfigError(f"hpo.warm_start: {error}; `podium hpo status` lists the studies") from error
        study = store.get(StudyRecord, key)
        if study is None:
            raise ConfigError(f"hpo.warm_start: the record of study {key} is damaged; run that study again")
        parts = store.parts("study", key)
        if parts.get("entrant_kind") != family.parts["entrant_kind"]:
            continue
        if study.family != family.digest:
            had = {name: value for name, value in parts.items() if name in family.parts}
            changed = [f"{path} ({old}, here {new})" for path, old, new in differences(had, family.parts)]
            raise ConfigError(
                "hpo.warm_start: a study must be of the same family, that is, differ in its entrant and budgets only, "
                f"but {key[:12]} ({study.entrant}) has other {shortened(changed, _SHOWN, separator='; ')}"
            )
        found[key] = study.trials
    return dict(sorted(found.items()))
