from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from podium.benchmarking import launch
from podium.benchmarking.run import benchmark
from podium.benchmarking.spec import RepetitionResult, RepetitionSpec
from podium.config.benchmark import BenchmarkConfig
from podium.errors import BenchmarkError, InputError
from podium.training.execution.slots import core_slots


def repetition() -> RepetitionResult:
    return RepetitionResult(
        pid=1,
        load_seconds=0.5,
        warm_up_ns=[10**6],
        settled=True,
        latency_ns=[10**7] * 100,
        tokens=[5] * 100,
        batch_ns=[10**8] * 4,
        peak_rss_mb=300.0,
        peak_device_mb=None,
    )


@pytest.mark.parametrize(
    ("make", "reason"), [(True, "has neither config.json nor model.onnx"), (False, "is no directory")]
)
def test_what_is_no_model_directory_is_refused_before_any_process(tmp_path: Path, make: bool, reason: str) -> None:
    path = tmp_path / "model"
    if make:
        path.mkdir()
    with pytest.raises(BenchmarkError, match=reason):
        benchmark(path, "b", "eager", "d", ["text"], "text-classification", BenchmarkConfig(), tmp_path)


def test_no_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="at least one row"):
        benchmark(tmp_path, "b", "eager", "d", [], "text-classification", BenchmarkConfig(), tmp_path)


def test_more_threads_than_cores_are_refused_before_any_process(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    config = BenchmarkConfig(threads=100_000, device="cpu")
    with pytest.raises(InputError, match="threads=100000"):
        benchmark(tmp_path, "b", "eager", "d", ["text"], "text-classification", config, tmp_path)


class Recorded:
    """Stands for `RepetitionProcess`: records what happens to it, and fails in turn `fails`."""

    log: ClassVar[list[str]] = []
    fails: ClassVar[int | None] = None

    def __init__(self, spec: RepetitionSpec, folder: Path, name: str) -> None:
        self.name = name
        self.log.append(f"start {name}")

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *error: object) -> None:
        self.log.append(f"stop {self.name}")

    def await_ready(self, seconds: float) -> None:
        self.log.append(f"ready {self.name}")

    def measure(self, kind: type[RepetitionResult], seconds: float) -> RepetitionResult:
        self.log.append(f"measure {self.name}")
        if self.name == f"repetition-{self.fails}":
            raise BenchmarkError("broken")
        return repetition()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Recorded]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "slots"))
    fake = type("Fake", (Recorded,), {"log": [], "fails": None})
    monkeypatch.setattr(launch, "RepetitionProcess", fake)
    (tmp_path / "config.json").write_text("{}")
    return fake


def measure(folder: Path, **fields: object) -> list[float]:
    config = BenchmarkConfig(device="cpu", **fields)
    _, samples = benchmark(folder, "b", "eager", "d", ["text"], "text-classification", config, folder)
    return samples["repetitions"]


def test_repetitions_start_side_by_side_and_measure_in_turn(recorded: type[Recorded], tmp_path: Path) -> None:
    assert len(measure(tmp_path, repetitions=3)) == 3
    names = [f"repetition-{number}" for number in range(3)]
    expected = [f"{what} {name}" for what in ("start", "ready", "measure") for name in names]
    assert recorded.log == expected + [f"stop {name}" for name in reversed(names)]


def test_many_repetitions_are_not_all_in_memory_at_once(recorded: type[Recorded], tmp_path: Path) -> None:
    assert len(measure(tmp_path, repetitions=10)) == 10
    alive = most = 0
    for line in recorded.log:
        alive += {"start": 1, "stop": -1}.get(line.split()[0], 0)
        most = max(most, alive)
    assert (alive, most) == (0, 4)
    assert [line for line in recorded.log if line.startswith("measure")] == [
        f"measure repetition-{n}" for n in range(10)
    ]


def test_a_failing_repetition_stops_the_others(recorded: type[Recorded], tmp_path: Path) -> None:
    recorded.fails = 1
    with pytest.raises(BenchmarkError, match="broken"):
        measure(tmp_path, repetitions=3)
    assert "measure repetition-2" not in recorded.log
    assert recorded.log[-3:] == ["stop repetition-2", "stop repetition-1", "stop repetition-0"]


def test_no_training_gets_a_core_meanwhile(
    recorded: type[Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got_one = threading.Event()

    def train() -> None:
        with core_slots(1):
            got_one.set()

    other = threading.Thread(target=train)
    found = []

    def while_measuring(self: Recorded, seconds: float) -> None:
        other.start()
        found.append(got_one.wait(0.3))

    monkeypatch.setattr(recorded, "await_ready", while_measuring)
    measure(tmp_path, repetitions=1)
    assert found == [False]
    assert got_one.wait(30), "the cores are free again afterwards"
    other.join()
