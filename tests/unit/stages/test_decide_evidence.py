"""The evidence of a decision, from predictions of variants in a real store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from podium.evaluation.predictions import Predictions
from podium.keys import Key
from podium.records import ArtifactRef, BaselineRecord, Evidence
from podium.selection.comparison import GUESSING
from podium.selection.decision import judge
from podium.stages.decide import gather
from podium.stages.step import StepRun
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from tests.unit.report.samples import models_of, sample

INPUTS = sample(entrants=("minilm",))
LABELS = INPUTS.data.labels
TRUTH = np.arange(300) % len(LABELS)


def predictions(accuracy: float) -> Predictions:
    wrong = np.random.default_rng(3).random(len(TRUTH)) > accuracy
    ids = tuple(map(str, range(len(TRUTH))))
    return Predictions("text-classification", LABELS, ids, TRUTH, np.where(wrong, (TRUTH + 1) % len(LABELS), TRUTH))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


def keep(store: ArtifactStore, folder: Path, accuracy: float) -> ArtifactRef:
    predictions(accuracy).save(folder / "predictions")
    return store.put_artifact("predictions", folder / "predictions")


def gathered(store: ArtifactStore, folder: Path, eager: float, onnx: float, frequent: float) -> Evidence:
    """Of one champion whose ONNX form is quicker, each with so many rows right."""
    (model,) = models_of(INPUTS)
    model = model.model_copy(update={"artifacts": {**model.artifacts, "predictions": keep(store, folder, eager)}})
    benchmark = INPUTS.benchmark.model_copy(
        update={"artifacts": {"predictions.minilm.onnx": keep(store, folder, onnx)}}
    )
    baselines = BaselineRecord(key="b" * 64, baselines=(), artifacts={"frequent": keep(store, folder, frequent)})
    read = (INPUTS.data, baselines, INPUTS.selection, benchmark, model)
    step = StepRun(INPUTS.run, read, store=store, tracker=Tracker(), key=Key.of("decision"))
    return gather(step, None)[0]


@pytest.mark.parametrize(("onnx", "winner"), [(0.95, "onnx"), (0.7, "eager")], ids=["as good", "worse"])
def test_a_variant_is_held_to_its_own_predictions(
    store: ArtifactStore, tmp_path: Path, onnx: float, winner: str
) -> None:
    evidence = gathered(store, tmp_path, eager=0.95, onnx=onnx, frequent=0.8)
    (score,) = evidence.variant_scores
    assert (score.variant, score.test.value) == ("onnx", pytest.approx(onnx, abs=0.05))
    found = judge(evidence).choice.winner
    assert found is not None and found.variant == winner
    assert {one.challenger for one in evidence.baseline_comparisons} == {f"minilm ({winner})"}


def test_the_winner_meets_the_baselines_in_the_variant_that_would_be_deployed(
    store: ArtifactStore, tmp_path: Path
) -> None:
    comparison, guessed = gathered(store, tmp_path, eager=0.95, onnx=0.95, frequent=0.97).baseline_comparisons
    assert guessed.challenger == "minilm (onnx)" and guessed.reference == GUESSING and guessed.measurably_better
    assert comparison.challenger == "minilm (onnx)" and comparison.difference.value < 0
