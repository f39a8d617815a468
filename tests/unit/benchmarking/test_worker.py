"""How a repetition passes its turn on, with a predictor that notes what it is called with."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from podium.benchmarking import bench as timing
from podium.benchmarking import worker
from podium.benchmarking.calls import Repetition, WorkerCall
from podium.benchmarking.scenarios.classifiers import LATENCY, LatencySamples, ThroughputSamples
from podium.config.benchmark import BenchmarkConfig
from podium.inference.predictor import PredictorSpec

ROWS = [f"row {number:02}" for number in range(12)]


class Noted:
    """Stands for a predictor and for the launcher: notes turns and calls in one log."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def __call__(self, rows: list[str]) -> list[str]:
        self.log.append(list(rows))
        return rows

    def next_turn(self, phase: str) -> None:
        self.log.append(phase)

    def tokens(self, rows: list[str]) -> list[int]:
        return [len(row) for row in rows]

    def weights(self) -> None:
        return None

    def peak_device_mb(self) -> None:
        return None

    def turns(self, phase: str) -> list[list[list[str]]]:
        """The calls in each turn of a phase."""
        edges = [place for place, entry in enumerate(self.log) if isinstance(entry, str)] + [len(self.log)]
        return [self.log[start + 1 : end] for start, end in pairwise(edges) if self.log[start] == phase]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    fake = Noted()

    class Predictor:
        def __new__(cls, spec: PredictorSpec) -> Any:
            return fake

        @staticmethod
        def prepare(spec: PredictorSpec) -> None:
            pass

    monkeypatch.setattr(type(LATENCY), "predictor_class", lambda self, variant, folder: Predictor)
    monkeypatch.setattr(worker, "environment", lambda device: {})
    return fake


def repeat(
    noted: Noted, folder: Path, repetitions: int, max_seconds: float = 0.4, alternates: bool = False
) -> tuple[Repetition, LatencySamples, ThroughputSamples]:
    """What a repetition measures; so many repetitions need 20 samples together."""
    spec = {"model_dir": folder, "variant": "eager", "task": "text-classification", "labels": None, "threads": 1}
    call = WorkerCall(
        model=PredictorSpec.model_validate({**spec, "trust_remote_code": False, "device": "cpu"}),
        scenarios=("latency", "throughput"),
        rows=ROWS,
        number=0,
        config=BenchmarkConfig(throughput_batch_size=4, max_seconds=max_seconds, repetitions=repetitions),
        alternates=alternates,
        output=folder / "result.json",
    )
    found = worker.measured(call, noted.next_turn, 0)
    return found, found.of("latency", LatencySamples), found.of("throughput", ThroughputSamples)


def test_alone_a_repetition_has_one_turn_for_each_phase(noted: Noted, tmp_path: Path) -> None:
    _, latency, throughput = repeat(noted, tmp_path, repetitions=1)
    assert [entry for entry in noted.log if isinstance(entry, str)] == ["load", "latency", "throughput"]
    assert noted.turns("latency") == [[[row] for row in ROWS]]
    (batches,) = noted.turns("throughput")
    assert len(batches) == len(throughput.batch_ns) + 1
    assert len(latency.latency_ns) == len(latency.tokens) == 12


def test_among_others_a_turn_is_a_few_rows_after_some_that_are_not_timed(
    noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_REFILL_NS", 100_000)
    _, latency, _ = repeat(noted, tmp_path, repetitions=1, alternates=True)
    first, second = noted.turns("latency")
    assert first[-10:] + second[-2:] == [[row] for row in ROWS]
    untimed = first[:-10] + second[:-2]
    assert len(untimed) > 4 and {row for (row,) in untimed} == {"row 06"}
    assert len(latency.latency_ns) == 12


def test_among_others_batches_go_on_where_the_turn_before_ended(
    noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "LEAST_BATCHES", 5)  # of which each has a turn, as no time is left
    _, _, throughput = repeat(noted, tmp_path, repetitions=3, alternates=True, max_seconds=1e-9)
    turns = noted.turns("throughput")
    assert {len(turn) for turn in turns} == {2}
    assert all(turn[0] == ROWS[:4] for turn in turns), "not timed"
    timed = [turn[1] for turn in turns]
    assert timed == [ROWS[4:8], ROWS[8:], ROWS[:4], ROWS[4:8], ROWS[8:]]
    assert len(throughput.batch_ns) == len(timed)
    assert throughput.batch_tokens == 6 * 4 * len(timed)


@pytest.mark.parametrize("alternates", [False, True])
def test_the_bound_on_seconds_holds_with_and_without_others(noted: Noted, tmp_path: Path, alternates: bool) -> None:
    _, latency, throughput = repeat(noted, tmp_path, repetitions=3, alternates=alternates, max_seconds=1e-9)
    assert len(latency.latency_ns) == 7, "a third of what a median needs"
    assert len(throughput.batch_ns) == 2
