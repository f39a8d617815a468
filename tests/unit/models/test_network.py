from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import (
    BertConfig,
    ElectraConfig,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    XLNetConfig,
)

from podium.errors import ModelError
from podium.models.network import check_length, load_model, set_dropout
from podium.models.prompted.positions import longest_input
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


class _Nine:
    pad_token_id = 0

    def __len__(self) -> int:
        return 9


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


@pytest.mark.parametrize("architecture", ["ElectraForSequenceClassification", "T5ForSequenceClassification"])
def test_a_head_is_kept_for_the_same_labels_alone(tmp_path: Path, architecture: str) -> None:
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    made = {
        "ElectraForSequenceClassification": lambda: ElectraConfig(vocab_size=9, embedding_size=8, **shape),
        "T5ForSequenceClassification": lambda: T5Config(
            vocab_size=9, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1
        ),
    }
    config = made[architecture]()
    config.id2label, config.label2id = {0: "spam", 1: "ham"}, {"spam": 0, "ham": 1}
    torch.manual_seed(3)
    saved = getattr(transformers, architecture)(config)
    saved.save_pretrained(tmp_path)

    def loaded(*labels: str, task: str = "text-classification") -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        return dict(load_model(tmp_path, task, labels, _Nine()).state_dict())

    before, other, smaller = dict(saved.state_dict()), loaded("a", "b"), loaded("a", "b", "c")
    output = next(name for name in before if "out_proj" in name and name.endswith("weight"))
    assert torch.equal(loaded("spam", "ham")[output], before[output])
    assert torch.equal(loaded("ham", "spam")[output], before[output].flip(0)), "by name, not by number"
    assert not torch.isclose(other[output], before[output]).any() and other[output].std() > 0
    same = {name for name in before if torch.equal(other[name], before[name])}
    assert {name for name in before if name not in same} == {name for name in before if "out_proj" in name} - {
        name for name in before if name.endswith("bias") and not before[name].any()
    }
    assert torch.allclose(other[output].std(), smaller[output].std(), atol=0.2), "drawn alike where the size differs"


def test_minus_one_is_no_limit_of_positions() -> None:
    model = transformers.XLNetModel(XLNetConfig(vocab_size=9, d_model=8, n_layer=1, n_head=1, d_inner=8))
    assert model.config.max_position_embeddings == -1
    assert longest_input(model, _Unlimited()) is None
