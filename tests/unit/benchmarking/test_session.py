from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from podium.benchmarking import launch
from podium.benchmarking import session as services
from podium.benchmarking.calls import Repetition, WorkerCall
from podium.benchmarking.session import (
    MeasurementRequest,
    MeasuringService,
    ModelFiles,
    Session,
    measure_together,
    split,
)
from podium.config.benchmark import BenchmarkConfig
from podium.errors import BenchmarkError, InputError, ModelError
from podium.execution.slots import core_slots
from podium.keys import Key
from podium.records import Measurement, MeasurementRecord
from podium.store import lease
from podium.store.store import ArtifactStore
from tests.unit.selection.simulated import measurement, repetitions


def model(files: Path, name: str = "b") -> ModelFiles:
    return ModelFiles(files, name, "eager", "d")


def session(config: BenchmarkConfig | None = None, rows: Sequence[str] = ("text",)) -> Session:
    return Session(rows, "text-classification", config or BenchmarkConfig())


def repetition(number: int) -> Repetition:
    samples = {
        "latency": {"latency_ns": [10**7] * 100, "tokens": [5] * 100},
        "throughput": {"batch_ns": [10**8] * 4},
    }
    return Repetition(pid=1, number=number, load_seconds=0.5, peak_rss_mb=300.0, samples=samples)


@pytest.mark.parametrize(
    ("make", "reason"), [(True, "has none of config.json, model.onnx, linear.json"), (False, "is no directory")]
)
def test_what_is_no_model_directory_is_refused_before_any_process(tmp_path: Path, make: bool, reason: str) -> None:
    path = tmp_path / "model"
    if make:
        path.mkdir()
    with pytest.raises(ModelError, match=reason):
        measure_together([model(path)], session(), tmp_path)


def test_more_threads_than_cores_are_refused_before_any_process(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    config = BenchmarkConfig(threads=100_000, device="cpu")
    with pytest.raises(InputError, match="threads=100000"):
        measure_together([model(tmp_path)], session(config), tmp_path)


class Recorded:
    """Stands for `RepetitionProcess`: records what happens to it, and fails in turn `fails`."""

    log: ClassVar[list[str]] = []
    fails: ClassVar[str] = ""
    turns: ClassVar[dict[str, list[str]]] = {}
    usual: ClassVar[list[str]] = ["load", "latency", "throughput"]

    def __init__(self, call: WorkerCall, folder: Path, *, turns: bool = True) -> None:
        self.name = f"{folder.name.removesuffix('-eager')} repetition-{call.number}"
        self.number = call.number
        self.left = list(self.turns.get(self.name, self.usual))
        self.log.append(f"start {self.name}")

    @property
    def phase(self) -> str | None:
        return self.left[0] if self.left else None

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *error: object) -> None:
        self.log.append(f"stop {self.name}")

    def await_ready(self, seconds: float) -> None:
        self.log.append(f"ready {self.name}")

    def turn(self, seconds: float) -> None:
        phase = self.left.pop(0)
        self.log.append(f"{phase} {self.name}")
        if self.name == self.fails:
            raise BenchmarkError("broken")

    def result(self) -> Repetition:
        assert not self.left
        return repetition(self.number)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Recorded]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "slots"))
    fake = type("Fake", (Recorded,), {"log": [], "turns": {}})
    monkeypatch.setattr(launch, "RepetitionProcess", fake)
    (tmp_path / "config.json").write_text("{}")
    return fake


def measure(folder: Path, *names: str, **fields: object) -> list[list[dict[str, Any]]]:
    """The repetitions of each model."""
    config = BenchmarkConfig(device="cpu", **fields)
    models = [model(folder, name) for name in names or ("b",)]
    found = measure_together(models, session(config), folder)
    return [samples["repetitions"] for _, samples in found]


def test_repetitions_of_one_model_start_side_by_side_and_measure_one_after_another(
    recorded: type[Recorded], tmp_path: Path
) -> None:
    assert [len(one) for one in measure(tmp_path, repetitions=3)] == [3]
    names = [f"b repetition-{number}" for number in range(3)]
    expected = [f"{what} {name}" for what in ("start", "ready") for name in names]
    expected += [f"{phase} {name}" for name in names for phase in ("load", "latency", "throughput")]
    assert recorded.log == expected + [f"stop {name}" for name in reversed(names)]


def test_models_of_one_session_take_turns_in_alternating_order(recorded: type[Recorded], tmp_path: Path) -> None:
    """All end one phase before any begins the next, whoever has more turns in it."""
    recorded.turns["a repetition-0"] = ["load", "latency", "latency", "latency", "throughput", "throughput"]
    recorded.turns["b repetition-0"] = ["load", "latency", "latency", "throughput"]
    measure(tmp_path, "a", "b", repetitions=1)
    taken = [line.split()[:2] for line in recorded.log if line.split()[0] not in ("start", "ready", "stop")]
    assert [" ".join(turn) for turn in taken] == [
        *("load a", "load b"),
        *("latency a", "latency b", "latency b", "latency a", "latency a"),
        *("throughput a", "throughput b", "throughput a"),
    ]


def test_another_model_begins_the_next_repetition(recorded: type[Recorded], tmp_path: Path) -> None:
    measure(tmp_path, "a", "b", repetitions=3)
    assert [line.split()[1] for line in recorded.log if line.startswith("load")] == ["a", "b", "b", "a", "a", "b"]


def test_repetitions_name_their_session_and_number(recorded: type[Recorded], tmp_path: Path) -> None:
    a, b = measure(tmp_path, "a", "b", repetitions=3)
    assert [one["number"] for one in a] == [one["number"] for one in b] == [0, 1, 2]
    (name,) = {one["session"] for one in (*a, *b)}
    (other,) = {one["session"] for one in measure(tmp_path, "a", repetitions=3)[0]}
    assert name
    assert other not in ("", name)


@pytest.mark.parametrize("models", [1, 2, 3, 4])
def test_many_repetitions_are_not_all_in_memory_at_once(recorded: type[Recorded], tmp_path: Path, models: int) -> None:
    """Four processes at most, and only the models of one repetition."""
    assert [len(one) for one in measure(tmp_path, *"abcd"[:models], repetitions=10)] == [10] * models
    alive = most = 0
    for line in recorded.log:
        alive += {"start": 1, "stop": -1}.get(line.split()[0], 0)
        most = max(most, alive)
    assert (alive, most) == (0, 3 if models == 3 else 4)
    loaded = [line.split()[2] for line in recorded.log if line.startswith("load")]
    assert loaded == [f"repetition-{number}" for number in range(10) for _ in range(models)]


def test_a_failing_repetition_stops_the_others_of_all_models(recorded: type[Recorded], tmp_path: Path) -> None:
    recorded.fails = "b repetition-1"
    with pytest.raises(BenchmarkError, match="broken"):
        measure(tmp_path, "a", "b", repetitions=2)
    assert recorded.log[-5] == "load b repetition-1"
    assert recorded.log[-4:] == [f"stop {model} repetition-{number}" for number in (1, 0) for model in ("b", "a")]


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
    assert got_one.wait(120), "the cores are free again afterwards"
    other.join()


GUARD_SECONDS = 120


class Bench:
    """Takes the place of `measure_together`; notes which models were measured together."""

    def __init__(self, folder: Path) -> None:
        self.calls: list[list[str]] = []
        self.fails = ""
        self.meanwhile: Callable[[], object] = lambda: None
        self.store = ArtifactStore(str(folder / "store"))

    def __call__(self, models: Sequence[ModelFiles], *_: Any) -> list[tuple[Measurement, dict[str, Any]]]:
        names = [model.name for model in models]
        self.calls.append(names)
        self.meanwhile()
        if self.fails in names:
            raise BenchmarkError(f"{self.fails} is broken")
        made = measurement(repetitions(1))
        return [(made.model_copy(update={"entrant": name}), {"of": name}) for name in names]

    def measured(self, names: str, *, reuse: bool = True, task: str = "text-classification") -> list[MeasurementRecord]:
        service = MeasuringService(self.store, {"device": "cpu"}, reuse=reuse)
        return service.measure([request(name) for name in names], Session(["row"], task, BenchmarkConfig()))


def request(name: str) -> MeasurementRequest:
    files = ModelFiles(Path(), name, "eager", "d")
    return MeasurementRequest(files, Key.of("measurement", name=name), {"data": "0" * 64})


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    fake = Bench(tmp_path)
    monkeypatch.setattr(services, "measure_together", fake)
    return fake


def test_what_is_not_stored_is_one_session(bench: Bench) -> None:
    bench.measured("b")
    found = bench.measured("abc")
    assert bench.calls == [["b"], ["a", "c"]]
    assert [record.measurement.entrant for record in found] == ["a", "b", "c"]
    assert [record.key for record in found] == [request(name).key.digest for name in "abc"]
    assert {record.parents["data"] for record in found} == {"0" * 64}
    for record in found:
        samples = bench.store.fetch(record.artifacts["samples"]) / "samples.json"
        assert samples.read_text() == f'{{"of": "{record.measurement.entrant}"}}'
    assert bench.measured("abc") == found
    assert len(bench.calls) == 2


def test_many_are_several_sessions_and_a_failing_one_stores_nothing(bench: Bench) -> None:
    bench.fails = "e"
    with pytest.raises(BenchmarkError, match="e is broken"):
        bench.measured("abcdef")
    assert bench.calls == [["a", "b", "c"], ["d", "e", "f"]]
    bench.fails = ""
    bench.measured("abcdef")
    assert bench.calls[2:] == [["d", "e", "f"]]


def test_language_models_are_measured_one_by_one(bench: Bench) -> None:
    bench.measured("ab", task="generation")
    assert bench.calls == [["a"], ["b"]]


def test_a_new_measurement_can_be_forced(bench: Bench) -> None:
    bench.measured("ab")
    bench.measured("ab", reuse=False)
    assert bench.calls == [["a", "b"]] * 2


def test_two_callers_never_measure_the_same_model_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second asks for another set of models while the first measures: it waits for what they share."""
    second_asked = threading.Event()
    found: list[list[MeasurementRecord]] = []
    other = threading.Thread(target=lambda: found.append(bench.measured("bc")), daemon=True)

    def note(event: str, **_: object) -> None:
        if event == "step_waiting":
            second_asked.set()

    def start_the_other() -> None:
        if len(bench.calls) == 1:
            other.start()
            assert second_asked.wait(GUARD_SECONDS), "the second caller waits for a lease, or measures too"
        elif "b" in bench.calls[-1]:
            second_asked.set()

    monkeypatch.setattr(lease, "emit", note)
    bench.meanwhile = start_the_other
    first = bench.measured("ab")
    other.join(GUARD_SECONDS)
    assert bench.calls == [["a", "b"], ["c"]]
    assert found[0][0] == first[1]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (4, [4]), (5, [2, 3]), (8, [4, 4]), (9, [3, 3, 3]), (10, [3, 3, 4])]
)
def test_sessions_are_few_and_of_nearly_equal_size(count: int, sizes: list[int]) -> None:
    requests = [request(str(number)) for number in range(count)]
    found = split(requests, 4)
    assert [len(one) for one in found] == sizes
    assert [item for one in found for item in one] == requests
