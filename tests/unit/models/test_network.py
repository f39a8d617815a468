from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, RobertaConfig, RobertaForSequenceClassification, T5Config, XLNetConfig

from podium.errors import ModelError
from podium.models.network import check_length, load_model, set_dropout
from podium.models.tokenizer import load_tokenizer


def test_head_and_labels(bert_tiny: Path) -> None:
    tokenizer = load_tokenizer(bert_tiny, "ner")
    model = load_model(bert_tiny, "ner", ("O", "B-X", "I-X"), tokenizer)
    assert model.config.id2label == {0: "O", 1: "B-X", 2: "I-X"}
    assert model.config.label2id == {"O": 0, "B-X": 1, "I-X": 2}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_dropout_reaches_every_layer(bert_tiny: Path) -> None:
    tokenizer = load_tokenizer(bert_tiny, "text-classification")
    model = load_model(bert_tiny, "text-classification", ("a", "b"), tokenizer, dropout=0.37)
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.37}


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (BertConfig(), {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
        (T5Config(), {"dropout_rate"}),
        (XLNetConfig(), {"dropout", "summary_last_dropout"}),
    ],
)
def test_dropout_names(config: Any, names: set[str]) -> None:
    set_dropout(config, 0.25)
    assert all(getattr(config, name) == 0.25 for name in names)
    assert getattr(config, "classifier_dropout", None) in (None, 0.25)


def test_architecture_without_dropout_is_refused() -> None:
    class Plain:
        model_type = "plain"

        def to_dict(self) -> dict[str, Any]:
            return {"hidden_size": 3, "use_dropout": True}

    with pytest.raises(ModelError, match=r"architecture with dropout, but 'plain' has none"):
        set_dropout(Plain(), 0.1)


class _Unlimited:
    model_max_length = int(1e30)


def test_length_beyond_the_positions_is_refused(bert_tiny: Path) -> None:
    tokenizer = load_tokenizer(bert_tiny, "ner")
    model = load_model(bert_tiny, "ner", ("O",), tokenizer)
    check_length(model, tokenizer, 512)
    with pytest.raises(ModelError, match=r"max_length <= 512 must hold .* but got 513"):
        check_length(model, _Unlimited(), 513)


def test_positions_that_roberta_leaves_unused_do_not_count() -> None:
    config = RobertaConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=34,
    )
    model = RobertaForSequenceClassification(config)
    check_length(model, _Unlimited(), 32)
    model(torch.full((1, 32), 7))
    with pytest.raises(ModelError, match="max_length <= 32"):
        check_length(model, _Unlimited(), 33)
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, 33), 7))
