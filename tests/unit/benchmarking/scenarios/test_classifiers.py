from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.benchmarking.scenarios import Measured
from podium.benchmarking.scenarios.classifiers import (
    COLD_START,
    GRID,
    ColdStartSamples,
    GridCell,
    GridSamples,
    rows_of_length,
)
from podium.config.benchmark import BenchmarkConfig
from podium.errors import ModelError

S = 1_000_000_000


def test_a_cold_start_is_the_sum_of_its_parts() -> None:
    starts = [
        ColdStartSamples(imports_ns=2 * S, load_ns=S // 2, first_answer_ns=S // 10),
        ColdStartSamples(imports_ns=3 * S, load_ns=S // 2, first_answer_ns=S // 10),
    ]
    found = COLD_START.summarise(starts, Measured(BenchmarkConfig()))
    assert found.value("imports_seconds") == pytest.approx(2.5)
    assert found.value("load_seconds") == pytest.approx(0.5)
    total = found.figure("seconds")
    assert total is not None
    assert (total.value, total.method) == (pytest.approx(3.1), "Student t over 2 repetitions")


def test_there_are_three_starts_at_least() -> None:
    assert COLD_START.processes(BenchmarkConfig(repetitions=1)) == 3
    assert COLD_START.processes(BenchmarkConfig(repetitions=5)) == 5


def tokens(rows: list, limit: int = 512) -> list[int]:
    """Two marks, and a token for every two letters of a word."""
    words = [row if isinstance(row, list) else row.split() for row in rows]
    return [min(limit, 2 + sum((len(word) + 1) // 2 for word in row)) for row in words]


@given(
    st.lists(st.lists(st.text("abc", min_size=1, max_size=8), min_size=1, max_size=9), min_size=1, max_size=5),
    st.integers(8, 200),
    st.booleans(),
)
def test_rows_are_as_long_as_whole_words_allow(data: list[list[str]], wanted: int, ner: bool) -> None:
    rows = data if ner else [" ".join(words) for words in data]
    made = rows_of_length(rows, wanted, 3, tokens)
    assert len(made) == 3
    for row, count in zip(made, tokens(made), strict=True):
        assert type(row) is type(rows[0])
        assert wanted - 4 < count <= wanted, "no word has more than four tokens"


def test_rows_differ_and_hold_the_words_of_the_data() -> None:
    made = rows_of_length(["the cat sat", "on a mat"], 10, 2, tokens)
    assert made[0] != made[1]
    assert set(" ".join(made).split()) <= {"the", "cat", "sat", "on", "a", "mat"}


def test_a_length_beyond_the_models_limit_is_refused() -> None:
    with pytest.raises(ModelError, match=r"cuts rows at 64 tokens and 128 were asked for; take 128 out"):
        rows_of_length(["a text"], 128, 1, lambda rows: tokens(rows, limit=64))


def test_each_cell_is_summed_over_repetitions() -> None:
    def samples(seconds: float) -> GridSamples:
        times = [int(seconds * 1e9)] * 2
        own = GridCell(batch_size=8, length=None, tokens=11.5, batch_ns=times)
        return GridSamples(cells=[own, GridCell(batch_size=8, length=64, tokens=63.0, batch_ns=times * 2)])

    found = GRID.summarise([samples(1.0), samples(2.0)], Measured(BenchmarkConfig()))
    own, fixed = found.figures
    assert own.labels == {"batch_size": 8, "length": "own", "tokens": 11.5}
    assert own.value == pytest.approx(6.0)
    assert own.low is not None and own.low < 4
    assert fixed.labels == {"batch_size": 8, "length": 64, "tokens": 63.0}
    table = GRID.table({"a (eager)": found})
    assert list(table.columns) == ["Variant", "Length", "Batch 8 /s"]
    assert [row.cells[0] for row in table.lines] == ["a (eager)"] * 2


def test_settings_of_the_grid_are_checked_with_the_config() -> None:
    with pytest.raises(ValueError, match="items must not repeat, but got 64, 64"):
        BenchmarkConfig(scenarios=("grid",), settings={"grid": {"lengths": (64, 64)}})
