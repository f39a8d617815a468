"""Step `hpo`: the study of one backbone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from podium.config.schema import PodiumConfig
from podium.devices.machine import available_cores
from podium.hpo.description import StudyAbout
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import TrialLedger
from podium.hpo.progress import Progress
from podium.hpo.studies import LEDGERS
from podium.hpo.study import best_trial, run_study
from podium.records import ArtifactRef, DataRecord, RunRecord, StudyRecord, TrialRecord
from podium.stages.keys import family_key
from podium.stages.step import StepInputs, StepRun, open_store
from podium.stages.warm_start import prior_trials

if TYPE_CHECKING:
    from podium.execution.workers import WorkerPool
    from podium.hpo.trial import CrossValidationTrial
    from podium.training.spec import TrainingSpec

MAIN = "main"
"""Name of a study's ledger, unless the study was begun anew with `run_mode=force_new`."""


def is_complete(study: StudyRecord, config: PodiumConfig) -> bool:
    """Whether a stored study satisfies the goal and budget of this run."""
    return Progress(experiment_of(config, study.backbone), study.trials).outcome is not None


def experiment_of(config: PodiumConfig, backbone: str) -> Experiment:
    """The neutral description of one backbone's search."""
    return Experiment.from_config(
        f"{config.dataset.name}-{backbone}", config.hpo, config.hpo.metric, config.seed, available_cores()
    )


def _ledger_name(run: RunRecord, key: str) -> str:
    """Where the study's trials are written: where the stored study left off, or a place of this run's own."""
    if run.config.run_mode == "force_new":
        return run.run_id
    stored = open_store(run.config).get(StudyRecord, key)
    return stored.ledger if stored else MAIN


def compute(step: StepRun, inputs: StepInputs) -> StudyRecord:
    """Search the hyperparameters of one backbone, or go on with the study that exists.

    A stored study with fewer trials than the budget is extended from its ledger; finished trials are never
    repeated. With `run_mode=force_new` a ledger of its own is begun.

    Raises:
        ModelError: the backbone does not fit the task.
        StudyFailed: too many trials failed.
    """
    from podium.execution.failures import Purpose
    from podium.execution.workers import WorkerPool
    from podium.hpo.engines.embedded import EmbeddedEngine
    from podium.hpo.fold_models import BestFoldModels
    from podium.hpo.trial import CrossValidationTrial
    from podium.models.backbone import locate_backbone
    from podium.models.network import check_backbone
    from podium.training.launch import PRELOAD, TRAINING

    config, data, backbone = step.config, inputs.one(DataRecord), inputs.backbone
    path = locate_backbone(config.backbones[backbone])
    prior = prior_trials(step.store, config, data)
    ledger_name = _ledger_name(step.run, step.key.digest)
    experiment = experiment_of(config, backbone)
    prefix = f"{LEDGERS}/{step.key.digest}/{ledger_name}"
    ledger = TrialLedger(step.store.documents(prefix))
    work = step.store.cache(f"trials-{step.key.digest}-{ledger_name}")
    logs = (step.directory or work) / "trials"
    spec = _spec(step, data, backbone, path, work)

    trial = CrossValidationTrial(spec, data.folds, config.hpo.early_stopping.name != "none", config.hpo.parallel_folds)
    models = BestFoldModels(trial, experiment.objective.direction)

    def track(record: TrialRecord) -> None:
        step.tracker.log_trial(step.mlflow_run_id, record)
        if spec.keep_model:
            models.ended(record)

    step.tracker.log_params(step.mlflow_run_id, {"backbone": backbone, "metric": config.hpo.metric, **_search(config)})
    about = StudyAbout(engine=config.hpo.engine, backbone=backbone, family=family_key(config, data).digest)
    artifacts: dict[str, ArtifactRef] = {}
    if config.hpo.engine == "katib":
        from podium.stages.on_cluster import katib_engine

        trials = run_study(experiment, ledger, katib_engine(step, data, backbone, trial, prefix), track, about)
        best = best_trial(trials, experiment.objective.direction)
    else:
        purpose = Purpose("the trial", TRAINING.memory_advice)
        preload = (PRELOAD, CrossValidationTrial.__module__, "podium.store.store")
        with WorkerPool(experiment.parallel_trials, spec.threads, preload, purpose) as pool:
            # In a worker, which has the libraries loaded; loading them here as well would cost seconds.
            pool.submit(check_backbone, path, data.task, spec.trust_remote_code, log=logs / "backbone.txt").wait()
            known = tuple(trial for trials in prior.values() for trial in trials)
            trials = run_study(experiment, ledger, EmbeddedEngine(trial, pool, logs, known), track, about)
            best = best_trial(trials, experiment.objective.direction)
            if spec.keep_model:
                artifacts = _fold_models(step, trial, best, ledger_name, pool, logs)
    shutil.rmtree(work)
    study = StudyRecord(
        **step.stamp,
        family=about.family,
        backbone=backbone,
        metric=config.hpo.metric,
        direction=experiment.objective.direction,
        budget=experiment.max_trials,
        ledger=ledger_name,
        trials=trials,
        best=best.number,
        artifacts=artifacts,
    )
    step.tracker.log_metrics(step.mlflow_run_id, {f"best_cv_{study.metric}": study.best_score})
    return study


def _fold_models(
    step: StepRun, trial: CrossValidationTrial, best: TrialRecord, ledger_name: str, pool: WorkerPool, logs: Path
) -> dict[str, ArtifactRef]:
    """The artifact of the best trial's fold models: that of the stored study where it has the same best trial."""
    from podium.hpo.fold_models import fold_models_of

    stored = step.store.get(StudyRecord, step.key.digest)
    if stored is not None and (stored.ledger, stored.best) == (ledger_name, best.number):
        return stored.artifacts
    models = pool.submit(fold_models_of, trial, best, log=logs / "fold_models.txt").wait()
    return {"fold_models": step.store.put_artifact("fold_models", models)}


def _spec(step: StepRun, data: DataRecord, backbone: str, path: Path, work: Path) -> TrainingSpec:
    """What every trial trains, without its hyperparameters."""
    from podium.training.spec import TrainingSpec

    config = step.config
    budget = {} if config.hpo.epochs is None else {"epochs": config.hpo.epochs}
    return TrainingSpec(
        task=data.task,
        labels=data.labels,
        data=step.store.fetch(data.artifacts["data"]),
        data_digest=data.artifacts["data"].digest,
        backbone=path,
        trust_remote_code=config.backbones[backbone].trust_remote_code,
        config=config.training.model_copy(update=budget),
        metric=config.hpo.metric,
        seed=config.seed,
        keep_model=config.hpo.fold_models == "best",
        data_fraction=config.hpo.data_fraction,
        threads=config.training.threads or 1,
        output=work,
        cache=step.store.cache("tokenised"),
        context={"backbone": backbone},
    )


def _search(config: PodiumConfig) -> dict[str, object]:
    return {
        "algorithm": config.hpo.algorithm.name,
        "max_trials": config.hpo.max_trials,
        **{
            f"space.{name}": parameter.model_dump_json(exclude_none=True)
            for name, parameter in config.hpo.space.items()
        },
    }
