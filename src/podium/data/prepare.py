"""Prepares a data set: reads, checks, deduplicates, splits, and writes the `data` artifact.

Two passes with bounded memory. The first streams the sources into one Arrow file and keeps some 60 bytes per row;
splits and folds are computed from those (200 bytes per row at the peak). The second streams the Arrow file into one
file per split.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from podium.config.schema import DatasetConfig
from podium.data.artifact import SPLITS
from podium.data.documents import documents
from podium.data.duplicates import Kept, keep_rows
from podium.data.fingerprint import fingerprint
from podium.data.formats import resolve_sources
from podium.data.lines import FALLBACK, check_encodings
from podium.data.partition import Partition, partition
from podium.data.sources import Source
from podium.data.staging import REWRITTEN, Staged, stage
from podium.data.writing import write_artifact
from podium.errors import DataError, StoreError, disk_full_message, is_disk_full
from podium.records import PreparedData
from podium.tasks import TASKS


def prepare(config: DatasetConfig, seed: int, output: Path) -> PreparedData:
    """Prepare the data set of `config` and write its artifact tree into the directory `output`.

    The result depends on the bytes of the sources, the config and the seed only.

    Raises:
        DataError: the data cannot be used; the message says where and what to do.
        StoreError: the disk is full.
    """
    check_encodings(config)
    sources = resolve_sources(config)
    output.mkdir(parents=True, exist_ok=True)
    with _disk_space(output), tempfile.TemporaryDirectory(prefix=".rows-", dir=output) as scratch:
        staged = stage(sources, config, Path(scratch) / "rows.arrow")
        _check_rows(staged, config)
        groups = staged.index.groups()
        kept = keep_rows(staged.index, groups, config.deduplicate)
        of_rows = documents(staged.index)
        parts = partition(staged.index, groups, kept.rows, config, seed, of_rows)
        labels = _labels(staged, parts)
        counts = write_artifact(staged, parts, labels, output, of_rows)
    return PreparedData(
        name=config.name,
        task=config.task,
        labels=labels,
        rows={split: len(getattr(parts, split)) for split in SPLITS},
        label_counts=counts,
        folds=config.folds,
        read_rows=staged.read,
        duplicates=kept.dropped + parts.dropped,
        rejected=staged.rejected,
        rejected_examples=tuple(staged.examples),
        warnings=_warnings(sources, staged, kept, parts, config),
        sources=fingerprint(config),
    )


def _check_rows(staged: Staged, config: DatasetConfig) -> None:
    if not staged.read:
        raise DataError(f"a data set must have rows, but dataset.path={config.path} has none")
    if not (staged.index.roles == 0).any():
        first = f"; the first: {staged.examples[0]}" if staged.examples else ""
        raise DataError(
            f"a data set must have rows to train on, but of {staged.read} rows read {staged.rejected} are bad and no "
            f"train row is left{first}"
        )


def _labels(staged: Staged, parts: Partition) -> tuple[str, ...]:
    """The labels of a model for what occurs in the splits."""
    kinds, rows = list(staged.index.kinds), np.concatenate([parts.train, parts.validation, parts.test])
    present = set().union(*(kinds[number] for number in np.unique(staged.index.kinds_of[rows])))
    return TASKS.get(staged.index.task).label_space(present)


def _warnings(
    sources: tuple[Source, ...], staged: Staged, kept: Kept, parts: Partition, config: DatasetConfig
) -> tuple[str, ...]:
    found = []
    if staged.rejected:
        found.append(f"rows that break the schema and were dropped: {staged.rejected} of {staged.read}")
    if staged.notes[FALLBACK]:
        encodings = f"not {config.encoding} and were read as {config.fallback_encoding}"
        found.append(f"rows that are {encodings}: {staged.notes[FALLBACK]}")
    if staged.notes[REWRITTEN]:
        found.append(f"{TASKS.get(config.task).rewritten}: {staged.notes[REWRITTEN]}")
    ignored = [name for source in sources for name in source.ignored]
    if ignored:
        more = ", …" if len(ignored) > 3 else ""
        found.append(f"files beside the data that were ignored: {len(ignored)} ({', '.join(ignored[:3])}{more})")
    return (*found, *kept.warnings, *parts.warnings)


@contextmanager
def _disk_space(output: Path) -> Iterator[None]:
    """Turn a full disk into an error that says so."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise StoreError(
            "preparing needs room for about twice the size of the data set, but "
            + disk_full_message(error, output, "choose another output or store")
        ) from error
