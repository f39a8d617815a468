import pytest

from podium.profiling.observer import compare, observe


def test_the_slowdown_is_that_of_pairs_with_an_interval() -> None:
    found = compare("nsys", [1.0, 2.0, 4.0], [1.5, 3.1, 6.1])
    assert found.slowdown.value == pytest.approx(1.525, abs=0.01)
    assert found.slowdown.low < found.slowdown.value < found.slowdown.high
    assert found.large and (found.unprofiled_seconds, found.profiled_seconds) == (2.0, 3.1)
    assert not compare("nsys", [1.0, 1.0], [1.05, 1.04]).large


def test_each_is_first_in_every_second_turn_and_failed_turns_do_not_count() -> None:
    order: list[str] = []

    def timed(name: str, seconds: list[float | None]):
        return lambda number: (order.append(name), seconds[number])[1]

    found = observe("nsys", timed("plain", [1.0, None, 1.0]), timed("nsys", [2.0, 2.0, 2.0]), 3)
    assert order == ["plain", "nsys", "nsys", "plain", "plain", "nsys"]
    assert found is not None and found.slowdown.value == pytest.approx(2)
    assert observe("nsys", lambda number: None, lambda number: 1.0, 3) is None
