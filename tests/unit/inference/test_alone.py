"""Rows that are asked again, one at a time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from podium.inference.alone import ROWS, asked_alone
from podium.inference.journal import Entry, Journal
from podium.inference.rows import Choice, InputRow
from tests.unit.inference.test_run import Upper, answered, source_of


class Crowded(Upper):
    """Answers otherwise in company."""

    labels = ("a", "b")

    def answer(self, rows: Sequence[InputRow]) -> Generator[Entry]:
        for row in rows:
            chance = 0.5 if len(rows) > 1 and row.content.endswith("0") else 0.75
            yield Entry(id=row.id, outcome="ok", answer=str(chance), probabilities=(chance, 1 - chance))


def test_equal_answers_and_the_largest_difference_are_counted(tmp_path: Path) -> None:
    source, path = source_of(tmp_path / "rows.jsonl", [f"row {n}" for n in range(81)]), tmp_path / "journal.jsonl"
    for system, expected in (
        (Upper(), {"rows": ROWS, "equal": ROWS}),
        (Crowded(), {"rows": ROWS, "equal": 1, "largest_difference": 0.25}),
    ):
        path.unlink(missing_ok=True)
        answered(source, path, system)
        with Journal(path) as journal:
            assert asked_alone(system, source, source.survey(Choice()), journal) == expected
