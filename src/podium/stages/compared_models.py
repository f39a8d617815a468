"""The models that `podium compare` compares: how each is named, and the evidence for it in the store.

A name is RUN[:BACKBONE[.VARIANT]]. RUN is a run directory, the id of a run, `latest`, the key of a stored decision,
benchmark, selection, measurement or refit (`KIND/DIGITS` or enough of its digits), or a registered version that Podium
promoted (`NAME@alias` or `NAME/VERSION`). A run or a decision without a model means its winner.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from podium.benchmarking.calls import Repetition
from podium.errors import DamagedArtifact, InputError
from podium.evaluation.predictions import Predictions
from podium.records import (
    RECORDS,
    ArtifactRef,
    BenchmarkRecord,
    DecisionRecord,
    Interval,
    MeasurementRecord,
    ModelRecord,
    Record,
    SelectionRecord,
    VariantRecord,
)
from podium.selection.estimates import ComparedModel
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from podium.tracking.base import TAG_DECISION, TAG_MODEL_KEY

R = TypeVar("R", bound=Record)

_STEPS = (("decide", DecisionRecord), ("benchmark", BenchmarkRecord), ("select", SelectionRecord))
_REGISTERED = re.compile(r"(?:models:/)?([^/@:]+)(?:@([^/@:]+)|/(\d+))")
_MODEL = re.compile(r"(.+?):([a-z][a-z0-9-]*)(?:\.([a-z][a-z0-9-]*))?")


@dataclass(frozen=True)
class _Found:
    """The records behind one RUN; `backbone` and `variant` are those of the winner where there is one."""

    title: str
    selection: SelectionRecord | None = None
    benchmark: BenchmarkRecord | None = None
    backbone: str | None = None
    variant: str | None = None


def find_models(
    texts: Sequence[str], store: ArtifactStore, runs: Path, tracker: Callable[[], Tracker]
) -> list[ComparedModel]:
    """The models named by `texts`, in their order; one that is named twice gets a number behind its name.

    Args:
        store: holds the results; a run directory elsewhere has a store of its own.
        runs: the folder of run directories.
        tracker: called for registered versions only.

    Raises:
        InputError: a text names nothing, several things, or nothing that can be compared.
        StoreError: a result is damaged.
        TrackingError: the registry cannot be asked.
    """
    seen = Counter(texts)
    found = []
    for number, text in enumerate(texts):
        name = text if seen[text] == 1 else f"{text} ({texts[: number + 1].count(text)})"
        found.append(_find(text, name, store, runs, tracker))
    return found


def _find(text: str, name: str, store: ArtifactStore, runs: Path, tracker: Callable[[], Tracker]) -> ComparedModel:
    match = None if Path(text).is_dir() else _MODEL.fullmatch(text)
    run, backbone, variant = match.groups() if match else (text, None, None)
    folder = next((path for path in (Path(run), runs / run) if (path / "steps").is_dir()), None)
    if folder is not None:
        own = folder.resolve().parents[1] / "store"
        store = ArtifactStore(str(own)) if own.is_dir() else store
        record: Record = _of_directory(folder, store)
    elif (registered := _REGISTERED.fullmatch(run)) and registered[1] not in RECORDS:
        record = _registered(registered, store, tracker())
    elif re.fullmatch(r"(?:[a-z][a-z_-]*/)?[0-9a-f]{4,64}", run):
        record = _stored(store, *store.resolve(run))
    else:
        raise InputError(
            f"a run is a run directory, the id of a run in {runs}, `latest`, the key of a result, or a registered "
            f"version as NAME@champion, but got {run!r}"
        )
    if isinstance(record, MeasurementRecord):
        return _measured_alone(name, record, store)
    if isinstance(record, ModelRecord):
        return _refit(name, record, store)
    return _chosen(name, _evidence(record, store), backbone, variant, store)


def _of_directory(folder: Path, store: ArtifactStore) -> Record:
    for step, kind in _STEPS:
        file = folder / "steps" / step / "record.json"
        if file.exists():
            return _stored(store, kind.kind, kind.read(file).key)
    raise InputError(f"{folder} has no selection, benchmark or decision yet; wait for the run, or start it again")


def _registered(match: re.Match[str], store: ArtifactStore, tracker: Tracker) -> Record:
    name, selector = match[1], match[2] or match[3]
    version = tracker.registered(name, selector)
    if version is None:
        raise InputError(f"{tracker.uri} has no version or alias {selector!r} of a registered model {name!r}")
    for tag, kind in ((TAG_DECISION, DecisionRecord.kind), (TAG_MODEL_KEY, ModelRecord.kind)):
        if (key := version.tags.get(tag)) and store.find(f"{kind}/{key}"):
            return _stored(store, kind, key)
    raise InputError(
        f"version {version.version} of {name} must come from a result in the store {store.uri}, but it holds neither "
        "its decision nor its refit; name the store with --store"
    )


def _stored(store: ArtifactStore, kind: str, digest: str) -> Record:
    record = store.get(RECORDS[kind], digest)
    if record is None:
        raise InputError(
            f"{kind}/{digest[:12]} is missing or damaged in {store.uri}; run the pipeline again to replace it"
        )
    return record


def _evidence(record: Record, store: ArtifactStore) -> _Found:
    title = f"{record.kind} {record.key[:12]}"
    if isinstance(record, SelectionRecord):
        return _Found(title, record)
    if isinstance(record, BenchmarkRecord):
        return _Found(title, _parent(store, record, "selection", SelectionRecord), record)
    if isinstance(record, DecisionRecord):
        return _Found(
            title,
            _parent(store, record, "selection", SelectionRecord),
            _parent(store, record, "benchmark", BenchmarkRecord),
            record.winner,
            record.winner_variant,
        )
    raise InputError(
        f"a decision, benchmark, selection, measurement or refit can be compared, but {title} is a {record.kind}"
    )


def _parent(store: ArtifactStore, record: Record, name: str, kind: type[R]) -> R | None:
    return store.get(kind, record.parents[name]) if name in record.parents else None


def _chosen(name: str, found: _Found, backbone: str | None, variant: str | None, store: ArtifactStore) -> ComparedModel:
    """The model that the name means, with its evidence."""
    measurements = {(one.backbone, one.variant): one for one in found.benchmark.measurements} if found.benchmark else {}
    entries = [entry.backbone for entry in found.selection.leaderboard] if found.selection else []
    candidates: list[tuple[str, str | None]] = [*measurements]
    candidates += [(one, None) for one in entries if one not in {held for held, _ in measurements}]
    if backbone is None:
        backbone, variant = found.backbone, found.variant
    meant = [one for one in candidates if backbone in (None, one[0]) and variant in (None, one[1])]
    if len(meant) != 1:
        listed = ", ".join(".".join(part for part in one if part) for one in meant or candidates)
        raise InputError(
            f"one model of {name} must be meant, but {len(meant)} are; write RUN:MODEL, where MODEL is one of {listed}"
        )
    chosen, form = meant[0]
    refit = _refit_of(found, chosen, store)
    artifacts = found.benchmark.artifacts if found.benchmark else {}
    predictions = artifacts.get(f"predictions.{chosen}.{form}")
    as_refitted = form in (None, "eager")
    if predictions is None and as_refitted and refit is not None:
        predictions = refit.artifacts.get("predictions")
    return _model(
        store,
        predictions,
        artifacts.get(f"samples.{chosen}.{form}") if form else None,
        name=name,
        title=f"{chosen} ({form})" if form else chosen,
        record=found.title,
        data=refit.parents.get("data", "") if refit else "",
        hardware=found.benchmark.hardware if found.benchmark else None,
        scores=_scores(found, chosen) if as_refitted else None,
        measurement=measurements.get((chosen, form or "")),
    )


def _model(
    store: ArtifactStore, predictions: ArtifactRef | None, samples: ArtifactRef | None, **fields: Any
) -> ComparedModel:
    """The model with what can be read of its predictions and samples, and notes on the rest."""
    notes: list[str] = []
    measured = fields.get("measurement")
    held, repetitions = _predictions(store, predictions, notes), _repetitions(store, samples, notes)
    notes += measured.notes if measured is not None and measured.unstable else ()
    return ComparedModel(predictions=held, repetitions=repetitions, notes=notes, **fields)


def _refit_of(found: _Found, backbone: str, store: ArtifactStore) -> ModelRecord | None:
    for record in (found.benchmark, found.selection):
        if record is not None and (refit := _parent(store, record, f"refit.{backbone}", ModelRecord)):
            return refit
    return None


def _scores(found: _Found, backbone: str) -> Mapping[str, Interval]:
    if found.selection is None:
        return {}
    entry = next((entry for entry in found.selection.leaderboard if entry.backbone == backbone), None)
    return {found.selection.metric: entry.test} if entry is not None else {}


def _measured_alone(name: str, record: MeasurementRecord, store: ArtifactStore) -> ComparedModel:
    variant, measured = _parent(store, record, "variant", VariantRecord), record.measurement
    return _model(
        store,
        variant.artifacts.get("predictions") if variant else None,
        record.artifacts.get("samples"),
        name=name,
        title=f"{measured.backbone} ({measured.variant})",
        record=f"{record.kind} {record.key[:12]}",
        data=record.parents.get("data", ""),
        hardware=record.hardware,
        measurement=measured,
    )


def _refit(name: str, record: ModelRecord, store: ArtifactStore) -> ComparedModel:
    return _model(
        store,
        record.artifacts.get("predictions"),
        None,
        name=name,
        title=record.backbone,
        record=f"{record.kind} {record.key[:12]}",
        data=record.parents.get("data", ""),
        scores=record.metrics,
    )


def _predictions(store: ArtifactStore, ref: ArtifactRef | None, notes: list[str]) -> Predictions | None:
    """The predictions, or None with a note."""
    try:
        return Predictions.load(store.fetch(ref)) if ref is not None else None
    except (DamagedArtifact, InputError) as error:
        notes.append(f"its predictions cannot be read: {error}")
        return None


def _repetitions(store: ArtifactStore, ref: ArtifactRef | None, notes: list[str]) -> Sequence[Repetition]:
    """The raw samples, or none with a note."""
    if ref is None:
        return ()
    try:
        raw: dict[str, Any] = json.loads((store.fetch(ref) / "samples.json").read_text())
        return [Repetition.model_validate(one) for one in raw["repetitions"]]
    except (DamagedArtifact, OSError, ValueError, KeyError, ValidationError) as error:
        notes.append(f"its raw samples cannot be read: {error}")
        return ()
