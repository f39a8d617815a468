"""Prepares a data set: reads, checks, deduplicates, splits, and writes the `data` artifact.

Two passes with bounded memory. The first streams the sources into one Arrow file and keeps 45 bytes per row;
splits and folds are computed from those (200 bytes per row at the peak). The second streams the Arrow file into one
file per split.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from podium.config.schema import DatasetConfig
from podium.data.artifact import rows_of, write_artifact
from podium.data.formats import fingerprint, resolve_sources
from podium.data.index import documents, keep_rows
from podium.data.partition import partition
from podium.data.readers.base import FALLBACK
from podium.data.shortcuts import ends_of, named_labels, numbered_labels
from podium.data.sources import ROLES, Source
from podium.data.staging import REWRITTEN, Staged, stage
from podium.errors import DataError, StoreError, disk_full_message, is_disk_full
from podium.records import PreparedData
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.tasks.columns import alike
from podium.text import shortened

_SHOWN = 10


def prepare(config: DatasetConfig, seed: int, output: Path) -> PreparedData:
    """Prepare the data set of `config` and write its artifact tree into the directory `output`.

    The result depends on the bytes of the sources, the config and the seed only.

    Raises:
        DataError: the data cannot be used; the message says where and what to do.
        StoreError: the disk is full.
    """
    sources = resolve_sources(config)
    output.mkdir(parents=True, exist_ok=True)
    with _disk_space(output), tempfile.TemporaryDirectory(prefix=".rows-", dir=output) as scratch:
        staged = stage(sources, config, Path(scratch) / "rows.arrow")
        index = staged.index
        if not staged.read:
            raise DataError(f"a data set must have rows, but dataset.path={config.path} has none")
        if not (index.column("role") == 0).any():
            first = f"; the first: {staged.examples[0]}" if staged.examples else ""
            raise DataError(
                f"a data set must have rows to train on, but of {staged.read} rows read {staged.rejected} are bad and "
                f"no train row is left{first}"
            )
        groups, of_rows = index.groups(), documents(index)
        kept, doubts = keep_rows(index, groups, config.deduplicate)
        parts = partition(index, groups, kept, config, seed, of_rows)
        kinds, of_kinds = list(index.kinds), index.column("kinds")
        used = np.unique(of_kinds[np.concatenate([parts.train, parts.validation, parts.test])])
        labels = TASKS.get(config.task).label_space(set().union(*(kinds[number] for number in used)))
        counts = write_artifact(staged, parts, labels, output, of_rows)
        cautions = [*_cautions(output, labels, counts, TASKS.get(config.task))]
        if (index.column("role") < ROLES.index("test")).all() and of_rows is None:
            cautions += _of_shared_values(staged)
    return PreparedData(
        name=config.name,
        task=config.task,
        labels=labels,
        rows={split: len(getattr(parts, split)) for split in ROLES},
        label_counts=counts,
        folds=config.folds,
        read_rows=staged.read,
        duplicates=len(index) - len(kept) + parts.dropped,
        rejected=staged.rejected,
        rejected_examples=tuple(staged.examples),
        warnings=(
            *_warnings(sources, staged, config),
            *staged.doubts,
            *_label_doubts(counts, config),
            *doubts,
            *parts.warnings,
        ),
        cautions=tuple(cautions),
        sources=fingerprint(config),
    )


def _warnings(sources: tuple[Source, ...], staged: Staged, config: DatasetConfig) -> Iterator[str]:
    if staged.rejected:
        yield f"rows that break the schema and were dropped: {staged.rejected} of {staged.read}"
    if staged.notes[FALLBACK]:
        encodings = f"not {config.encoding} and were read as {config.fallback_encoding}"
        yield f"rows that are {encodings}: {staged.notes[FALLBACK]}"
    if staged.notes[REWRITTEN]:
        yield f"{TASKS.get(config.task).rewritten}: {staged.notes[REWRITTEN]}"
    for note, count in sorted(staged.notes.items()):
        if count and note not in (FALLBACK, REWRITTEN):
            yield f"{note}: {count}"
    ignored = [name for source in sources for name in source.ignored]
    if ignored:
        yield f"files beside the data that were ignored: {len(ignored)} ({shortened(ignored, 3)})"


def _label_doubts(counts: dict[str, dict[str, int]], config: DatasetConfig) -> Iterator[str]:
    task = TASKS.get(config.task)
    totals = sum((_by_kind(task, of_split) for of_split in counts.values()), Counter[str]())
    for group in alike(totals):
        yield f"{task.kinds_word} that differ only in case, blanks or marks: {group}; if they are one, make them equal"
    yield from task.label_doubts(totals, config.label_column)


def _cautions(data: Path, labels: tuple[str, ...], counts: dict[str, dict[str, int]], task: Task) -> Iterator[str]:
    """Why scores on these rows say less than they seem to."""
    by_split = {split: _by_kind(task, of_split) for split, of_split in counts.items()}
    learned = sorted(by_split["train"] + by_split["validation"])
    if untested := [repr(kind) for kind in learned if not by_split["test"][kind]]:
        shown = shortened(untested, _SHOWN)
        yield f"{task.kinds_word} that no test row has, so that no score tells how they are answered: {shown}"
    if task.several:
        return
    looked = ends_of(rows_of(data, "train"), sum(counts["train"].values()))
    if own := named_labels(looked, labels):
        yield (
            f"texts that name their own label and no other: {own:,} of {len(looked):,} train rows; a model can read it "
            "off, so the score holds for new texts only if they name it, too"
        )
    if own := numbered_labels(looked):
        yield (
            f"texts with a number of their own that nearly decides the label: {own:,} of {len(looked):,} train rows; "
            "if it is an id, take it out, since new texts have others"
        )


def _of_shared_values(staged: Staged) -> Iterator[str]:
    for column, values in staged.shared.deciding():
        yield (
            f"rows with the same {column!r} nearly always have the same label, and its {values:,} values stand on both "
            f"sides of the splits, so the score says little of rows with a new {column!r}; give some as a test file "
            "(dataset.test_path)"
        )


def _by_kind(task: Task, counts: dict[str, int]) -> Counter[str]:
    """How often the labels or tags of every kind occur."""
    found: Counter[str] = Counter()
    for label, number in counts.items():
        found.update(dict.fromkeys(task.kinds([label] if task.several else label), number))
    return found


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
