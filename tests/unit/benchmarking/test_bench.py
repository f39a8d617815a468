from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest

from podium.benchmarking import bench as timing
from podium.benchmarking.bench import full_batches, single_stream, timed_batches, warm_up


class Clock:
    """Stands for `time.perf_counter_ns`; only calls take time."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(timing.time, "perf_counter_ns", fake)
    return fake


def model(clock: Clock, cost: Callable[[int, list], int]) -> tuple[Callable[[list], None], list[list]]:
    """A model whose call number n takes `cost(n, batch)` ns, and the batches it has seen."""
    seen: list[list] = []

    def call(batch: list) -> None:
        clock.now += cost(len(seen), batch)
        seen.append(batch)

    return call, seen


def test_a_steady_model_is_warm_after_two_windows(clock: Clock) -> None:
    call, _ = model(clock, lambda n, batch: 1000)
    times, settled = warm_up(call, "row", 1.0)
    assert settled
    assert len(times) == 16


def test_warm_up_goes_on_while_calls_get_faster(clock: Clock) -> None:
    call, _ = model(clock, lambda n, batch: 1000 + max(0, 40 - n) * 200)
    times, settled = warm_up(call, "row", 1.0)
    assert settled
    assert len(times) > 40


def test_one_slow_call_does_not_keep_it_from_settling(clock: Clock) -> None:
    call, _ = model(clock, lambda n, batch: 50_000 if n == 0 else 1000)
    assert len(warm_up(call, "row", 1.0)[0]) == 16


def test_warm_up_that_never_settles_is_bounded_and_said_so(clock: Clock) -> None:
    call, _ = model(clock, lambda n, batch: 1_000_000 * (n + 1))
    _, settled = warm_up(call, "row", 0.05)
    assert not settled
    assert clock.now < 60_000_000


def test_single_stream_times_each_row_alone_and_in_order(clock: Clock) -> None:
    call, seen = model(clock, lambda n, batch: len(batch[0]))
    assert single_stream(call, ["a", "bbb", "cc"], 1.0) == [1, 3, 2]
    assert seen == [["a"], ["bbb"], ["cc"]]


def test_single_stream_stops_at_its_bound(clock: Clock) -> None:
    call, _ = model(clock, lambda n, batch: 400_000_000)
    assert len(single_stream(call, ["row"] * 100, 1.0)) == 3
    assert len(single_stream(call, ["row"] * 100, 0.0)) == 1
    assert len(single_stream(call, ["row"] * 100, 1.0, least=20)) == 20
    assert len(single_stream(call, ["row"] * 5, 1.0, least=20)) == 5


def test_batches_are_full_and_use_the_rows_in_turn(clock: Clock) -> None:
    call, seen = model(clock, lambda n, batch: 300_000_000)
    assert timed_batches(call, full_batches(["a", "b", "c"], 2), 1.0) == [300_000_000] * 4
    assert seen[:3] == [["a", "b"], ["c", "a"], ["b", "c"]]


def test_so_many_batches_are_timed_at_least(clock: Clock) -> None:
    call, _ = model(clock, lambda n, batch: 5_000_000_000)
    assert len(timed_batches(call, full_batches(["a"], 4), 1.0, least=2)) == 2


def test_no_garbage_is_collected_while_timing_and_it_is_afterwards() -> None:
    states = []
    single_stream(lambda batch: states.append(gc.isenabled()), ["a", "b"], 1.0)
    assert states == [False, False]
    assert gc.isenabled()


def test_garbage_collection_comes_back_when_a_call_fails() -> None:
    def fail(batch: list) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        single_stream(fail, ["a"], 1.0)
    assert gc.isenabled()


def test_times_are_wall_time() -> None:
    (taken,) = single_stream(lambda batch: time.sleep(0.02), ["a"], 1.0)
    assert 20_000_000 <= taken < 200_000_000
