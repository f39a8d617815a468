"""Tiny models of many architectures with random weights, each with a tokenizer of its own kind, trained on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

VOCABULARY = 400
POSITIONS = 96

_SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BART = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def _byte_level(special: Iterable[str], texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": VOCABULARY, "special_tokens": [*special], "show_progress": False}
    raw.train_from_iterator(texts, trainers.BpeTrainer(initial_alphabet=alphabet, **options))
    return raw


def _unigram(special: Iterable[str], unknown: str, texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    options = {"vocab_size": VOCABULARY, "special_tokens": [*special], "show_progress": False}
    raw.train_from_iterator(texts, trainers.UnigramTrainer(unk_token=unknown, **options))
    return raw


def _word_piece(texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    options = {"vocab_size": VOCABULARY, "special_tokens": [*_BERT], "show_progress": False}
    raw.train_from_iterator(texts, trainers.WordPieceTrainer(**options))
    return raw


def _model(raw: Any) -> dict[str, Any]:
    return dict(json.loads(raw.to_str())["model"])


def _of_bpe(name: str, special: Iterable[str], texts: Iterable[str], **options: Any) -> Any:
    import transformers

    made = _model(_byte_level(special, texts))
    return getattr(transformers, name)(vocab=made["vocab"], merges=[tuple(pair) for pair in made["merges"]], **options)


def _of_pieces(name: str, special: Iterable[str], unknown: str, texts: Iterable[str], **options: Any) -> Any:
    import transformers

    made = _model(_unigram(special, unknown, texts))
    return getattr(transformers, name)(vocab=[tuple(piece) for piece in made["vocab"]], **options)


def _modernbert(texts: Iterable[str]) -> Any:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    raw = _byte_level(_BERT, texts)
    ends = [(name, raw.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _BERT, strict=True))
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=raw, model_input_names=inputs, **names)


def _bert(texts: Iterable[str]) -> Any:
    from transformers import BertTokenizer

    return BertTokenizer(vocab=_model(_word_piece(texts))["vocab"])


ARCHITECTURES: dict[str, tuple[Callable[[Any], Any], str, dict[str, Any]]] = {
    "roberta": (
        lambda texts: _of_bpe("RobertaTokenizer", _BART, texts),
        "RobertaConfig",
        {**_SHAPE, "max_position_embeddings": POSITIONS + 2},
    ),
    "modernbert": (_modernbert, "ModernBertConfig", {**_SHAPE, "max_position_embeddings": POSITIONS}),
    "deberta-v2": (
        lambda texts: _of_pieces("DebertaV2Tokenizer", ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"), "[UNK]", texts),
        "DebertaV2Config",
        {
            **_SHAPE,
            "max_position_embeddings": POSITIONS,
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": ["p2c", "c2p"],
            "type_vocab_size": 0,
        },
    ),
    "xlm-roberta": (
        lambda texts: _of_pieces("XLMRobertaTokenizer", _BART, "<unk>", texts),
        "XLMRobertaConfig",
        {**_SHAPE, "max_position_embeddings": POSITIONS + 2},
    ),
    "xlnet": (
        lambda texts: _of_pieces(
            "XLNetTokenizer", ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"), "<unk>", texts
        ),
        "XLNetConfig",
        {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32},
    ),
    "bart": (
        lambda texts: _of_bpe("RobertaTokenizer", _BART, texts),
        "BartConfig",
        {
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "max_position_embeddings": POSITIONS,
        },
    ),
    "t5": (
        lambda texts: _of_pieces("T5Tokenizer", ("<pad>", "</s>", "<unk>"), "<unk>", texts, extra_ids=5),
        "T5Config",
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
        | {"decoder_start_token_id": 0},
    ),
    "gpt2": (
        lambda texts: _of_bpe("GPT2Tokenizer", ("<|endoftext|>",), texts),
        "GPT2Config",
        {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": POSITIONS},
    ),
    "qwen2": (
        lambda texts: _of_bpe("Qwen2Tokenizer", ("<|endoftext|>",), texts),
        "Qwen2Config",
        {**_SHAPE, "num_key_value_heads": 1, "max_position_embeddings": POSITIONS},
    ),
    "albert": (
        lambda texts: _of_pieces("AlbertTokenizer", ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"), "<unk>", texts),
        "AlbertConfig",
        {**_SHAPE, "embedding_size": 8, "max_position_embeddings": POSITIONS},
    ),
    "electra": (_bert, "ElectraConfig", {**_SHAPE, "embedding_size": 8, "max_position_embeddings": POSITIONS}),
    "mobilebert": (
        _bert,
        "MobileBertConfig",
        {
            **_SHAPE,
            "embedding_size": 8,
            "intra_bottleneck_size": 16,
            "num_feedforward_networks": 2,
            "max_position_embeddings": POSITIONS,
        },
    ),
}
"""By name: what makes its tokenizer from texts, the class of its configuration, and what is set in it."""


def tokenizer_of(name: str, texts: Iterable[str]) -> Any:
    """A tokenizer of the kind that the pretrained models of an architecture have."""
    return ARCHITECTURES[name][0](list(texts))


def save_architecture(name: str, folder: Path, texts: Iterable[str]) -> Path:
    """A backbone with random weights and its tokenizer, which is trained on `texts` and states no limit."""
    import torch
    import transformers

    _, config, values = ARCHITECTURES[name]
    tokenizer = tokenizer_of(name, texts)
    pad = {} if tokenizer.pad_token_id is None else {"pad_token_id": tokenizer.pad_token_id}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(1)
    made = getattr(transformers, config)(vocab_size=len(tokenizer), **values, **pad, **ends)
    transformers.AutoModel.from_config(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
