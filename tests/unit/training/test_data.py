from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.models.tokenizer import load_tokenizer
from podium.tasks import TASKS
from podium.tasks.base import IGNORED
from podium.training.data import HeldOut, tokenised
from tests.support import PATIENCE_SECONDS

LABELS = ("O", "B-PER", "I-PER")
NER = TASKS.get("ner")


def encode_sentences(tokenizer: Any, sentences: list[list[str]], tags: list[list[int]], max_length: int) -> Any:
    return NER.encode(tokenizer, sentences, tags, len(LABELS), max_length)


def restore_tags(predicted: list[int], words: list[int], count: int) -> Any:
    """Tags of a sentence of `count` words from the label index at each labelled position."""
    best = np.array([predicted])
    (tags,) = NER.decode(NER.unpad(best, np.zeros_like(best), [words], [count]), LABELS).predicted
    return tags


@pytest.fixture(scope="module")
def tokenizer(bert_tiny: Path) -> Any:
    return load_tokenizer(bert_tiny, "ner")


def test_first_sub_token_carries_the_tag(tokenizer: Any) -> None:
    encoded = encode_sentences(tokenizer, [["Ulugbek", "met", "Schwarzenegger", "."]], [[1, 0, 2, 0]], 32)
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]" and "##" in " ".join(tokens), "the sentence must be split"
    labelled = [(token, label) for token, label in zip(tokens, encoded["labels"][0], strict=True) if label != IGNORED]
    assert [label for _, label in labelled] == [1, 0, 2, 0]
    assert not any(token.startswith("##") or token.startswith("[") for token, _ in labelled)
    assert encoded["words"] == [[0, 1, 2, 3]]
    assert encoded["length"] == [len(tokens)]


def test_repeated_words_are_each_labelled(tokenizer: Any) -> None:
    encoded = encode_sentences(tokenizer, [["no", "no", "no"]], [[0, 1, 2]], 32)
    assert encoded["labels"] == [[IGNORED, 0, 1, 2, IGNORED]]


def test_words_cut_off_or_without_tokens_are_not_seen_and_predicted_outside(tokenizer: Any) -> None:
    words = ["\u200b", *["word"] * 20]
    encoded = encode_sentences(tokenizer, [words], [[1] * 21], 8)
    assert encoded["words"] == [[1, 2, 3, 4, 5, 6]], "eight tokens are two special ones and six words"
    assert restore_tags([1] * 6, encoded["words"][0], 21) == ["O", *["B-PER"] * 6, *["O"] * 14]


@settings(max_examples=60, deadline=None)
@given(
    sentence=st.lists(st.text(min_size=0, max_size=12), max_size=12),
    max_length=st.integers(min_value=8, max_value=40),
    data=st.data(),
)
def test_alignment_restores_the_tag_of_every_word_seen(
    tokenizer: Any, sentence: list[str], max_length: int, data: st.DataObject
) -> None:
    tags = data.draw(st.lists(st.integers(0, 2), min_size=len(sentence), max_size=len(sentence)))
    encoded = encode_sentences(tokenizer, [sentence], [tags], max_length)
    labels, words = encoded["labels"][0], encoded["words"][0]
    assert len(labels) == len(encoded["input_ids"][0]) <= max_length
    seen = [label for label in labels if label != IGNORED]
    restored = restore_tags(seen, words, len(sentence))
    for word, tag in enumerate(tags):
        assert restored[word] == (LABELS[tag] if word in words else "O")


def test_texts_are_cut_and_not_padded(tokenizer: Any) -> None:
    encoded = TASKS.get("text-classification").encode(tokenizer, ["one", "one two three " * 20], [4, 2], 5, 10)
    assert [len(ids) for ids in encoded["input_ids"]] == encoded["length"] == [3, 10]
    assert encoded["labels"] == [4, 2]


def _tokens(cache: Path, tokenizer: Any, rows: Dataset, **changes: Any) -> Dataset:
    arguments = {
        "tokenizer_digest": "t",
        "data_digest": "d",
        "split": "test",
        "task": "text-classification",
        "labels": 2,
        "max_length": 16,
    }
    return tokenised(rows, tokenizer=tokenizer, cache=cache, **{**arguments, **changes})


class _Counting:
    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.calls = tokenizer, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.tokenizer(*args, **kwargs)


ROWS = Dataset.from_dict({"id": ["a", "b"], "text": ["one two", "three"], "label": [0, 1]})


def test_tokenised_data_is_made_once(tokenizer: Any, tmp_path: Path) -> None:
    counting = _Counting(tokenizer)
    first = _tokens(tmp_path, counting, ROWS)
    calls = counting.calls
    again = _tokens(tmp_path, counting, ROWS)
    assert calls > 0 and counting.calls == calls
    assert first.to_dict() == again.to_dict()
    assert first["labels"][:] == [0, 1] and first["length"][:] == [4, 3]
    assert again.cache_files, "it must be memory-mapped, not held in memory"


@pytest.mark.parametrize(
    "change", [{"tokenizer_digest": "u"}, {"data_digest": "e"}, {"max_length": 17}, {"split": "train"}]
)
def test_other_tokenizer_data_or_length_is_made_anew(tokenizer: Any, tmp_path: Path, change: dict[str, Any]) -> None:
    counting = _Counting(tokenizer)
    _tokens(tmp_path, counting, ROWS)
    calls = counting.calls
    _tokens(tmp_path, counting, ROWS, **change)
    assert counting.calls > calls


@pytest.mark.parametrize("damage", [b"", b"not arrow"])
def test_damaged_file_is_made_anew(tokenizer: Any, tmp_path: Path, damage: bytes) -> None:
    expected = _tokens(tmp_path, tokenizer, ROWS).to_dict()
    (file,) = tmp_path.glob("*/rows.arrow")
    file.write_bytes(damage)
    assert _tokens(tmp_path, tokenizer, ROWS).to_dict() == expected


def _tokenise_and_count(cache: Path, tokenizer: Any, rows: Dataset) -> None:
    counting = _Counting(tokenizer)
    _tokens(cache, counting, rows)
    (cache / f"calls-{multiprocessing.current_process().pid}").write_text(str(counting.calls))


def test_several_processes_tokenise_once(tokenizer: Any, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_tokenise_and_count, args=(tmp_path, tokenizer, ROWS)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE_SECONDS)
    assert sorted(bool(int(file.read_text())) for file in tmp_path.glob("calls-*")) == [False, False, True]
    assert not list(tmp_path.glob(".partial-*"))


TAGS = ("O", "B-PER")


def held_out(documents: list[str] | None) -> HeldOut:
    """Three sentences of one, three and two words; all words are seen."""
    sizes = [1, 3, 2]
    columns = {
        "id": ["a", "b", "c"],
        "tokens": [["x"] * size for size in sizes],
        "tags": [[0] * size for size in sizes],
    }
    source = Dataset.from_dict(columns if documents is None else {**columns, "document": documents})
    tokens = Dataset.from_dict({"length": sizes, "words": [list(range(size)) for size in sizes]})
    return HeldOut.of("ner", TAGS, source, tokens, np.arange(3))


def test_documents_follow_their_rows_into_the_order_of_the_split() -> None:
    held = held_out(["one", "two", "one"])
    assert held.rows["id"][:] == ["b", "c", "a"] and held.rows["document"][:] == ["two", "one", "one"]
    outputs = [np.full(size, 1) for size in (3, 2, 1)]
    found = held.predictions(outputs, [np.zeros_like(row) for row in outputs])
    assert found.ids == ("a", "b", "c") and found.documents == ("one", "two", "one")
    assert found.predicted == (("B-PER",), ("B-PER",) * 3, ("B-PER",) * 2)


def test_without_documents_predictions_have_none() -> None:
    held = held_out(None)
    outputs = [np.zeros(size, dtype=int) for size in (3, 2, 1)]
    assert held.predictions(outputs, outputs).documents is None
