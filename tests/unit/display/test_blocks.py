from __future__ import annotations

import pytest

from podium.display.blocks import Row, Table


def test_rows_may_be_plain_cells() -> None:
    table = Table("scores", ("name", "score"), "lr", [("a", "1"), Row(("b", "2"), mark="★")])
    assert [row.mark for row in table.lines] == ["", "★"]


@pytest.mark.parametrize(("align", "row"), [("l", ("a", "1")), ("lr", ("a",)), ("lr", Row(("a", "1", "2")))])
def test_a_row_has_a_cell_for_every_column(align: str, row: Row | tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="every row of 'scores' must have 2 cells"):
        Table("scores", ("name", "score"), align, [row])
