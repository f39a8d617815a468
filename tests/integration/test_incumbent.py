"""An incumbent asked about held-out rows: the model of a real run, on its own data and on data it does not know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import Finished, podium
from podium.config.schema import DatasetConfig, TrackingConfig
from podium.data.artifact import DataArtifact
from podium.data.prepare import prepare
from podium.errors import ModelError
from podium.evaluation.predictions import Predictions
from podium.inference.predictor import PredictorSpec, load_predictor, predict
from podium.keys import Key
from podium.records import DataRecord, DecisionRecord, Incumbent, ModelRecord, RunRecord
from podium.stages.decide import IncumbentPredictions, incumbent_model, incumbent_predictions
from podium.stages.step import StepRun
from podium.store.store import ArtifactStore
from podium.tracking import tracker_for
from tests.unit.tracking import conformance
from tests.unit.tracking.conformance import fresh, held
from tests.unit.tracking.support import model_record

pytestmark = pytest.mark.integration
weights = conformance.weights


def predict_test_rows(model: Path, data: DataArtifact) -> Predictions:
    spec = PredictorSpec(
        model_dir=model,
        variant="eager",
        task=data.task,
        labels=None,
        trust_remote_code=False,
        device="cpu",
        threads=1,
    )
    return predict(load_predictor(spec), data.task, data.labels, data.test)


@pytest.fixture
def store(smoke_run: Finished) -> ArtifactStore:
    return ArtifactStore(str(smoke_run.folder / "podium-out" / "store"))


@pytest.fixture
def model(smoke_run: Finished) -> ModelRecord:
    return ModelRecord.read(smoke_run.record("refit-bert-tiny"))


@pytest.fixture
def data(smoke_run: Finished) -> DataRecord:
    return DataRecord.read(smoke_run.record("prepare"))


def step_in(store: ArtifactStore, smoke_run: Finished, data: DataRecord) -> StepRun:
    run = RunRecord.read(smoke_run.directory / "record.json")
    tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{smoke_run.folder}/podium-out/mlflow.db"))
    return StepRun(run, (data,), store=store, tracker=tracker, key=Key.of("decision"))


def incumbent(smoke_run: Finished, name: str = "bbc-news") -> Incumbent:
    tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{smoke_run.folder}/podium-out/mlflow.db"))
    found = tracker.incumbent(name)
    assert found is not None
    return found


def ask(step: StepRun, champion: Incumbent) -> IncumbentPredictions:
    with step.store.scratch() as scratch:
        return incumbent_predictions(step, champion, lambda: incumbent_model(step, champion, scratch / "model"))


@pytest.mark.parametrize("entrant", ["linear", "bert-tiny"])
def test_a_model_asked_again_says_what_its_refit_said(smoke_run: Finished, store, data, entrant: str) -> None:
    model = ModelRecord.read(smoke_run.record(f"refit-{entrant}"))
    artifact = data.artifacts["data"]
    found = predict_test_rows(store.fetch(model.artifacts["model"]), DataArtifact(store.fetch(artifact)))
    before = Predictions.load(store.fetch(model.artifacts["predictions"]))
    assert (found.ids, found.labels) == (before.ids, before.labels)
    assert np.array_equal(found.truth, before.truth) and np.array_equal(found.predicted, before.predicted)
    assert found.probabilities == pytest.approx(before.probabilities, abs=1e-4)


def test_the_order_of_the_model_s_own_labels_does_not_matter(store, model, data, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(store.fetch(model.artifacts["model"]), folder, copy_function=shutil.copyfile)
    config = json.loads((folder / "config.json").read_text())
    names = list(config["id2label"].values())
    config["id2label"] = {str(place): name for place, name in enumerate(names[1:] + names[:1])}
    config["label2id"] = {name: int(place) for place, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    artifact = DataArtifact(store.fetch(data.artifacts["data"]))
    found = predict_test_rows(folder, artifact)
    before = Predictions.load(store.fetch(model.artifacts["predictions"]))
    shifted = (before.predicted + 1) % len(names)
    assert [found.labels[row] for row in found.predicted] == [names[row] for row in shifted]


def test_without_its_record_the_incumbent_is_taken_from_the_registry(
    smoke_run: Finished, store, data, tmp_path: Path
) -> None:
    elsewhere = ArtifactStore(str(tmp_path / "store"))
    elsewhere.put_artifact("data", store.fetch(data.artifacts["data"]))
    seen = ask(step_in(elsewhere, smoke_run, data), incumbent(smoke_run))
    assert seen.predictions is not None and len(seen.predictions) == data.rows["test"]
    assert seen.made is not None and elsewhere.fetch(seen.made).is_dir()
    own = ask(step_in(store, smoke_run, data), incumbent(smoke_run))
    assert own.made is None and np.array_equal(own.predictions.predicted, seen.predictions.predicted)


def test_a_registered_model_that_was_changed_is_not_asked(
    smoke_run: Finished, store, data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ArtifactStore(str(tmp_path / "store"))
    elsewhere.put_artifact("data", store.fetch(data.artifacts["data"]))
    changed = incumbent(smoke_run).model_copy(update={"files_digest": "0" * 64})
    seen = ask(step_in(elsewhere, smoke_run, data), changed)
    assert seen.predictions is None and "their digest differs" in seen.problem


@pytest.mark.slow
def test_a_run_does_not_promote_again_what_people_rolled_back(smoke_copy: Finished, weights: Path) -> None:
    tracker = tracker_for(TrackingConfig(uri=f"sqlite:///{smoke_copy.folder}/podium-out/mlflow.db"))
    other = tracker.register("bbc-news", fresh()[:32], weights, model_record(fresh(), fresh()))
    back = podium(smoke_copy.folder, "rollback", "bbc-news", "--to", other, "--reason", "it leaks names")
    assert back.code == 0, back.output
    again = podium(smoke_copy.folder, "run", "--preset", "smoke")
    assert again.code == 0, again.output
    decision = DecisionRecord.read(again.record("decide"))
    assert decision.verdict == "HOLD" and "rolled-back" in [reason.code for reason in decision.reasons]
    assert "it leaks names" in " ".join(again.output.split())
    assert decision.registered == {"name": "bbc-news", "version": "1", "alias": "challenger"}
    assert held(tracker, "bbc-news") == {"champion": other, "previous": "1", "challenger": "1"}


@pytest.mark.slow
def test_another_variant_of_the_champion_is_a_challenger_and_then_the_incumbent_as_such(
    smoke_copy: Finished, store, data, tmp_path: Path
) -> None:
    eager = ("run", "--preset", "smoke", "~entrants.linear", "tracking.model_name=tiny")
    onnx = (*eager, "benchmark.variants=[onnx]")
    first, run = (podium(smoke_copy.folder, *command) for command in (eager, onnx))
    assert first.code == run.code == 0, first.output + run.output
    assert DecisionRecord.read(first.record("decide")).verdict == "PROMOTE"
    decision = DecisionRecord.read(run.record("decide"))
    assert (decision.verdict, decision.winner_variant) == ("HOLD", "onnx")
    assert decision.registered == {"name": "tiny", "version": "2", "alias": "challenger"}
    evidence = decision.evidence
    assert evidence is not None and evidence.against_incumbent is not None
    assert evidence.against_incumbent.challenger == "bert-tiny (onnx)"
    assert evidence.against_incumbent.difference.value == pytest.approx(0, abs=0.02)
    kept = evidence.incumbent_measurement
    assert kept is not None and (kept.variant, kept.model_digest) == ("eager", evidence.leaderboard[0].model_digest)
    assert [item.variant for item in evidence.measurements] == ["onnx"]

    moved = podium(smoke_copy.folder, "promote", "tiny", "challenger", "--reason", "it needs no torch")
    assert moved.code == 0, moved.output
    champion = incumbent(smoke_copy, "tiny")
    assert (champion.version, champion.variant, champion.model_digest) == ("2", "onnx", kept.model_digest)
    own_store = ArtifactStore(str(smoke_copy.folder / "podium-out" / "store"))
    own = ask(step_in(own_store, smoke_copy, data), champion)
    elsewhere = ArtifactStore(str(tmp_path / "store"))
    elsewhere.put_artifact("data", store.fetch(data.artifacts["data"]))
    seen = ask(step_in(elsewhere, smoke_copy, data), champion)
    assert own.made is None and seen.made is not None, seen.problem
    assert np.array_equal(own.predictions.predicted, seen.predictions.predicted)
    assert own.predictions.probabilities == pytest.approx(seen.predictions.probabilities, abs=1e-6)

    again = podium(smoke_copy.folder, *onnx)
    assert again.code == 0, again.output
    decision = DecisionRecord.read(again.record("decide"))
    assert (decision.verdict, decision.registered["version"]) == ("HOLD", "2")
    assert "already-champion" in [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(
    ("task", "rows", "message"),
    [
        ("text-classification", "words number {row},{label}", "labels must be those of the data"),
        ("ner", "", "a model for another task"),
    ],
)
def test_a_model_for_other_labels_or_another_task_is_refused(
    store, model, tmp_path: Path, task: str, rows: str, message: str
) -> None:
    path = tmp_path / ("rows.csv" if rows else "rows.conll")
    lines = [rows.format(row=row, label=row % 2) for row in range(40)] if rows else ["Ada B-PER\nran O\n"] * 40
    path.write_text("\n".join(["text,label", *lines] if rows else [f"{n} O\n{line}" for n, line in enumerate(lines)]))
    prepare(DatasetConfig(name="x", path=str(path), task=task), 13, tmp_path / "data")
    with pytest.raises(ModelError, match=message):
        predict_test_rows(store.fetch(model.artifacts["model"]), DataArtifact(tmp_path / "data"))
