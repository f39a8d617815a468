"""The models that people name: the results in the store that a name means.

A name is RUN[:ENTRANT[.VARIANT]]. RUN is a run directory, the id of a run, `latest`, the key of a stored decision,
benchmark, selection, measurement or refit (`KIND/DIGITS` or enough of its digits), or a registered version that Podium
promoted (`NAME@alias` or `NAME/VERSION`). A run or a decision without a model means its winner.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from podium import records
from podium.errors import InputError
from podium.store.store import ArtifactStore
from podium.tracking import Tracker
from podium.tracking.base import TAG_DECISION, TAG_MODEL_KEY

R = TypeVar("R", bound=records.Record)

_STEPS = (
    ("decide", records.DecisionRecord),
    ("benchmark", records.BenchmarkRecord),
    ("select", records.SelectionRecord),
)
REGISTERED = re.compile(r"(?:models:/)?([^/@:]+)(?:@([^/@:]+)|/(\d+))")
"""A registered version: NAME@alias or NAME/VERSION."""
_KEY = re.compile(r"(?:[a-z][a-z_-]*/)?[0-9a-f]{4,64}")
_MODEL = re.compile(r"(.+?):([a-z][a-z0-9-]*)(?:\.([a-z][a-z0-9-]*))?")


@dataclass(frozen=True)
class FoundModel:
    """The model that a name means, and the results that it is part of.

    Attributes:
        record: the result that the run is, or the measurement or refit itself.
        entrant: empty for a measurement outside of a run.
        variant: None for a refit that was not benchmarked.
        built: the variant that was measured, where `record` is a measurement.
    """

    store: ArtifactStore
    record: records.Record
    entrant: str
    variant: str | None
    selection: records.SelectionRecord | None = None
    benchmark: records.BenchmarkRecord | None = None
    refit: records.ModelRecord | None = None
    built: records.VariantRecord | None = None

    def artifact(self, role: str) -> records.ArtifactRef | None:
        """What is stored of the model in a role, such as `model` or `predictions`; None where nothing is."""
        if self.built is not None:
            return self.built.artifacts.get(role)
        if self.benchmark is not None and (
            own := self.benchmark.artifacts.get(f"{role}.{self.entrant}.{self.variant}")
        ):
            return own
        eager = self.refit is not None and self.variant in (None, "eager")
        return self.refit.artifacts.get(role) if eager and self.refit is not None else None


def names_stored(text: str, runs: Path) -> bool:
    """Whether a text has the form of a run, a key or a registered version; a directory of another kind does not."""
    if Path(text).is_dir():
        return (Path(text) / "steps").is_dir()
    run = match[1] if (match := _MODEL.fullmatch(text)) else text
    return any((path / "steps").is_dir() for path in (Path(run), runs / run)) or bool(
        run == "latest" or REGISTERED.fullmatch(run) or _KEY.fullmatch(run)
    )


def find_model(text: str, name: str, store: ArtifactStore, runs: Path, tracker: Callable[[], Tracker]) -> FoundModel:
    """The model that `text` names; `name` is what messages call it.

    Args:
        store: holds the results; a run directory elsewhere has a store of its own.
        runs: the folder of run directories.
        tracker: called for registered versions only.

    Raises:
        InputError: the text names nothing, several things, or nothing that is a model.
        StoreError: a result is damaged.
        TrackingError: the registry cannot be asked.
    """
    match = None if Path(text).is_dir() else _MODEL.fullmatch(text)
    run, entrant, variant = match.groups() if match else (text, None, None)
    folder = next((path for path in (Path(run), runs / run) if (path / "steps").is_dir()), None)
    if folder is not None:
        own = folder.resolve().parents[1] / "store"
        store = ArtifactStore(str(own)) if own.is_dir() else store
        record: records.Record = _of_directory(folder, store)
    elif (registered := REGISTERED.fullmatch(run)) and registered[1] not in records.RECORDS:
        record = _registered(registered, store, tracker())
    elif _KEY.fullmatch(run):
        record = _stored(store, *store.resolve(run))
    else:
        raise InputError(
            f"a run is a run directory, the id of a run in {runs}, `latest`, the key of a result, or a registered "
            f"version as NAME@champion, but got {run!r}"
        )
    if isinstance(record, records.ModelRecord):
        return FoundModel(store, record, record.entrant, None, refit=record)
    if isinstance(record, records.MeasurementRecord):
        built, measured = _related(store, record, records.VariantRecord, "variant"), record.measurement
        refit = _related(store, record, records.ModelRecord, "refit")
        return FoundModel(store, record, measured.entrant, measured.variant, refit=refit, built=built)
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
) -> FoundModel:
    """The model of a run that the name means; without a model the winner, where there is one."""
    if not isinstance(record, records.DecisionRecord | records.BenchmarkRecord | records.SelectionRecord):
        raise InputError(
            f"a decision, benchmark, selection, measurement or refit has a model, but {title_of(record)} is a "
            f"{record.kind}"
        )
    selection = _related(store, record, records.SelectionRecord, "selection")
    benchmark = _related(store, record, records.BenchmarkRecord, "benchmark")
    if entrant is None and isinstance(record, records.DecisionRecord):
        entrant, variant = record.winner, record.winner_variant
    measured = [(one.entrant, one.variant) for one in benchmark.measurements] if benchmark else []
    ranked = [entry.entrant for entry in selection.leaderboard] if selection else []
    candidates: list[tuple[str, str | None]] = [*measured]
    candidates += [(one, None) for one in ranked if one not in {held for held, _ in measured}]
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
    return FoundModel(store, record, chosen, form, selection, benchmark, refit)


def title_of(record: records.Record) -> str:
    """Kind and first digits of the key of a result."""
    return f"{record.kind} {record.key[:12]}"
