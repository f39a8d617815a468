"""Predictions and costs of the incumbent on the rows and the hardware of this run: stored ones, or else new ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from podium.benchmarking.service import MeasurementRequest
from podium.benchmarking.session import ModelFiles
from podium.devices.machine import available_cores
from podium.errors import BenchmarkError, DamagedArtifact, ModelError
from podium.evaluation.predictions import Predictions
from podium.keys import digest_tree
from podium.records import (
    ArtifactRef,
    BenchmarkRecord,
    DataRecord,
    DecisionRecord,
    Incumbent,
    Measurement,
    ModelRecord,
)
from podium.stages.benchmark import hardware_of, measuring_service, measuring_session
from podium.stages.keys import lone_measurement_key
from podium.stages.step import StepRun


@dataclass(frozen=True)
class IncumbentPredictions:
    """The incumbent on the held-out rows of this run.

    Attributes:
        predictions: None when it cannot predict them; `problem` says why.
        made: the stored artifact, when they were predicted now.
    """

    predictions: Predictions | None
    problem: str = ""
    made: ArtifactRef | None = None


def incumbent_predictions(
    step: StepRun, data: DataRecord, incumbent: Incumbent, model: Callable[[], Path]
) -> IncumbentPredictions:
    """Predictions of the incumbent, in the variant that is in use, for the test rows of `data`.

    Args:
        model: returns the directory of its files (see `incumbent_model`); it is called only when they are needed.

    Raises:
        TrackingError: the registry cannot be asked.
    """
    known = _artifacts(step, incumbent)
    if known.data == data.key and known.predictions is not None:
        return IncumbentPredictions(Predictions.load(step.store.fetch(known.predictions)))
    try:
        predictions = _predict(step, data, incumbent, model())
    except (ModelError, DamagedArtifact) as error:
        return IncumbentPredictions(None, str(error))
    with step.store.scratch() as scratch:
        predictions.save(scratch / "predictions")
        return IncumbentPredictions(predictions, made=step.store.put_artifact("predictions", scratch / "predictions"))


def incumbent_measurement(
    step: StepRun, data: DataRecord, benchmark: BenchmarkRecord, incumbent: Incumbent, model: Callable[[], Path]
) -> tuple[Measurement | None, str]:
    """The measurement of the incumbent on the hardware of `benchmark`, or None and the reason why there is none.

    Args:
        model: as for `incumbent_predictions`.

    Raises:
        TrackingError: the registry cannot be asked.
    """
    from podium.export.variants import obstacle

    own = (incumbent.model_digest, incumbent.variant)
    known = next((item for item in benchmark.measurements if (item.model_digest, item.variant) == own), None)
    if known is not None:
        return known, ""
    hardware = hardware_of(step.run)
    if hardware != benchmark.hardware:
        return None, "this step runs on other hardware than the benchmark"
    if reason := obstacle(incumbent.variant, hardware["device"]):
        return None, reason
    name = f"{incumbent.name}-v{incumbent.version}"
    known_as = {"backbone": name, "model": incumbent.model_digest}
    session = measuring_session(step, data)
    key = lone_measurement_key(step.config.benchmark, data.task, session.rows, known_as, incumbent.variant, hardware)
    try:
        files = ModelFiles(model(), name, incumbent.variant, incumbent.model_digest)
        request = MeasurementRequest(files, key, {"data": data.key})
        (record,) = measuring_service(step, hardware).measure([request], session)
        return record.measurement, ""
    except (BenchmarkError, ModelError, DamagedArtifact) as error:
        return None, str(error)


def incumbent_model(step: StepRun, incumbent: Incumbent, folder: Path) -> Path:
    """Directory of the incumbent's files: from the store, or else downloaded from the registry into `folder`.

    Raises:
        DamagedArtifact: neither holds what was registered.
        TrackingError: the registry cannot be asked.
    """
    registered = incumbent.files_digest or incumbent.model_digest
    known = _artifacts(step, incumbent).files
    if known is not None and known.digest == registered:
        return step.store.fetch(known)
    found = step.tracker.download_model(incumbent.name, incumbent.version, folder)
    if digest_tree(found) != registered:
        shutil.rmtree(found)
        raise DamagedArtifact(
            f"the files of {incumbent.name} version {incumbent.version} in the registry must be those that were "
            "registered, but their digest differs; force the promotion, or roll back to a whole version"
        )
    return found


@dataclass(frozen=True)
class _Known:
    """What the store holds of the incumbent; `data` is the key of the data whose test rows it predicted."""

    data: str = ""
    files: ArtifactRef | None = None
    predictions: ArtifactRef | None = None


def _artifacts(step: StepRun, incumbent: Incumbent) -> _Known:
    refit = step.store.get(ModelRecord, incumbent.model_key)
    if refit is None:
        return _Known()
    data = refit.parents.get("data", "")
    if incumbent.variant == "eager":
        return _Known(data, refit.artifacts["model"], refit.artifacts["predictions"])
    decision = step.store.get(DecisionRecord, incumbent.decision_key) if incumbent.decision_key else None
    benchmark = step.store.get(BenchmarkRecord, decision.parents["benchmark"]) if decision else None
    if benchmark is None:
        return _Known()
    form = f"{refit.backbone}.{incumbent.variant}"
    return _Known(data, benchmark.artifacts.get(f"model.{form}"), benchmark.artifacts.get(f"predictions.{form}"))


def _predict(step: StepRun, data: DataRecord, incumbent: Incumbent, model: Path) -> Predictions:
    """Its predictions in the variant that is in use, on the CPU where the device of the benchmark cannot run it."""
    from podium.data.artifact import DataArtifact
    from podium.execution.slots import core_slots
    from podium.export.variants import obstacle
    from podium.inference.predict import load_predictor, predict
    from podium.inference.predictor import PredictorSpec

    rows = DataArtifact(step.store.fetch(data.artifacts["data"])).test
    device = hardware_of(step.run)["device"]
    with core_slots(available_cores()) as threads:
        spec = PredictorSpec(
            model_dir=model,
            variant=incumbent.variant,
            task=data.task,
            labels=None,
            trust_remote_code=False,
            device="cpu" if obstacle(incumbent.variant, device) else device,
            threads=threads,
        )
        return predict(load_predictor(spec), data.task, data.labels, rows)
