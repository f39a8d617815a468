"""The evidence of a decision, from predictions of variants in a real store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from podium.evaluation.metrics import score
from podium.evaluation.predictions import Predictions
from podium.keys import Key
from podium.records import ArtifactRef, BaselineRecord, DataRecord, Evidence
from podium.selection.comparison import GUESSING
from podium.selection.decision import COPIED_ROWS, NOTHING_BUT_COPIES, judge
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


def text(row: int) -> str:
    """Thirty words, in an order and choice that no other row has."""
    return " ".join(f"word{number}" for number in np.random.default_rng(row).integers(1000, size=30))


def keep_data(store: ArtifactStore, folder: Path, copied: int) -> DataRecord:
    """Prepared data whose training rows nearly repeat so many of the held-out rows."""
    held = [text(row) for row in range(len(TRUTH))]
    train = [f"{held[row]} (again)" for row in range(copied)] + [text(1000 + row) for row in range(50)]
    for split, texts in {"train": train, "validation": [text(2000)], "test": held}.items():
        place = folder / "data" / split
        place.mkdir(parents=True)
        ids = [f"{split}:{row}" for row in range(len(texts))]
        table = pa.table({"id": ids, "text": texts, "label": [0] * len(texts)})
        with pa.ipc.new_stream(str(place / "data-00000-of-00001.arrow"), table.schema) as writer:
            writer.write_table(table)
    rows = {"train": len(train), "validation": 1, "test": len(held)}
    return INPUTS.data.model_copy(
        update={"rows": rows, "artifacts": {"data": store.put_artifact("data", folder / "data")}}
    )


def gathered(
    store: ArtifactStore, folder: Path, eager: float, onnx: float, frequent: float, copied: int = 0
) -> Evidence:
    """Of one champion whose ONNX form is quicker, each with so many rows right."""
    (model,) = models_of(INPUTS)
    model = model.model_copy(update={"artifacts": {**model.artifacts, "predictions": keep(store, folder, eager)}})
    benchmark = INPUTS.benchmark.model_copy(
        update={"artifacts": {"predictions.minilm.onnx": keep(store, folder, onnx)}}
    )
    baselines = BaselineRecord(key="b" * 64, baselines=(), artifacts={"frequent": keep(store, folder, frequent)})
    data = keep_data(store, folder, copied)
    read = (data, baselines, INPUTS.selection, benchmark, model)
    step = StepRun(INPUTS.run, read, store=store, tracker=Tracker(), key=Key.of("decision"))
    return gather(step, None)[0]


@pytest.mark.parametrize(("onnx", "winner"), [(0.95, "onnx"), (0.7, "eager")], ids=["as good", "worse"])
def test_a_variant_is_held_to_its_own_predictions(
    store: ArtifactStore, tmp_path: Path, onnx: float, winner: str
) -> None:
    evidence = gathered(store, tmp_path, eager=0.95, onnx=onnx, frequent=0.8)
    (found_score,) = evidence.variant_scores
    assert (found_score.variant, found_score.test.value) == ("onnx", pytest.approx(onnx, abs=0.05))
    found = judge(evidence).choice.winner
    assert found is not None and found.variant == winner
    assert {one.challenger for one in evidence.baseline_comparisons} == {f"minilm ({winner})"}


def test_the_winner_meets_the_baselines_in_the_variant_that_would_be_deployed(
    store: ArtifactStore, tmp_path: Path
) -> None:
    comparison, guessed = gathered(store, tmp_path, eager=0.95, onnx=0.95, frequent=0.97).baseline_comparisons
    assert guessed.challenger == "minilm (onnx)" and guessed.reference == GUESSING and guessed.measurably_better
    assert comparison.challenger == "minilm (onnx)" and comparison.difference.value < 0


def test_held_out_rows_that_nearly_repeat_training_rows_are_left_out_of_a_second_score(
    store: ArtifactStore, tmp_path: Path
) -> None:
    evidence = gathered(store, tmp_path, eager=0.95, onnx=0.95, frequent=0.5, copied=60)
    copies = evidence.copied_rows
    assert copies is not None and (copies.rows, copies.searched) == (60, 1)
    assert copies.score is not None
    assert copies.score.value == score(predictions(0.95).at(range(60, 300)), evidence.metric)
    found = judge(evidence)
    assert found.verdict == "PROMOTE"
    (remark,) = (reason.text for reason in found.reasons if reason.code == COPIED_ROWS)
    assert remark.startswith("60 of ") and f"{copies.score.value:.4f}" in remark


def test_a_few_copies_are_not_worth_a_word(store: ArtifactStore, tmp_path: Path) -> None:
    assert gathered(store, tmp_path, eager=0.95, onnx=0.95, frequent=0.5, copied=14).copied_rows is None


@pytest.mark.parametrize(("copied", "said"), [(300, "nothing is known"), (296, "is not shown to beat guessing")])
def test_a_score_that_rests_on_copies_promotes_nothing(
    store: ArtifactStore, tmp_path: Path, copied: int, said: str
) -> None:
    evidence = gathered(store, tmp_path, eager=0.95, onnx=0.5, frequent=0.3, copied=copied)
    found = judge(evidence)
    assert found.verdict == "HOLD" and found.decisive.code == NOTHING_BUT_COPIES
    assert said in found.decisive.text
