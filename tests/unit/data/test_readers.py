"""Every reader against the contract."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

from podium.config.schema import DatasetConfig
from podium.data.formats import FORMATS, fingerprint, open_reader, resolve_sources
from podium.data.readers.base import Row

from .conformance import ReaderContract, read
from .conftest import write_jsonl


class TestJsonLines(ReaderContract):
    format = "jsonl"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {"path": str(write_jsonl(folder / "rows.jsonl", rows))}


class TestJsonLinesForNer(TestJsonLines):
    task = "ner"


class TestJsonArray(ReaderContract):
    format = "json"
    indent: int | None = 1

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        (folder / "rows.json").write_text(json.dumps(rows, indent=self.indent, ensure_ascii=False), encoding="utf-8")
        return {"path": str(folder / "rows.json")}


class TestJsonArrayOnOneLine(TestJsonArray):
    indent = None


class TestCsv(ReaderContract):
    format = "csv"
    delimiter = ","

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        path = folder / f"rows.{self.format}"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["text", "label"], delimiter=self.delimiter)
            writer.writeheader()
            writer.writerows(rows)
        return {"path": str(path)}


class TestCsvWithSemicolons(TestCsv):
    delimiter = ";"


class TestCsvWithTabs(TestCsv):
    delimiter = "\t"


class TestCsvWithBars(TestCsv):
    delimiter = "|"


class TestTsv(TestCsv):
    format = "tsv"
    delimiter = "\t"


class TestWorkbook(ReaderContract):
    format = "xlsx"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import openpyxl

        book = openpyxl.Workbook()
        for row in [["text", "label"], *([row["text"], row["label"]] for row in rows)]:
            book.active.append(row)
        book.save(folder / "rows.xlsx")
        return {"path": str(folder / "rows.xlsx")}

    def test_fingerprint_follows_contents_and_not_the_place(self, tmp_path: Path) -> None:
        """A workbook holds the time at which it was written, so the bytes of two differ."""
        here = self.config(tmp_path / "here")
        assert list(fingerprint(here)) == ["rows.xlsx"]


class TestParquet(ReaderContract):
    format = "parquet"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.parquet

        pa.parquet.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
        return {"path": str(folder / "rows.parquet")}


class TestParquetForNer(TestParquet):
    task = "ner"


class TestArrow(ReaderContract):
    format = "arrow"
    suffix = ".feather"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import pyarrow as pa

        table, path = pa.Table.from_pylist(rows), folder / f"rows{self.suffix}"
        with (pa.ipc.new_file if self.suffix == ".feather" else pa.ipc.new_stream)(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        return {"path": str(path)}


class TestArrowStream(TestArrow):
    suffix = ".arrow"


class TestConll(ReaderContract):
    format = "conll"
    task = "ner"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        path = folder / "rows.conll"
        sentences = ("\n".join(map(" ".join, zip(row["tokens"], row["tags"], strict=True))) for row in rows)
        path.write_text("\n\n".join(sentences), encoding="utf-8")
        return {"path": str(path)}


class TestFastText(ReaderContract):
    """Labels are lists, and a text has no line ends."""

    format = "fasttext"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"text": row["text"].replace("\n", " "), "label": [row["label"]]} for row in super().rows]

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        lines = (f"__label__{row['label'][0]} {row['text']}\n" for row in rows)
        (folder / "rows.txt").write_text("".join(lines), encoding="utf-8")
        return {"path": str(folder / "rows.txt")}


class TestFolder(ReaderContract):
    format = "folder"
    order = False

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        for number, row in enumerate(rows):
            (folder / row["label"]).mkdir(exist_ok=True)
            (folder / row["label"] / f"{number:03}.txt").write_text(row["text"], encoding="utf-8")
        return {"path": str(folder)}


class TestSql(ReaderContract):
    format = "sql"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        with sqlite3.connect(folder / "rows.db") as connection:
            connection.execute("CREATE TABLE reviews (text TEXT, label TEXT)")
            connection.executemany("INSERT INTO reviews VALUES (:text, :label)", rows)
        connection.close()
        return {"path": f"sqlite:///{folder / 'rows.db'}", "query": "SELECT text, label FROM reviews ORDER BY rowid"}


class TestSavedDataset(ReaderContract):
    format = "datasets"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        from datasets import Dataset

        Dataset.from_list(rows).save_to_disk(folder / "saved")
        return {"path": str(folder / "saved")}


class TestSavedDatasetForNer(ReaderContract):
    """Class numbers become class names."""

    format = "datasets"
    task = "ner"

    def write(self, folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
        from datasets import ClassLabel, Dataset, Features, List, Value

        names = sorted({tag for row in rows for tag in row["tags"]})
        features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=names))})
        Dataset.from_list(rows, features=features).save_to_disk(folder / "saved")
        return {"path": str(folder / "saved")}


def test_every_format_is_tested_against_the_contract() -> None:
    tested = {one.format for one in globals().values() if isinstance(one, type) and hasattr(one, "format")}
    assert tested == set(FORMATS.names())


def test_a_saved_dataset_dict_brings_its_own_splits(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    splits = {
        name: Dataset.from_dict({"text": [f"{name} {n}" for n in range(3)], "label": [0, 1, -1]}, features=features)
        for name in ("train", "validation", "test")
    }
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    config = DatasetConfig(name="x", path=str(tmp_path / "saved"), task="text-classification")
    sources = resolve_sources(config)
    assert [source.role for source in sources] == ["train", "validation", "test"]
    for source in sources:
        labels = [row.values["label"] for row in open_reader(source, config).rows() if isinstance(row, Row)]
        assert labels == ["no", "yes", None]


def test_shards_of_a_directory_are_read_in_name_order(tmp_path: Path) -> None:
    for name in ("part-2", "part-1"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": name, "label": "a"}])
    (tmp_path / ".hidden.jsonl").write_text("not read")
    config = DatasetConfig(name="x", path=str(tmp_path), task="text-classification")
    assert [row.file for row in read(config)] == ["part-1.jsonl", "part-2.jsonl"]


def test_what_parts_the_header_of_a_csv_file_parts_its_fields(tmp_path: Path) -> None:
    for header, columns in {
        "text,a;b": ("text", "a;b"),
        '"text, all of it";label': ("text, all of it", "label"),
        "text": ("text",),
    }.items():
        (tmp_path / "x.csv").write_text(f"{header}\n")
        config = DatasetConfig(name="x", path=str(tmp_path / "x.csv"), task="text-classification")
        assert open_reader(resolve_sources(config)[0], config).columns() == columns
