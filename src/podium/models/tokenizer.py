"""Tokenizers of model directories, set up so that they read data as what it is.

Data is text: a special token that stands in it, such as `</s>`, is read as the characters that it consists of. Words
that come as a list are read as inside a sentence, so byte-level tokenizers see them with the blank before them. What is
set is saved with a model, so training, prediction, exported packages and the server of MLflow read alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from podium.errors import ModelError
from podium.keys import digest_bytes
from podium.models.backbone import GENERATION, content_of, is_package, load_config
from podium.tasks import TASKS
from podium.text import foreign

READING = 1
"""Number of the rules by which this module sets tokenizers up; a part of keys."""

_WORDS = ("the", "house")
_GENERIC = "TokenizersBackend"
"""The class of transformers that takes everything of a tokenizer from `tokenizer.json`."""


def open_tokenizer(path: Path, trust_remote_code: bool) -> Any:
    """A tokenizer that reads special tokens in texts as text, as far as its files allow.

    Raises ModelError if it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=trust_remote_code, split_special_tokens=True
        )
    # The tokenizers library raises bare Exceptions for a file it cannot parse.
    except Exception as error:
        raise ModelError(f"{path} must have a tokenizer that transformers can load, but: {foreign(error)}") from error
    # Without its files transformers makes an empty tokenizer, and every word becomes unknown.
    names = {*tokenizer.vocab_files_names.values(), *(["tokenizer.json"] if tokenizer.is_fast else [])}
    if names and not any((path / name).is_file() for name in names):
        raise ModelError(f"a backbone must have a tokenizer ({' or '.join(sorted(names))}), but {content_of(path)}")
    return tokenizer


def load_tokenizer(path: Path, task: str, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a model directory, for the rows of a task.

    Raises ModelError if it cannot be loaded, has no token to pad with, or is not a fast one where the task needs word
    ids.
    """
    tokenizer = open_tokenizer(path, trust_remote_code)
    if tokenizer.pad_token_id is None:
        # Decoders come without one. What pads is masked, so a token that ends texts serves as well.
        tokenizer.pad_token = _padding_of_model(path, tokenizer) or tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer must have a padding token, or one that ends texts, but that of {path} has neither; "
            "set tokenizer.pad_token and save it with save_pretrained"
        )
    words = TASKS.get(task).words
    if words and not tokenizer.is_fast:
        raise ModelError(
            f"{task} needs a fast tokenizer to align words, but {path} has {type(tokenizer).__name__}; "
            "save one with a tokenizer.json"
        )
    if tokenizer.is_fast:
        _break_special_tokens(tokenizer)
        if words:
            _read_words_as_in_sentences(tokenizer)
    return tokenizer


def check_reading(path: Path, kind: str, trust_remote_code: bool = False) -> None:
    """Raise ModelError if a model needs code that is not trusted, or its tokenizer does not load or cannot pad.

    Args:
        kind: of the model, as `podium.models.backbone.ModelFacts` has it.
    """
    if is_package(path):
        return
    load_config(path, trust_remote_code)
    if kind == GENERATION:
        open_tokenizer(path, trust_remote_code)
    else:
        load_tokenizer(path, kind, trust_remote_code)


def setup_digest(tokenizer: Any) -> str:
    """Digest of how a tokenizer from `load_tokenizer` was set up, beside its files."""
    backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
    parts = [backend.normalizer, backend.pre_tokenizer] if backend else []
    states = [b"" if part is None else bytes(part.__getstate__()) for part in parts]
    return digest_bytes(b"\0".join([b"%d" % READING, *states]))


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer from `load_tokenizer` so that transformers loads it as it was set up.

    Many classes of transformers make all but the vocabulary anew, and would lose what was set; then the files name the
    class that makes nothing anew.
    """
    tokenizer.save_pretrained(folder)
    if not getattr(tokenizer, "podium_changed", False):
        return
    file = folder / "tokenizer_config.json"
    kept = ("model_input_names", "padding_side", "truncation_side", "pad_token_type_id")
    about = {**json.loads(file.read_text(encoding="utf-8")), **{name: getattr(tokenizer, name) for name in kept}}
    about["tokenizer_class"] = _GENERIC
    about.pop("auto_map", None)
    file.write_text(json.dumps(about, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _padding_of_model(path: Path, tokenizer: Any) -> str | None:
    """The token that `config.json` says the model is padded with, where it says one."""
    try:
        number = json.loads((path / "config.json").read_text(encoding="utf-8")).get("pad_token_id")
    except (OSError, ValueError, AttributeError):
        return None
    known = isinstance(number, int) and 0 <= number < len(tokenizer)
    return str(tokenizer.convert_ids_to_tokens(number)) if known else None


def _break_special_tokens(tokenizer: Any) -> None:
    """Put a blank into special tokens in texts where the vocabulary still knows them as a piece.

    The vocabulary of a Unigram model holds its special tokens, and the search for the best pieces finds them there.
    """
    from tokenizers import Regex, normalizers

    backend = tokenizer.backend_tokenizer
    found = [name for name in _special_tokens(tokenizer) if len(name) > 1 and _is_read(backend, name)]
    if not found:
        return
    steps = []
    for first, names in groupby(sorted(found), lambda name: name[0]):
        rest = "|".join(re.escape(name[1:]) for name in names)
        steps.append(normalizers.Replace(Regex(f"{re.escape(first)}(?={rest})"), f"{first} "))
    _add_normalizers(tokenizer, steps)


def _special_tokens(tokenizer: Any) -> Iterable[str]:
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    # An unknown piece is read as the token for unknown pieces, whatever it is.
    return {*tokenizer.all_special_tokens, *added} - {tokenizer.unk_token}


def _is_read(backend: Any, name: str) -> bool:
    number = backend.token_to_id(name), 1  # a zero marks padding
    read = backend.encode_batch([name, f"a{name}b", f"a {name} b"], add_special_tokens=False)
    return any(number in zip(one.ids, one.attention_mask, strict=True) for one in read)


def _read_words_as_in_sentences(tokenizer: Any) -> None:
    """Let the tokenizer read a list of words as it reads the same words in a sentence, if it does not already."""
    from tokenizers import normalizers, pre_tokenizers

    backend = tokenizer.backend_tokenizer
    wanted = _second_word(backend, " ".join(_WORDS))
    if _second_word(backend, _WORDS) == wanted:
        return
    before = backend.normalizer, backend.pre_tokenizer
    if isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        changed = backend.pre_tokenizer
        changed.add_prefix_space = True
        backend.pre_tokenizer = changed
        tokenizer.add_prefix_space = tokenizer.init_kwargs["add_prefix_space"] = True
        tokenizer.podium_changed = True
    else:
        # In a sequence the byte-level step would put a blank before every part of a word.
        _add_normalizers(tokenizer, [normalizers.Prepend(" ")])
    if _second_word(backend, _WORDS) != wanted:
        backend.normalizer, backend.pre_tokenizer = before


def _second_word(backend: Any, content: str | Sequence[str]) -> list[int]:
    read = backend.encode(content, is_pretokenized=not isinstance(content, str), add_special_tokens=False)
    start = len(_WORDS[0]) + 1
    if isinstance(content, str):
        return [number for number, (_, end) in zip(read.ids, read.offsets, strict=True) if end > start]
    return [number for number, word in zip(read.ids, read.word_ids, strict=True) if word == 1]


def _add_normalizers(tokenizer: Any, steps: Sequence[Any]) -> None:
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    own = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([*own, *steps])
    tokenizer.podium_changed = True
