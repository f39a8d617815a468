"""Which rows are chosen, and how they are named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import DatasetConfig
from podium.data.formats import FORMATS, resolve_sources
from podium.data.readers.base import Reader
from podium.errors import DataError, InputError
from podium.inference.rows import Choice, RowSource, id_column, plain

ROWS = [{"text": f"text {number}", "stars": number % 6, "id": f"r{number}", "tags": ["a"]} for number in range(100)]


def reader(path: Path, rows: Sequence[Any] = ROWS) -> Reader:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    config = DatasetConfig(name="rows", path=str(path), task="text-classification")
    (source,) = resolve_sources(config)
    return FORMATS.get(source.format)(source, config)


@pytest.fixture
def source(tmp_path: Path) -> RowSource:
    return RowSource(reader(tmp_path / "rows.jsonl"), "text", id_column="id")


def chosen(source: RowSource, **choice: Any) -> list[str]:
    return [row.id for row in source.chosen(source.survey(Choice(**choice)))]


def test_all_the_first_and_the_named_rows_in_the_order_of_the_data(source: RowSource) -> None:
    assert chosen(source) == [row["id"] for row in ROWS]
    assert chosen(source, first=3) == ["r0", "r1", "r2"]
    assert chosen(source, ids=("r7", "r2")) == ["r2", "r7"]
    assert chosen(source, first=2, where="stars = 5") == ["r5", "r11"]


def test_more_random_rows_include_fewer_and_another_seed_gives_others(source: RowSource) -> None:
    ten, twenty = chosen(source, random=10), chosen(source, random=20)
    assert len(ten) == 10
    assert set(ten) < set(twenty)
    assert ten == sorted(ten, key=lambda row: int(row[1:]))
    assert chosen(source, random=10, seed=1) != ten
    assert len(chosen(source, random=1000)) == 100


def test_unknown_ids_are_named(source: RowSource) -> None:
    with pytest.raises(InputError, match=r"unknown are 2: r100, x; did you mean .*; the data begins with r0, r1"):
        source.survey(Choice(ids=("r1", "r100", "x")))


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("stars > 3", 32),
        ("text LIKE '%7'", 10),
        ("stars IS NULL", 0),
        ("json_array_length(tags) = 1 AND id = 'r3'", 1),
        ("stars > 3 -- a comment", 32),
    ],
)
def test_an_expression_chooses(source: RowSource, where: str, count: int) -> None:
    if count:
        assert len(chosen(source, where=where)) == count
    else:
        with pytest.raises(DataError, match="at least one row must be chosen, but of 100 rows"):
            source.survey(Choice(where=where))


def test_numbers_in_a_csv_file_are_compared_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,price\na,9\nb,10\nc,cheap\n")
    config = DatasetConfig(name="rows", path=str(path), task="text-classification")
    (found,) = resolve_sources(config)
    assert chosen(RowSource(FORMATS.get("csv")(found, config)), where="price < 10") == ["rows.csv:2"]


@pytest.mark.parametrize(
    "where",
    [
        "starz > 3",
        "stars >",
        "1) UNION SELECT load_extension('x'",
        "stars > 3; DROP TABLE data",
        "1 IN (SELECT writefile('x', 'y'))",
        "1 = (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)",
        "(SELECT count(*) FROM pragma_database_list)",
    ],
)
def test_an_expression_that_is_wrong_or_does_more_than_compare_is_refused(source: RowSource, where: str) -> None:
    with pytest.raises(InputError, match=r"--where must be an SQL expression over the columns \(text, stars"):
        source.survey(Choice(where=where))


def test_rows_are_named_by_a_column_called_id_if_it_names_each(tmp_path: Path) -> None:
    whole = reader(tmp_path / "whole.jsonl")
    assert id_column(whole, None) == "id"
    assert id_column(whole, "") is None
    assert id_column(whole, "text") == "text"
    twice = reader(tmp_path / "twice.jsonl", [*ROWS, ROWS[0]])
    assert id_column(twice, None) is None
    assert id_column(reader(tmp_path / "gap.jsonl", [*ROWS, {"text": "x"}]), None) is None
    with pytest.raises(InputError, match=r"--id-column must name a column, but got 'ids'; did you mean \"id\""):
        id_column(whole, "ids")
    with pytest.raises(DataError, match="those of column 'id' repeat in 1 cases, as 'r0' does"):
        RowSource(twice, "text", id_column="id").survey(Choice(first=3))


def test_rows_that_cannot_be_predicted_are_counted_among_the_chosen_only(tmp_path: Path) -> None:
    rows = [*ROWS[:5], {"text": ""}, "{broken", {"stars": 3}]
    source = RowSource(reader(tmp_path / "rows.jsonl", rows), "text", lambda value: None if value else "is empty")
    found = source.survey(Choice())
    assert (found.total, found.count, found.bad) == (8, 8, 3)
    assert found.problems["rows.jsonl:6"] == "field 'text' is empty"
    assert "JSON" in found.problems["rows.jsonl:7"]
    assert source.survey(Choice(first=6)).bad == 1


def test_values_of_columns_become_json() -> None:
    from datetime import date
    from decimal import Decimal

    given = {"a": [Decimal("1.5"), date(2026, 1, 2)], "b": float("nan"), "c": b"x", "d": (True, None, 2.5)}
    assert plain(given) == {"a": ["1.5", "2026-01-02"], "b": None, "c": "x", "d": [True, None, 2.5]}
