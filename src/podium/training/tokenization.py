"""Tokenised data: made once per tokenizer, data set and length, kept as Arrow on disk, shared by all processes."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import tokenizers
from datasets import Dataset

from podium.config.schema import Task
from podium.keys import Key

IGNORED = -100
"""Label of a position that is neither learned nor scored."""

OUTSIDE = "O"

_FILE = "rows.arrow"
_log = logging.getLogger(__name__)


def encode_texts(tokenizer: Any, texts: Sequence[str], labels: Sequence[int], max_length: int) -> dict[str, list[Any]]:
    """Token ids of texts, cut to `max_length`, unpadded; `labels` and `length` (tokens) beside them."""
    encoded = dict(tokenizer(list(texts), truncation=True, max_length=max_length, padding=False))
    return {**encoded, "labels": list(labels), "length": [len(ids) for ids in encoded["input_ids"]]}


def encode_sentences(
    tokenizer: Any, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], max_length: int
) -> dict[str, list[Any]]:
    """Token ids of sentences given as words, cut to `max_length`, unpadded, with aligned labels.

    The first sub-token of a word carries the word's tag; its other sub-tokens and the special tokens carry `IGNORED`.
    `words` lists the word behind each labelled position, in order: a word that was cut off, or of which the tokenizer
    leaves nothing, is not in it.
    """
    encoded = tokenizer(
        [list(words) for words in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        padding=False,
    )
    labels: list[list[int]] = []
    seen: list[list[int]] = []
    for row, sentence_tags in enumerate(tags):
        word_ids = encoded.word_ids(row)
        first = [word is not None and word != before for before, word in zip([None, *word_ids], word_ids, strict=False)]
        labels.append(
            [sentence_tags[word] if is_first else IGNORED for is_first, word in zip(first, word_ids, strict=True)]
        )
        seen.append([word for is_first, word in zip(first, word_ids, strict=True) if is_first])
    lengths = [len(ids) for ids in encoded["input_ids"]]
    return {**dict(encoded), "labels": labels, "words": seen, "length": lengths}


def restore_tags(predicted: Sequence[int], words: Sequence[int], count: int, labels: Sequence[str]) -> list[str]:
    """One tag per word of a sentence of `count` words; a word the model did not see is `O`.

    Args:
        predicted: label index at each labelled position.
        words: the word behind each of those positions, as `encode_sentences` gives them.
    """
    tags = [OUTSIDE] * count
    for word, label in zip(words, predicted, strict=True):
        tags[word] = labels[label]
    return tags


def tokenised(
    dataset: Dataset,
    *,
    tokenizer: Any,
    tokenizer_digest: str,
    data_digest: str,
    split: str,
    task: Task,
    max_length: int,
    cache: Path,
) -> Dataset:
    """The tokenised form of one split, memory-mapped from `cache`, row for row with `dataset`.

    Made on first use by one process while others wait; a damaged file is made anew. Columns: the tokenizer's, `labels`,
    `length`, and `words` for `ner`.
    """
    key = Key.of(
        "tokens",
        tokenizer=tokenizer_digest,
        library=tokenizers.__version__,
        data=data_digest,
        split=split,
        task=task,
        max_length=max_length,
    )
    folder = cache / key.digest
    cache.mkdir(parents=True, exist_ok=True)
    ready = _open(folder, len(dataset))
    if ready is not None:
        return ready
    with _locked(cache / f"{key.digest}.lock"):
        ready = _open(folder, len(dataset))
        if ready is not None:
            return ready
        shutil.rmtree(folder, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache))
        try:
            _write(dataset, tokenizer, task, max_length, partial / _FILE, key.digest)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Dataset.from_file(str(folder / _FILE))


def _write(dataset: Dataset, tokenizer: Any, task: Task, max_length: int, path: Path, fingerprint: str) -> None:
    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if task == "ner":
            return encode_sentences(tokenizer, batch["tokens"], batch["tags"], max_length)
        return encode_texts(tokenizer, batch["text"], batch["label"], max_length)

    dataset.map(
        encode,
        batched=True,
        remove_columns=dataset.column_names,
        cache_file_name=str(path),
        load_from_cache_file=False,
        new_fingerprint=fingerprint[:16],
    )


def _open(folder: Path, rows: int) -> Dataset | None:
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        dataset = Dataset.from_file(str(path))
    except (pa.ArrowInvalid, OSError) as error:
        _log.warning("tokenised data in %s is damaged and is made anew: %s", folder, error)
        return None
    if len(dataset) != rows:
        _log.warning("tokenised data in %s has %d rows instead of %d and is made anew", folder, len(dataset), rows)
        return None
    return dataset


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
