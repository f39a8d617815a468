"""Low-rank adapters, and decoder-only backbones as classifiers, on tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from podium.data.artifact import DataArtifact
from podium.evaluation.predictions import Predictions
from podium.inference.predictor import PredictorSpec, load_predictor, predict
from podium.models.network import load_model, with_lora
from podium.models.tokenizer import load_tokenizer
from podium.training.train import train
from tests.unit.conftest import SpecMaker, bbc_rows

SIZES = {"vocab_size": 640, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
DECODERS: dict[str, Any] = {
    "llama": lambda: transformers.LlamaConfig(**SIZES, intermediate_size=64, num_key_value_heads=1),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, intermediate_size=64, num_key_value_heads=1),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=640, n_embd=32, n_layer=2, n_head=2, n_positions=128),
}


@pytest.fixture(scope="session")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random decoders whose tokenizer has no padding token, as those of Llama and GPT-2 have none."""
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", "</s>"], show_progress=False)
    raw.train_from_iterator(bbc_rows(5)["text"], trainer)
    found = {}
    for name, config in DECODERS.items():
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(1)
        transformers.AutoModelForCausalLM.from_config(config()).save_pretrained(folder)
        transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>", unk_token="<unk>").save_pretrained(
            folder
        )
        found[name] = folder
    return found


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_decoder_learns_to_classify_and_is_loaded_as_it_was_scored(
    text_spec: SpecMaker, decoders: dict[str, Path], bbc: Path, name: str, adapter: str
) -> None:
    spec = text_spec(fold=None, adapter=adapter, epochs=0.2, learning_rate=1e-3)
    spec = spec.model_copy(update={"backbone": decoders[name]})
    train(spec)
    scored = Predictions.load(spec.output / "predictions")
    predictor = load_predictor(
        PredictorSpec(
            model_dir=spec.output / "model",
            variant="eager",
            task=spec.task,
            labels=spec.labels,
            trust_remote_code=False,
            device="cpu",
            threads=1,
        )
    )
    again = predict(predictor, spec.task, spec.labels, DataArtifact(bbc).test)
    assert scored.probabilities is not None
    assert again.probabilities == pytest.approx(scored.probabilities, abs=1e-4)


def test_padding_does_not_change_what_a_decoder_answers(decoders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(decoders["llama"], "text-classification")
    model = load_model(decoders["llama"], "text-classification", ("a", "b"), tokenizer).eval()
    assert (tokenizer.pad_token, model.config.pad_token_id) == ("</s>", tokenizer.eos_token_id)
    alone = tokenizer(["shares fell"], return_tensors="pt")
    beside = tokenizer(["shares fell", "a much longer text about a match in London"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        assert model(**beside).logits[0].tolist() == pytest.approx(model(**alone).logits[0].tolist(), abs=1e-5)


def test_only_adapters_and_the_head_are_trained_and_a_plain_model_is_left(
    text_spec: SpecMaker, bert_tiny: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(bert_tiny, "text-classification")
    model = load_model(bert_tiny, "text-classification", ("a", "b"), tokenizer)
    adapted = with_lora(model, "text-classification", 4, 8)
    trained = {name for name, value in adapted.named_parameters() if value.requires_grad}
    assert trained
    assert all("lora_" in name or "classifier" in name for name in trained)
    spec = text_spec(fold=None, pretrained=True, adapter="lora", lora_rank=2)
    train(spec)
    before, after = load_file(bert_tiny / "model.safetensors"), load_file(spec.output / "model" / "model.safetensors")
    embedding = next(name for name in after if name.endswith("word_embeddings.weight"))
    query = next(name for name in after if name.endswith("layer.0.attention.self.query.weight"))
    assert not any("lora" in name for name in after)
    assert np.array_equal(before[embedding], after[embedding])
    change = after[query] - before[query]
    assert 0 < np.linalg.matrix_rank(change, tol=1e-4 * np.linalg.norm(change)) <= 2


@pytest.mark.parametrize("die_before", [3, 8])
def test_a_resumed_training_of_adapters_ends_the_same(
    text_spec: SpecMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, die_before: int
) -> None:
    from podium.training.trainer import PodiumTrainer

    spec = text_spec(fold=0, adapter="lora", checkpoints_per_epoch=4)
    whole = train(spec.model_copy(update={"output": tmp_path / "whole"}))
    step = PodiumTrainer.training_step

    def dies(self: Any, *args: Any, **named: Any) -> Any:
        if self.state.global_step == die_before:
            raise KeyboardInterrupt
        return step(self, *args, **named)

    monkeypatch.setattr(PodiumTrainer, "training_step", dies)
    with pytest.raises(KeyboardInterrupt):
        train(spec)
    monkeypatch.setattr(PodiumTrainer, "training_step", step)
    saved = sorted(spec.output.glob("checkpoints/*/model.safetensors"))
    assert saved
    assert not any("word_embeddings" in name for name in load_file(saved[-1]))
    assert train(spec).metrics == whole.metrics


def test_a_fold_may_leave_its_merged_model(text_spec: SpecMaker) -> None:
    spec = text_spec(fold=0, adapter="lora").model_copy(update={"keep_model": True})
    train(spec)
    assert not any("lora" in name for name in load_file(spec.output / "model" / "model.safetensors"))
