"""The guide's table of what can be read: each of its rows is written here, and read as a user's data would be."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import DatasetConfig
from podium.data.staging import read_texts

from .conftest import write_jsonl
from .test_found import dataset
from .test_label_exports import choice
from .test_shapes import DOCUMENTS, EXPORTS, TEXTS

GUIDE = Path(__file__).parents[3] / "docs" / "guide.md"
ROWS = [{"text": f"a text, number {n}", "label": "ab"[n % 2]} for n in range(24)]
WORDS = [{"tokens": ["Ada", f"ran{n}"], "ner_tags": ["B-PER", "O"]} for n in range(12)]


def csv(delimiter: str = ",", header: bool = True) -> str:
    names = [f"text{delimiter}label"] if header else []
    return "".join(f"{line}\n" for line in [*names, *(f'"{row["text"]}"{delimiter}{row["label"]}' for row in ROWS)])


def text(name: str, content: str, encoding: str = "utf-8") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content.encode(encoding))
        return folder / name

    return write


def packed(folder: Path) -> list[Path]:
    import pyarrow as pa

    data = csv().encode()
    found = {"gz": gzip.compress(data), "bz2": bz2.compress(data), "xz": lzma.compress(data)}
    found["zst"] = pa.compress(data, "zstd", asbytes=True)
    for suffix, content in found.items():
        (folder / f"x.csv.{suffix}").write_bytes(content)
    return [folder / f"x.csv.{suffix}" for suffix in found]


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("x.csv", csv())
    return folder / "x.zip"


def workbook(folder: Path) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [["text", "label"], *([*row.values()] for row in ROWS)]:
        book.active.append(row)
    book.save(folder / "x.xlsx")
    return folder / "x.xlsx"


def parquet(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    import pyarrow as pa
    import pyarrow.parquet

    path.parent.mkdir(exist_ok=True)
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def arrow(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.feather

    pa.feather.write_feather(pa.Table.from_pylist(ROWS), folder / "x.feather")
    return folder / "x.feather"


def saved(folder: Path) -> Path:
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(folder / "saved")
    return folder / "saved"


def hub(folder: Path) -> Path:
    (folder / "README.md").write_text("# about\n")
    parquet(folder / "data" / "train-00000-of-00001.parquet", ROWS[:12])
    parquet(folder / "data" / "test-00000-of-00001.parquet", ROWS[12:])
    return folder


def labels(folder: Path) -> Path:
    for number, row in enumerate(ROWS):
        (folder / row["label"]).mkdir(exist_ok=True)
        (folder / row["label"] / f"{number}.txt").write_text(row["text"])
    return folder


def splits(folder: Path) -> Path:
    for name in ("my-train.csv", "my-test.csv"):
        (folder / name).write_text(csv())
    return folder


def unlabelled(folder: Path) -> Path:
    (folder / "train.csv").write_text(csv())
    (folder / "test.csv").write_text("id,text\n1,new\n")
    return folder


def numbered(folder: Path) -> Path:
    (folder / "labels.txt").write_text("O\nB-PER\n")
    return write_jsonl(folder / "x.jsonl", [{**row, "ner_tags": [1, 0]} for row in WORDS])


def database(folder: Path) -> DatasetConfig:
    with sqlite3.connect(folder / "x.db") as connection:
        connection.execute("CREATE TABLE t (text TEXT, label TEXT)")
        connection.executemany("INSERT INTO t VALUES (:text, :label)", ROWS)
    connection.close()
    values = {"path": f"sqlite:///{folder / 'x.db'}", "format": "sql", "query": "SELECT text, label FROM t"}
    return DatasetConfig.model_validate({"name": "x", "task": "text-classification", **values})


CHOICES: list[Callable[[str, str], dict[str, Any]]] = [
    lambda text, label: {"data": {"text": text}, "annotations": [{"result": [choice([label])]}]},
    lambda text, label: {"text": text, "sentiment": label, "annotation_id": 1, "annotator": 2},
    lambda text, label: {"text": text, "options": [{"id": label}], "accept": [label], "answer": "accept"},
    lambda text, label: {"id": 1, "text": text, "label": [label], "Comments": []},
    lambda text, label: {"fields": {"text": text}, "responses": {"x": [{"value": label, "user_id": "1"}]}},
]
SCHEMES = "".join(f"Ada B-PER\nLovelace E-PER\nran{n} O\n\n" for n in range(12))
TOKENS = "".join(f"{n},Ada{n},B-PER\n{n},ran,O\n" for n in range(12))
CASES: dict[str, Callable[[Path], Any]] = {
    "`jsonl`, `ndjson`": lambda folder: write_jsonl(folder / "x.jsonl", ROWS),
    "`json`": text("x.json", json.dumps(ROWS)),
    "JSON documents": lambda folder: [
        text(f"{name}.json", json.dumps(document))(folder) for name, document in DOCUMENTS.items()
    ],
    "`csv`": lambda folder: [text(f"{ord(one)}.csv", csv(one))(folder) for one in ",;\t|"],
    "`tsv`, `tab`": text("x.tsv", csv("\t")),
    "tables without names": text("x.csv", csv(header=False)),
    "UTF-16, UTF-32": lambda folder: [text(f"{one}.csv", csv(), one)(folder) for one in ("utf-16", "utf-32")],
    "other encodings": text("x.csv", csv().replace("number", "numéro à la française"), "cp1252"),
    "`gz`, `bz2`, `xz`, `zst`": packed,
    "`zip`": zipped,
    "`xlsx`": workbook,
    "`parquet`": lambda folder: parquet(folder / "x.parquet"),
    "`arrow`, `feather`": arrow,
    "`datasets`": saved,
    "snapshots of the hub": hub,
    "`folder`": labels,
    "files named after splits": splits,
    "a test file without labels, or several": unlabelled,
    "`sql`": database,
    "`fasttext`": lambda folder: [
        text("one.txt", "".join(f"__label__{row['label']} {row['text']}\n" for row in ROWS))(folder),
        text("several.train", "".join(f"{row['text']} __label__a __label__b\n" for row in ROWS))(folder),
    ],
    "lists of labels": lambda folder: write_jsonl(folder / "x.jsonl", [{**row, "label": ["a", "b"]} for row in ROWS]),
    "columns of 0 and 1": text(
        "x.csv",
        "text,a,b\n" + "".join(f"{row['text'].replace(',', '')},{n % 2},{n % 3 % 2}\n" for n, row in enumerate(ROWS)),
    ),
    "choices of annotators": lambda folder: [
        write_jsonl(folder / f"{number}.jsonl", [export(row["text"], row["label"]) for row in ROWS])
        for number, export in enumerate(CHOICES)
    ],
    "lists of words and tags": lambda folder: write_jsonl(folder / "x.jsonl", WORDS),
    "`conll`": text("x.conll", SCHEMES.replace("E-PER", "I-PER")),
    "other schemes of tags": text("x.conll", SCHEMES),
    "tags as numbers": numbered,
    "one token a row": text("x.csv", f"sentence_id,word,tag\n{TOKENS}"),
    "character spans": lambda folder: [
        write_jsonl(folder / f"{number}.jsonl", [export(one) for one in TEXTS])
        for number, export in enumerate(EXPORTS.values())
    ],
}


def test_the_table_of_the_guide_has_these_rows() -> None:
    table = GUIDE.read_text("utf-8").split("| what | how it is read |")[1].split("\n\n")[0]
    assert re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:] == [*CASES]


@pytest.mark.parametrize("name", CASES)
def test_it_is_read(tmp_path: Path, name: str) -> None:
    written = CASES[name](tmp_path)
    for one in written if isinstance(written, list) else [written]:
        config = one if isinstance(one, DatasetConfig) else dataset(one)
        found = read_texts(config)
        expected = {"ner": {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}}.get(config.task, {"a", "b"})
        assert found.rows and found.labels and found.labels <= expected, (one, found.labels)
