"""The incumbent on the rows of this run: its own predictions where it has them, and otherwise those it makes now."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from podium.errors import DamagedArtifact, ModelError
from podium.evaluation.predictions import Predictions
from podium.keys import digest_tree
from podium.machine import available_cores
from podium.records import ArtifactRef, DataRecord, Incumbent, ModelRecord
from podium.stages.step import StepRun


@dataclass(frozen=True)
class IncumbentPredictions:
    """The incumbent on the held-out rows of this run.

    Attributes:
        predictions: None when it cannot predict them, and then `problem` says why.
        made: where the store keeps them when they were made now.
    """

    predictions: Predictions | None
    problem: str = ""
    made: ArtifactRef | None = None


def incumbent_predictions(step: StepRun, data: DataRecord, incumbent: Incumbent) -> IncumbentPredictions:
    """Predictions of the incumbent for the test rows of `data`.

    Raises:
        TrackingError: the registry cannot be asked.
    """
    record = step.store.get(ModelRecord, incumbent.model_key)
    if record is not None and record.parents.get("data") == data.key:
        return IncumbentPredictions(Predictions.load(step.store.fetch(record.artifacts["predictions"])))
    with step.store.scratch() as scratch:
        try:
            predictions = _predict(step, data, incumbent_model(step, incumbent, record, scratch / "model"))
        except (ModelError, DamagedArtifact) as error:
            return IncumbentPredictions(None, str(error))
        predictions.save(scratch / "predictions")
        return IncumbentPredictions(predictions, made=step.store.put_artifact("predictions", scratch / "predictions"))


def incumbent_model(step: StepRun, incumbent: Incumbent, record: ModelRecord | None, folder: Path) -> Path:
    """Directory of the incumbent's model: that of the store, or else downloaded from the registry into `folder`.

    Args:
        record: the incumbent's refit, where the store has it.

    Raises:
        DamagedArtifact: neither holds the model that was registered.
        TrackingError: the registry cannot be asked.
    """
    if record is not None and record.artifacts["model"].digest == incumbent.model_digest:
        return step.store.fetch(record.artifacts["model"])
    found = step.tracker.download_model(incumbent.name, incumbent.version, folder)
    if digest_tree(found) != incumbent.model_digest:
        shutil.rmtree(found)
        raise DamagedArtifact(
            f"the files of {incumbent.name} version {incumbent.version} in the registry must be those that were "
            "registered, but their digest differs; force the promotion, or roll back to a whole version"
        )
    return found


def _predict(step: StepRun, data: DataRecord, model: Path) -> Predictions:
    from podium.data.artifact import DataArtifact
    from podium.training.evaluate import predict_test_rows
    from podium.training.execution.slots import core_slots

    artifact = data.artifacts["data"]
    with core_slots(available_cores()) as threads:
        return predict_test_rows(
            model,
            DataArtifact(step.store.fetch(artifact)),
            data_digest=artifact.digest,
            cache=step.store.cache("tokenised"),
            threads=threads,
        )
