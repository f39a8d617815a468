"""Models that other people saved, as the predictors of PyTorch read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from podium.inference.predictor import PredictorSpec
from podium.inference.torch_predictor import EagerPredictor
from tests.unit.models.architectures import ARCHITECTURES, POSITIONS, tokenizer_of

TEXTS = [f"the house of the {name} is in a street of London" for name in ("king", "queen", "fox", "dog")] * 5


def save_classifier(name: str, folder: Path, pad: int | None = None) -> Path:
    """A classifier with random weights whose tokenizer states no limit."""
    tokenizer = tokenizer_of(name, TEXTS)
    _, config, values = ARCHITECTURES[name]
    torch.manual_seed(1)
    made = getattr(transformers, config)(vocab_size=len(tokenizer), **values, pad_token_id=pad, initializer_range=0.5)
    transformers.AutoModelForSequenceClassification.from_config(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def eager(folder: Path) -> EagerPredictor:
    common: dict[str, Any] = {"labels": None, "trust_remote_code": False, "device": "cpu", "threads": 1}
    return EagerPredictor(PredictorSpec(model_dir=folder, variant="eager", task="text-classification", **common))


@pytest.mark.parametrize(("name", "pad", "limit"), [("roberta", 1, POSITIONS), ("xlnet", 5, None)])
def test_a_text_is_cut_to_what_the_model_reads(tmp_path: Path, name: str, pad: int, limit: int | None) -> None:
    predictor = eager(save_classifier(name, tmp_path, pad))
    assert predictor.max_length == limit
    (tokens,) = predictor.tokens(["the house of London " * 100])
    assert tokens == limit if limit else tokens > 300
    assert len(predictor.logits(["the house of London " * 100, "a house"])) == 2


@pytest.mark.parametrize("pad", [None, 3])
def test_a_decoder_without_padding_is_padded(tmp_path: Path, pad: int | None) -> None:
    predictor = eager(save_classifier("gpt2", tmp_path, pad))
    assert predictor.model.config.pad_token_id == predictor.tokenizer.pad_token_id == (pad or 0)
    alone = predictor.logits(["a house"])[0]
    assert predictor.logits(["a house", TEXTS[0]])[0].tolist() == pytest.approx(alone.tolist(), abs=1e-4)
