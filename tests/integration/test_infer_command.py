"""`podium infer` with what a run promoted, with models of transformers and ONNX, and killed as a process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from conftest import Finished, podium_here
from podium.evaluation.predictions import Predictions
from podium.inference.stored import StoredRun, load_run
from podium.models.prompted.package import PromptPackage
from podium.store.store import ArtifactStore
from tests.integration.small_models import LABELS, TAGS, save_linear, save_model
from tests.integration.test_prompt_serving import save_prompted

pytestmark = pytest.mark.integration


def predicted(folder: Path, *arguments: str) -> StoredRun:
    done = podium_here(folder, "infer", *arguments)
    assert done.code == 0, done.output
    return load_run(Path(done.output.splitlines()[-1].rpartition(": ")[2]), folder)


@pytest.fixture
def champion(smoke_run: Finished, tmp_path: Path) -> tuple[tuple[str, ...], Predictions, StoredRun, list[str]]:
    """Options that find the smoke run, the winner's stored predictions, and those of `NAME@champion` for its rows."""
    out = smoke_run.folder / "podium-out"
    decision = json.loads(smoke_run.record("decide").read_text())
    store = ArtifactStore(str(out / "store"))
    benchmark = json.loads(smoke_run.record("benchmark").read_text())
    reference = benchmark["artifacts"][f"predictions.{decision['winner']}.{decision['winner_variant']}"]
    from podium.records import ArtifactRef

    held_out = Predictions.load(store.fetch(ArtifactRef.model_validate(reference)))
    data = json.loads(smoke_run.record("prepare").read_text())["artifacts"]["data"]
    from podium.data.artifact import DataArtifact

    rows = DataArtifact(store.fetch(ArtifactRef.model_validate(data))).test
    texts = list(rows["text"])
    (tmp_path / "new.jsonl").write_text(
        "\n".join(json.dumps({"id": row, "article": text}) for row, text in zip(rows["id"], texts, strict=True))
    )
    options = ("--store", str(out / "store"), "--tracking-uri", f"sqlite:///{out}/mlflow.db")
    found = predicted(tmp_path, "bbc-news@champion", "--data", "new.jsonl", "--all", *options)
    return options, held_out, found, [str(decision["winner"])]


def test_the_champion_answers_new_rows_as_it_did_when_it_was_chosen(
    champion: tuple[tuple[str, ...], Predictions, StoredRun, list[str]], smoke_run: Finished, tmp_path: Path
) -> None:
    options, held_out, found, (winner,) = champion
    assert found.ids == held_out.ids
    assert [line.answer for line in found.lines] == held_out.named("predicted")
    assert held_out.probabilities is not None
    for line, before in zip(found.lines, held_out.probabilities.tolist(), strict=True):
        assert line.probabilities == pytest.approx(before, abs=1e-5)

    keys = {json.loads((found.directory / "run.json").read_text())["key"]}
    run = str(smoke_run.directory)
    for name in (f"{run}:{winner}", run, "models:/bbc-news@champion", "bbc-news/1"):
        again = predicted(tmp_path, name, "--data", "new.jsonl", "--rows", "3", *options)
        keys.add(json.loads((again.directory / "run.json").read_text())["key"])
    elsewhere = ("--store", str(tmp_path / "none"), options[2], options[3])
    again = predicted(tmp_path, "bbc-news@champion", "--data", "new.jsonl", "--rows", "3", *elsewhere)
    keys.add(json.loads((again.directory / "run.json").read_text())["key"])
    assert len(keys) == 1, "equal files are one model, whatever it is called and wherever they come from"

    done = podium_here(tmp_path, "infer", "list", *options)
    assert "bbc-news@champion  (version 1)" in done.output
    assert f"{smoke_run.directory.name}:{winner}" in done.output


def test_tagged_words_and_texts_of_transformers_models(tmp_path: Path) -> None:
    save_model(tmp_path / "tagger", "ner", TAGS)
    rows = [{"words": ["Ada", "met", "Bob"][: number % 3 + 1] * 9} for number in range(7)]
    (tmp_path / "sentences.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = predicted(tmp_path, "tagger", "--data", "sentences.jsonl", "--all", "--format", "parquet")
    assert [len(line.answer) for line in found.lines] == [len(row["words"]) for row in rows]
    assert {tag for line in found.lines for tag in line.answer} <= set(TAGS)
    save_model(tmp_path / "classifier", "text-classification", LABELS)
    (tmp_path / "news.csv").write_text("text,x\n" + "".join(f"{'a word ' * n},1\n" for n in range(1, 600, 60)))
    found = predicted(tmp_path, "classifier", "--data", "news.csv", "--all", "--batch-size", "3")
    assert {line.answer for line in found.lines} <= set(LABELS)
    metrics = json.loads((found.directory / "metrics.json").read_text())
    assert metrics["rows_at_longest_input"] == sum(
        n * 2 + 2 >= metrics["longest_input_tokens"] for n in range(1, 600, 60)
    )


def save_onnx(folder: Path) -> Path:
    """A package that adds up what each word says for each label."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[PAD]": 0, "[UNK]": 1, "goal": 2, "phone": 3}
    table = np.array([[0, 0], [0, 0], [2, 0], [0, 3]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["found"]),
            helper.make_node("ReduceSum", ["found", "axes"], ["logits"], keepdims=0),
        ],
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(folder / "model.onnx"))
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    tokenizer.enable_truncation(8)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"task": "text-classification", "decoding": "single", "labels": ["sport", "tech"]}
    (folder / "podium.json").write_text(json.dumps(about))
    return folder


def test_an_onnx_package_predicts_as_any_other_model(tmp_path: Path) -> None:
    save_onnx(tmp_path / "exported")
    (tmp_path / "news.csv").write_text("text\na late goal\na new phone and a goal\n")
    found = predicted(tmp_path, "exported", "--data", "news.csv", "--format", "csv")
    assert [line.answer for line in found.lines] == ["sport", "tech"]
    assert found.lines[0].probabilities == pytest.approx((0.8808, 0.1192), abs=1e-4)
    assert json.loads((found.directory / "run.json").read_text())["variant"] == "onnx"


@pytest.mark.parametrize("mode", ["decide", "generate"])
def test_a_packaged_prompt_predicts_as_any_other_model(mode: str, tmp_path: Path) -> None:
    save_prompted(tmp_path / "prompted", mode=mode)
    texts = ["a good thing", "win a prize now", "日本"]
    (tmp_path / "mails.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    found = predicted(tmp_path, "prompted", "--data", "mails.jsonl")
    assert [line.answer for line in found.lines] == PromptPackage(tmp_path / "prompted")(texts)
    for line in found.lines:
        assert (line.probabilities is not None) == (mode == "decide")
        assert line.outcome == ("ok" if line.answer else "unparseable")


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    """The process itself, at moments that chance chooses: while it starts, reads, predicts or writes."""
    save_linear(tmp_path / "linear")
    count, chance, kills = 30_000, random.Random(1), 0
    with (tmp_path / "news.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": f"a text about {LABELS[n % 5]} {n}"}) + "\n" for n in range(count))
    command = [
        sys.executable,
        "-m",
        "podium",
        "infer",
        "linear",
        "--data",
        "news.jsonl",
        "--all",
        "--output",
        "out.csv",
    ]
    for _ in range(12):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.5, 3.0))
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        if not (tmp_path / "out.csv").exists():
            continue
        assert len((tmp_path / "out.csv").read_text().splitlines()) == count + 1, "what is there is whole"
    found = predicted(tmp_path, *command[4:])
    lines = [json.loads(line)["id"] for line in (found.directory / "journal.jsonl").read_text().splitlines()]
    assert Counter(lines) == Counter(f"news.jsonl:{n + 1}" for n in range(count))
    assert [line.answer for line in found.lines] == [LABELS[n % 5] for n in range(count)]
    assert kills
    assert not list(tmp_path.rglob("*.partial"))
