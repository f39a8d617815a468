from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podium.display.blocks import Row, Table
from podium.display.charts import HEIGHT, Axis, Coordinate, IntervalChart, IntervalRow, ParallelChart, Path, Range, Tick


def test_rows_may_be_plain_cells() -> None:
    table = Table("scores", ("name", "score"), "lr", [("a", "1"), Row(("b", "2"), mark="★")])
    assert [row.mark for row in table.lines] == ["", "★"]


@pytest.mark.parametrize(("align", "row"), [("l", ("a", "1")), ("lr", ("a",)), ("lr", Row(("a", "1", "2")))])
def test_a_row_has_a_cell_for_every_column(align: str, row: Row | tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="every row of 'scores' must have 2 cells"):
        Table("scores", ("name", "score"), align, [row])


@example([1.4e-05, -50051.0])
@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), min_size=1, max_size=20))
def test_an_axis_covers_its_values_with_few_distinct_ticks(values: list[float]) -> None:
    axis = Axis.over(values)
    slack = 2e-9 * (axis.ticks[1].value - axis.ticks[0].value)
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    assert 2 <= len(axis.ticks) <= 9
    assert len({tick.label for tick in axis.ticks}) == len(axis.ticks)
    assert all(0 <= axis.x(value) <= 100 and 0 <= axis.y(value) <= HEIGHT for value in values)


@pytest.mark.parametrize(
    ("values", "labels"),
    [([0.912, 0.968], ["0.90", "0.92", "0.94", "0.96", "0.98"]), ([0.0, 13.2], ["0", "5", "10", "15"])],
)
def test_ticks_are_round(values: list[float], labels: list[str]) -> None:
    assert [tick.label for tick in Axis.over(values).ticks] == labels


def test_one_value_lies_within_its_axis() -> None:
    assert Axis.over([0.9]).low < 0.9 < Axis.over([0.9]).high


def test_a_log_scale_is_drawn_as_one() -> None:
    axis = Axis(1e-5, 1e-3, log=True)
    assert (axis.share(1e-5), axis.share(1e-4), axis.share(1e-3)) == pytest.approx((0.0, 0.5, 1.0))
    assert Axis(8, 8, log=True).share(8) == 0.5


def test_zero_is_on_the_axis_where_it_is_asked_for() -> None:
    rows = (IntervalRow("a", "5", (Range("first", 5.0, 4.0, 6.0),)),)
    assert IntervalChart("alt", "ms", rows).axis.low > 0
    assert IntervalChart("alt", "ms", rows, from_zero=True).axis.low == 0
    assert IntervalChart("alt", "ms", rows, zero_line=True).axis.low == 0


def test_a_path_skips_the_coordinates_that_it_has_no_value_for() -> None:
    axis = Axis(0, 2, (Tick(1, "b"),))
    chart = ParallelChart("alt", (Coordinate("x", axis, "a", "c"),) * 3, ())
    assert chart.pieces(Path((0, 2, None), "first", 1.0, "")) == [(16.67, HEIGHT, 50.0, 0.0)]
    assert chart.pieces(Path((0, None, 2), "first", 1.0, "")) == []
