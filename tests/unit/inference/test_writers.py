"""The formats of predictions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from podium.inference import writers
from podium.inference.writers import WRITERS, writer_for
from tests.unit.inference.writer_contract import WriterContract


class TestJsonLines(WriterContract):
    writer = writers.JSONL

    def read(self, data: bytes) -> list[Mapping[str, Any]]:
        return [json.loads(line) for line in data.decode().splitlines()]


class TestJson(WriterContract):
    writer = writers.JSON

    def read(self, data: bytes) -> list[Mapping[str, Any]]:
        return list(json.loads(data))


class TestYaml(WriterContract):
    writer = writers.YAML

    def read(self, data: bytes) -> list[Mapping[str, Any]]:
        return list(yaml.safe_load(data))


class TestCsv(WriterContract):
    writer = writers.CSV

    def read(self, data: bytes) -> list[Mapping[str, Any]]:
        rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
        own = {"tags": json.loads, "p": lambda text: json.loads(text) if text else None}
        own["stars"] = lambda text: int(text) if text else None
        return [{name: own.get(name, str)(value) for name, value in row.items()} for row in rows]


class TestParquet(WriterContract):
    writer = writers.PARQUET

    def read(self, data: bytes) -> list[Mapping[str, Any]]:
        import pyarrow.parquet as pq

        return list(pq.read_table(io.BytesIO(data)).to_pylist())


def test_the_format_follows_from_the_name_of_a_file() -> None:
    assert [getattr(writer_for(Path(f"x.{end}")), "name", None) for end in ("JSON", "yml", "pq", "txt")] == [
        "json",
        "yaml",
        "parquet",
        None,
    ]
    assert WRITERS.names() == ("jsonl", "csv", "parquet", "json", "yaml", "openai-batch")
