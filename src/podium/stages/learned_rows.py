"""Which rows a model learned from: its score on these promises too much for others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from podium import records
from podium.data.artifact import DataArtifact
from podium.data.index import comparable
from podium.errors import DamagedArtifact, InputError
from podium.inference.stored import StoredRun
from podium.store.store import ArtifactStore
from podium.tasks import TASKS


def seen_rows(run: StoredRun, ids: Sequence[str], store: Callable[[], ArtifactStore]) -> list[bool] | None:
    """Whether the model of a run of `podium infer` learned from each of some of its rows; None where it is not known.

    Args:
        store: returns the store, or raises `InputError` where there is none.
    """
    texts = run.columns.get(run.run.content or "")
    if texts is None or not run.model_digest:
        return None
    place = {row: number for number, row in enumerate(run.ids)}
    try:
        return learned_from(store(), run.model_digest, [texts[place[row]] for row in ids])
    except InputError:
        return None


def learned_from(store: ArtifactStore, model: str, contents: Sequence[Any]) -> list[bool] | None:
    """Whether the model learned from a row with the content of each row.

    Args:
        model: digest of its files.
        contents: texts, or lists of words.

    Returns:
        None where the store does not know the model, or no longer has its data.
    """
    try:
        refit = _refit(store, model)
        data = store.get(records.DataRecord, refit.parents["data"]) if refit and "data" in refit.parents else None
        if data is None:
            return None
        rows = DataArtifact(store.fetch(data.artifacts["data"])).development[TASKS.get(data.task).content]
    except DamagedArtifact:
        return None
    known = {_digest(data.task, content) for content in rows}
    return [content is not None and _digest(data.task, content) in known for content in contents]


def _refit(store: ArtifactStore, model: str) -> records.ModelRecord | None:
    """The refit with these files, or the one that a variant with these files was made from."""
    for _, digest in store.find(f"{records.ModelRecord.kind}/"):
        refit = store.get(records.ModelRecord, digest)
        if refit and _has(refit, model):
            return refit
    for _, digest in store.find(f"{records.VariantRecord.kind}/"):
        variant = store.get(records.VariantRecord, digest)
        if variant and _has(variant, model) and "refit" in variant.parents:
            return store.get(records.ModelRecord, variant.parents["refit"])
    return None


def _has(record: records.Record, model: str) -> bool:
    held = record.artifacts.get("model")
    return held is not None and held.digest == model


def _digest(task: str, content: Any) -> bytes:
    return hashlib.blake2b(comparable(TASKS.get(task).as_text(content)), digest_size=16).digest()
