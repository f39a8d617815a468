"""The models that `podium compare` compares: how each is named, and the evidence for it in the store.

A name is RUN[:ENTRANT[.VARIANT]]. RUN is a run directory, the id of a run, `latest`, the key of a stored decision,
benchmark, selection, measurement or refit (`KIND/DIGITS` or enough of its digits), or a registered version that Podium
promoted (`NAME@alias` or `NAME/VERSION`). A run or a decision without a model means its winner.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from podium import records
from podium.benchmarking.calls import Repetition
from podium.errors import DamagedArtifact, InputError
from podium.evaluation.predictions import Predictions
from podium.selection.estimates import ComparedModel
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from podium.tracking.base import TAG_DECISION, TAG_MODEL_KEY

R = TypeVar("R", bound=records.Record)

_STEPS = (
    ("decide", records.DecisionRecord),
    ("benchmark", records.BenchmarkRecord),
    ("select", records.SelectionRecord),
)
_REGISTERED = re.compile(r"(?:models:/)?([^/@:]+)(?:@([^/@:]+)|/(\d+))")
_MODEL = re.compile(r"(.+?):([a-z][a-z0-9-]*)(?:\.([a-z][a-z0-9-]*))?")


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
    run, entrant, variant = match.groups() if match else (text, None, None)
    folder = next((path for path in (Path(run), runs / run) if (path / "steps").is_dir()), None)
    if folder is not None:
        own = folder.resolve().parents[1] / "store"
        store = ArtifactStore(str(own)) if own.is_dir() else store
        record: records.Record = _of_directory(folder, store)
    elif (registered := _REGISTERED.fullmatch(run)) and registered[1] not in records.RECORDS:
        record = _registered(registered, store, tracker())
    elif re.fullmatch(r"(?:[a-z][a-z_-]*/)?[0-9a-f]{4,64}", run):
        record = _stored(store, *store.resolve(run))
    else:
        raise InputError(
            f"a run is a run directory, the id of a run in {runs}, `latest`, the key of a result, or a registered "
            f"version as NAME@champion, but got {run!r}"
        )
    if isinstance(record, records.MeasurementRecord | records.ModelRecord):
        return _alone(name, record, store)
    return _chosen(name, record, entrant, variant, store)


def _of_directory(folder: Path, store: ArtifactStore) -> records.Record:
    for step, kind in _STEPS:
        file = folder / "steps" / step / "record.json"
        if file.exists():
            return _stored(store, kind.kind, kind.read(file).key)
    raise InputError(f"{folder} has no selection, benchmark or decision yet; wait for the run, or start it again")


def _registered(match: re.Match[str], store: ArtifactStore, tracker: Tracker) -> records.Record:
    name, selector = match[1], match[2] or match[3]
    version = tracker.registered(name, selector)
    if version is None:
        raise InputError(f"{tracker.uri} has no version or alias {selector!r} of a registered model {name!r}")
    for tag, kind in ((TAG_DECISION, records.DecisionRecord.kind), (TAG_MODEL_KEY, records.ModelRecord.kind)):
        if (key := version.tags.get(tag)) and store.find(f"{kind}/{key}"):
            return _stored(store, kind, key)
    raise InputError(
        f"version {version.version} of {name} must come from a result in the store {store.uri}, but it holds neither "
        "its decision nor its refit; name the store with --store"
    )


def _stored(store: ArtifactStore, kind: str, digest: str) -> records.Record:
    record = store.get(records.RECORDS[kind], digest)
    if record is None:
        raise InputError(
            f"{kind}/{digest[:12]} is missing or damaged in {store.uri}; run the pipeline again to replace it"
        )
    return record


def _related(store: ArtifactStore, record: records.Record, kind: type[R], name: str) -> R | None:
    """The record itself where it is of a kind, or else its parent called `name`."""
    if isinstance(record, kind):
        return record
    return store.get(kind, record.parents[name]) if name in record.parents else None


def _chosen(
    name: str, record: records.Record, entrant: str | None, variant: str | None, store: ArtifactStore
) -> ComparedModel:
    """The model of a run that the name means, with its evidence; without a model the winner, where there is one."""
    if not isinstance(record, records.DecisionRecord | records.BenchmarkRecord | records.SelectionRecord):
        raise InputError(
            f"a decision, benchmark, selection, measurement or refit can be compared, but {_title(record)} is a "
            f"{record.kind}"
        )
    selection = _related(store, record, records.SelectionRecord, "selection")
    benchmark = _related(store, record, records.BenchmarkRecord, "benchmark")
    if entrant is None and isinstance(record, records.DecisionRecord):
        entrant, variant = record.winner, record.winner_variant
    measurements = {(one.entrant, one.variant): one for one in benchmark.measurements} if benchmark else {}
    entries = {entry.entrant: entry for entry in selection.leaderboard} if selection else {}
    candidates: list[tuple[str, str | None]] = [*measurements]
    candidates += [(one, None) for one in entries if one not in {held for held, _ in measurements}]
    meant = [one for one in candidates if entrant in (None, one[0]) and variant in (None, one[1])]
    if len(meant) != 1:
        listed = ", ".join(".".join(part for part in one if part) for one in meant or candidates)
        raise InputError(
            f"one model of {name} must be meant, but {len(meant)} are; write RUN:MODEL, where MODEL is one of {listed}"
        )
    chosen, form = meant[0]
    sources = [one for one in (benchmark, selection) if one is not None]
    refits = (_related(store, one, records.ModelRecord, f"refit.{chosen}") for one in sources)
    refit = next((one for one in refits if one is not None), None)
    artifacts = benchmark.artifacts if benchmark else {}
    predictions = artifacts.get(f"predictions.{chosen}.{form}")
    scores: Mapping[str, records.Interval] | None = None
    if form in (None, "eager"):
        scores = {selection.metric: entries[chosen].test} if selection and chosen in entries else {}
        if predictions is None and refit is not None:
            predictions = refit.artifacts.get("predictions")
    return _model(
        store,
        predictions,
        artifacts.get(f"samples.{chosen}.{form}"),
        name=name,
        title=f"{chosen} ({form})" if form else chosen,
        record=_title(record),
        data=refit.parents.get("data", "") if refit else "",
        hardware=benchmark.hardware if benchmark else None,
        scores=scores,
        measurement=measurements.get((chosen, form or "")),
    )


def _alone(name: str, record: records.MeasurementRecord | records.ModelRecord, store: ArtifactStore) -> ComparedModel:
    about = {"name": name, "record": _title(record), "data": record.parents.get("data", "")}
    if isinstance(record, records.ModelRecord):
        own = record.artifacts.get("predictions")
        return _model(store, own, None, title=record.entrant, scores=record.metrics, **about)
    variant, measured = _related(store, record, records.VariantRecord, "variant"), record.measurement
    return _model(
        store,
        variant.artifacts.get("predictions") if variant else None,
        record.artifacts.get("samples"),
        title=f"{measured.entrant} ({measured.variant})",
        hardware=record.hardware,
        measurement=measured,
        **about,
    )


def _model(
    store: ArtifactStore, predictions: records.ArtifactRef | None, samples: records.ArtifactRef | None, **fields: Any
) -> ComparedModel:
    """The model with what can be read of its predictions and samples, and notes on the rest."""
    notes: list[str] = []
    held, repetitions = None, tuple[Repetition, ...]()
    try:
        held = Predictions.load(store.fetch(predictions)) if predictions is not None else None
    except (DamagedArtifact, InputError) as error:
        notes.append(f"its predictions cannot be read: {error}")
    try:
        if samples is not None:
            raw = json.loads((store.fetch(samples) / "samples.json").read_text())
            repetitions = tuple(Repetition.model_validate(one) for one in raw["repetitions"])
    except (DamagedArtifact, OSError, ValueError, KeyError) as error:
        notes.append(f"its raw samples cannot be read: {error}")
    measured = fields.get("measurement")
    notes += measured.notes if measured is not None and measured.unstable else ()
    return ComparedModel(predictions=held, repetitions=repetitions, notes=notes, **fields)


def _title(record: records.Record) -> str:
    return f"{record.kind} {record.key[:12]}"
