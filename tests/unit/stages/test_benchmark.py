"""What is stored is reused, and the rest is measured together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.benchmarking import run
from podium.errors import BenchmarkError
from podium.keys import Key
from podium.records import Measurement, MeasurementRecord
from podium.stages import benchmark as stage
from podium.stages.benchmark import Job, Subject, measure, measure_all
from podium.store.store import ArtifactStore
from tests.unit.selection.simulated import measurement, repetitions


class Bench:
    """Stands for `podium.benchmarking.run.benchmark`, and for the step; notes which subjects were measured together."""

    def __init__(self, folder: Path) -> None:
        self.calls: list[list[str]] = []
        self.fails = ""
        self.step: Any = SimpleNamespace(
            store=ArtifactStore(str(folder / "store")),
            config=SimpleNamespace(run_mode="reuse", benchmark=None),
            directory=None,
            mlflow_run_id="",
        )
        self.data: Any = SimpleNamespace(task="text-classification", labels=("no", "yes"))

    def __call__(self, subjects: Sequence[Subject], *_: Any, **__: Any) -> list[tuple[Measurement, dict[str, Any]]]:
        names = [subject.name for subject in subjects]
        self.calls.append(names)
        if self.fails in names:
            raise BenchmarkError(f"{self.fails} is broken")
        made = measurement(repetitions(1))
        return [(made.model_copy(update={"backbone": name}), {"of": name}) for name in names]

    def measured(self, names: str) -> list[MeasurementRecord]:
        return measure_all(self.step, self.data, [job(name) for name in names], {"device": "cpu"})


def job(name: str) -> Job:
    return Job(Subject(Path(), name, "eager", "d"), Key.of("measurement", name=name), {"data": "0" * 64})


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    fake = Bench(tmp_path)
    monkeypatch.setattr(run, "benchmark", fake)
    monkeypatch.setattr(stage, "held_out_rows", lambda step, data: ["row"])
    return fake


def test_what_is_not_stored_is_one_session(bench: Bench) -> None:
    bench.measured("b")
    found = bench.measured("abc")
    assert bench.calls == [["b"], ["a", "c"]]
    assert [record.measurement.backbone for record in found] == ["a", "b", "c"]
    assert [record.key for record in found] == [job(name).key.digest for name in "abc"]
    for record in found:
        samples = bench.step.store.fetch(record.artifacts["samples"]) / "samples.json"
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


def test_a_new_measurement_can_be_forced(bench: Bench) -> None:
    bench.measured("ab")
    bench.step.config.run_mode = "force_new"
    bench.measured("ab")
    assert bench.calls == [["a", "b"]] * 2


def test_one_subject_alone_is_a_session(bench: Bench) -> None:
    own = job("a")
    record = measure(bench.step, bench.data, own.subject, own.key, own.parents, {"device": "cpu"})
    assert record.parents == {"data": "0" * 64}
    assert bench.calls == [["a"]]
