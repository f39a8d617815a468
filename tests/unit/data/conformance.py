"""What every reader must do, whatever its format."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from podium.config.schema import DatasetConfig
from podium.data.formats import FORMATS, fingerprint, open_reader, resolve_sources
from podium.data.readers.base import BadRow, Reader, Row

ROWS = [
    {"text": "plain", "label": "a"},
    {"text": 'a "quoted" text, with a comma', "label": "b"},
    {"text": "naïve café — 東京 🎉", "label": "a"},
    {"text": "tabs\tand\nline ends", "label": "b"},
    {"text": "last", "label": "c"},
]
SENTENCES = [
    {"tokens": ["Ada", "Lovelace", "visits", "São", "Paulo"], "tags": ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]},
    {"tokens": ["東京", "!"], "tags": ["B-LOC", "O"]},
    {"tokens": ["nothing"], "tags": ["O"]},
]


def read(config: DatasetConfig) -> list[Row | BadRow]:
    return list(reader_of(config).rows())


def reader_of(config: DatasetConfig) -> Reader:
    return open_reader(resolve_sources(config)[0], config)


class ReaderContract:
    """Subclass with a `format`, and write `ROWS` (or `SENTENCES`) in it."""

    format: ClassVar[str]
    task: ClassVar[str] = "text-classification"
    order: ClassVar[bool] = True

    @abstractmethod
    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Write the rows; return the config fields that name them."""

    def config(self, folder: Path, rows: list[dict[str, Any]] | None = None) -> DatasetConfig:
        folder.mkdir(exist_ok=True)
        fields = self.write(folder, self.rows if rows is None else rows)
        return DatasetConfig.model_validate({"name": "test", "task": self.task, "format": self.format, **fields})

    @property
    def rows(self) -> list[dict[str, Any]]:
        return SENTENCES if self.task == "ner" else ROWS

    def test_is_registered(self) -> None:
        assert FORMATS.get(self.format).name == self.format

    def test_reads_every_row_as_it_was_written(self, tmp_path: Path) -> None:
        config = self.config(tmp_path / "data")
        found = read(config)
        assert all(isinstance(row, Row) for row in found), found
        values = [dict(row.values) for row in found if isinstance(row, Row)]
        expected = self.rows if self.order else sorted(self.rows, key=lambda row: str(row["label"]))
        assert values == expected

    def test_places_are_unique_and_ascending(self, tmp_path: Path) -> None:
        places = [(row.file, row.line) for row in read(self.config(tmp_path / "data"))]
        assert len(set(places)) == len(places)
        assert places == sorted(places)
        assert not any(str(tmp_path) in file for file, _ in places)

    def test_rows_start_anew(self, tmp_path: Path) -> None:
        reader = reader_of(self.config(tmp_path / "data"))
        next(iter(reader.rows()))
        assert list(reader.rows()) == list(reader.rows())

    def test_columns(self, tmp_path: Path) -> None:
        reader = reader_of(self.config(tmp_path / "data"))
        assert set(reader.fixed_columns or reader.columns()) == set(self.rows[0])

    def test_fingerprint_follows_contents_and_not_the_place(self, tmp_path: Path) -> None:
        here, there = self.config(tmp_path / "here"), self.config(tmp_path / "there")
        changed = self.config(tmp_path / "changed", self.rows[:-1])
        assert fingerprint(here) == fingerprint(there) != fingerprint(changed)
        assert list(fingerprint(here)) == sorted(fingerprint(here))
        assert not any(str(tmp_path) in name for name in fingerprint(here))
