"""What every writer of predictions holds; a subclass names the writer and reads its file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from podium.inference.writers import Writer

ROWS: list[dict[str, Any]] = [
    {"text": 'Grüße,\n"quoted"', "stars": 3, "tags": ["a", "b"], "mixed": 1, "none": None, "p": {"x": 0.25, "y": 0.75}},
    {"text": "", "stars": None, "tags": [], "mixed": "one", "none": None, "p": None},
]
COLUMNS = tuple(ROWS[0])


class WriterContract:
    """Subclass it as `TestMine(WriterContract)`."""

    writer: Writer

    def read(self, data: bytes) -> list[Mapping[str, Any]]:
        """The rows of a file."""
        raise NotImplementedError

    def written(self, rows: list[dict[str, Any]]) -> bytes:
        calls = 0

        def fresh() -> Iterator[dict[str, Any]]:
            nonlocal calls
            calls += 1
            return iter(rows)

        stream = io.BytesIO()
        self.writer.write(fresh, COLUMNS, stream)
        assert calls >= 1
        return stream.getvalue()

    def test_values_come_back(self) -> None:
        first, second = self.read(self.written(ROWS))
        assert (first["text"], first["stars"]) == (ROWS[0]["text"], 3)
        assert first["tags"] == ["a", "b"]
        assert first["p"] == {"x": 0.25, "y": 0.75}
        assert not second["text"]
        assert second["stars"] is None
        assert str(second["mixed"]) == "one"

    def test_equal_rows_give_equal_bytes_and_many_rows_all_come(self) -> None:
        rows = ROWS * 700
        assert len(self.read(self.written(rows))) == len(rows)
        assert self.written(ROWS) == self.written(ROWS)

    def test_it_has_a_name_and_extensions(self) -> None:
        assert self.writer.name
        assert all(one.startswith(".") and one == one.lower() for one in self.writer.extensions)
