"""Tokenizers of the kinds that pretrained models have, trained on a few sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from podium.errors import ModelError
from podium.models.onnx_package import TOKENIZER
from podium.models.tokenizer import load_tokenizer, save_tokenizer, setup_digest
from tests.unit.models.architectures import ARCHITECTURES, tokenizer_of

TEXTS = [f"the house of the {name} is in a street of London" for name in ("king", "queen", "fox", "dog", "poor")] * 5
WORDS = ["the", "house", "of", "London"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name in ARCHITECTURES:
        found[name] = tmp_path_factory.mktemp(name)
        tokenizer_of(name, TEXTS).save_pretrained(found[name])
    return found


def special_in(tokenizer: Any, ids: list[int]) -> list[int]:
    return [number for number in ids if number in tokenizer.all_special_ids and number != tokenizer.unk_token_id]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_special_tokens_in_data_are_text(saved: dict[str, Path], name: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(saved[name], "text-classification")
    around = special_in(tokenizer, tokenizer("the house")["input_ids"])
    listed = " ".join(tokenizer.all_special_tokens)
    for text in (listed, listed.replace(" ", ""), f"the{listed}house"):
        assert special_in(tokenizer, tokenizer(text)["input_ids"]) == around
    save_tokenizer(tokenizer, tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(listed)["input_ids"] == tokenizer(listed)["input_ids"], "as MLflow's server loads it"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_words_are_read_as_in_a_sentence(saved: dict[str, Path], name: str, tmp_path: Path) -> None:
    plain = AutoTokenizer.from_pretrained(saved[name])(f"a {' '.join(WORDS)}", add_special_tokens=False)["input_ids"]
    tokenizer = load_tokenizer(saved[name], "ner")
    found = tokenizer(WORDS, is_split_into_words=True, add_special_tokens=False)
    assert found["input_ids"] == plain[-len(found["input_ids"]) :]
    assert sorted({*found.word_ids()}) == [0, 1, 2, 3]
    compound = tokenizer(["well-read"], is_split_into_words=True, add_special_tokens=False)
    alone = tokenizer(["well"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    assert compound["input_ids"][: len(alone)] == alone
    save_tokenizer(tokenizer, tmp_path)
    # transformers makes the tokenizer of Qwen2 anew whatever its files say; `load_tokenizer` sets it again.
    again = load_tokenizer(tmp_path, "ner") if name == "qwen2" else AutoTokenizer.from_pretrained(tmp_path)
    assert dict(again(WORDS, is_split_into_words=True)) == dict(tokenizer(WORDS, is_split_into_words=True))
    names = ("padding_side", "pad_token_id", "pad_token_type_id", "model_input_names")
    assert [getattr(again, one) for one in names] == [getattr(tokenizer, one) for one in names]


def test_the_blank_before_a_word_is_only_for_words(saved: dict[str, Path]) -> None:
    first, _ = load_tokenizer(saved["roberta"], "text-classification")("the house", add_special_tokens=False).tokens()
    assert first == "the"
    first, second = load_tokenizer(saved["roberta"], "ner")("the house", add_special_tokens=False).tokens()
    assert (first, second) == ("Ġthe", "Ġhouse")


def test_a_word_piece_tokenizer_stays_as_it_is(bert_tiny: Path, tmp_path: Path) -> None:
    tokenizer, plain = load_tokenizer(bert_tiny, "ner"), AutoTokenizer.from_pretrained(bert_tiny)
    assert tokenizer.backend_tokenizer.normalizer.__getstate__() == plain.backend_tokenizer.normalizer.__getstate__()
    save_tokenizer(tokenizer, tmp_path)
    about = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert about["tokenizer_class"] == type(plain).__name__.removesuffix("Fast")


def test_what_was_set_changes_the_key_of_tokens(saved: dict[str, Path]) -> None:
    digests = [setup_digest(load_tokenizer(saved[name], "ner")) for name in ("roberta", "roberta", "electra")]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0] != setup_digest(load_tokenizer(saved["roberta"], "text-classification"))
    assert digests[2] == setup_digest(load_tokenizer(saved["electra"], "text-classification"))


def test_a_decoder_is_padded_with_what_its_config_says(saved: dict[str, Path]) -> None:
    assert load_tokenizer(saved["gpt2"], "ner").pad_token == "<|endoftext|>"
    (saved["gpt2"] / "config.json").write_text(json.dumps({"model_type": "gpt2", "pad_token_id": 7}))
    assert load_tokenizer(saved["gpt2"], "ner").pad_token_id == 7
    (saved["gpt2"] / "config.json").unlink()


def test_a_tokenizer_of_one_file_is_enough_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    tokenizer_of("gpt2", TEXTS).save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.json").exists()
    load_tokenizer(tmp_path, "text-classification")
    (tmp_path / TOKENIZER).write_text("{")
    with pytest.raises(ModelError, match="must have a tokenizer that transformers can load"):
        load_tokenizer(tmp_path, "text-classification")
