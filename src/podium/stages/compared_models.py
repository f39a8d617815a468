"""The models that `podium compare` compares, with the evidence for each that the store has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from podium import records
from podium.benchmarking.calls import Repetition
from podium.errors import DamagedArtifact, InputError
from podium.evaluation.predictions import Predictions
from podium.selection.estimates import ComparedModel
from podium.stages.found_models import FoundModel, find_model, title_of
from podium.store.store import ArtifactStore
from podium.tracking import Tracker


def find_models(
    texts: Sequence[str], store: ArtifactStore, runs: Path, tracker: Callable[[], Tracker]
) -> list[ComparedModel]:
    """The models named by `texts`, in their order; one that is named twice gets a number behind its name.

    Arguments and errors are those of `podium.stages.found_models.find_model`.
    """
    seen = Counter(texts)
    found = []
    for number, text in enumerate(texts):
        name = text if seen[text] == 1 else f"{text} ({texts[: number + 1].count(text)})"
        found.append(_compared(name, find_model(text, name, store, runs, tracker)))
    return found


def _compared(name: str, found: FoundModel) -> ComparedModel:
    """The model with what can be read of its evidence, and notes on the rest."""
    record, entrant, form = found.record, found.entrant, found.variant
    hardware, scores, measurement = None, None, None
    samples: records.ArtifactRef | None = None
    title, data = f"{entrant} ({form})" if form else entrant, record.parents.get("data", "")
    if isinstance(record, records.ModelRecord):
        scores = record.metrics
    elif isinstance(record, records.MeasurementRecord):
        hardware, measurement, samples = record.hardware, record.measurement, record.artifacts.get("samples")
    else:
        data = found.refit.parents.get("data", "") if found.refit else ""
        if (selection := found.selection) and form in (None, "eager"):
            entries = {entry.entrant: entry for entry in selection.leaderboard}
            scores = {selection.metric: entries[entrant].test} if entrant in entries else {}
        elif form in (None, "eager"):
            scores = {}
        if found.benchmark is not None:
            hardware = found.benchmark.hardware
            samples = found.benchmark.artifacts.get(f"samples.{entrant}.{form}")
            own = (one for one in found.benchmark.measurements if (one.entrant, one.variant) == (entrant, form))
            measurement = next(own, None)
    notes: list[str] = []
    held, repetitions = None, tuple[Repetition, ...]()
    try:
        predictions = found.artifact("predictions")
        held = Predictions.load(found.store.fetch(predictions)) if predictions is not None else None
    except (DamagedArtifact, InputError) as error:
        notes.append(f"its predictions cannot be read: {error}")
    try:
        if samples is not None:
            raw = json.loads((found.store.fetch(samples) / "samples.json").read_text())
            repetitions = tuple(Repetition.model_validate(one) for one in raw["repetitions"])
    except (DamagedArtifact, OSError, ValueError, KeyError) as error:
        notes.append(f"its raw samples cannot be read: {error}")
    notes += measurement.notes if measurement is not None and measurement.unstable else ()
    return ComparedModel(
        name=name,
        title=title,
        record=title_of(record),
        data=data,
        hardware=hardware,
        scores=scores,
        measurement=measurement,
        predictions=held,
        repetitions=repetitions,
        notes=notes,
    )
