"""What is stored is reused, the rest is measured together, and nothing is measured by two at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from podium.benchmarking import service as services
from podium.benchmarking.service import MeasurementRequest, MeasuringService, split
from podium.benchmarking.session import ModelFiles, Session
from podium.config.benchmark import BenchmarkConfig
from podium.errors import BenchmarkError
from podium.keys import Key
from podium.records import Measurement, MeasurementRecord
from podium.store import lease
from podium.store.store import ArtifactStore
from tests.unit.selection.simulated import measurement, repetitions

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
        return [(made.model_copy(update={"backbone": name}), {"of": name}) for name in names]

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
    assert [record.measurement.backbone for record in found] == ["a", "b", "c"]
    assert [record.key for record in found] == [request(name).key.digest for name in "abc"]
    assert {record.parents["data"] for record in found} == {"0" * 64}
    for record in found:
        samples = bench.store.fetch(record.artifacts["samples"]) / "samples.json"
        assert samples.read_text() == f'{{"of": "{record.measurement.backbone}"}}'
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
