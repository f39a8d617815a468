"""Whatever is written is read back: property tests of the parsers."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from podium.config.schema import DatasetConfig
from podium.data.readers.base import Row

from .conformance import read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), max_size=8)
TOKENS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\r\n"), min_size=1, max_size=8)
SENTENCES = st.lists(
    st.lists(
        st.tuples(TOKENS.filter(lambda one: one != "-DOCSTART-" and not one.startswith("#")), TOKENS),
        min_size=1,
        max_size=6,
    ),
    max_size=6,
)
LINE_ENDS = st.sampled_from(["\n", "\r\n"])


def read_back(name: str, data: str, task: str = "text-classification") -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data.encode())
        config = DatasetConfig.model_validate({"name": "x", "path": str(path), "task": task, "format": path.suffix[1:]})
        rows = read(config)
    assert all(isinstance(row, Row) for row in rows), rows
    return [dict(row.values) for row in rows if isinstance(row, Row)]


@settings(deadline=None, max_examples=60)
@given(OBJECTS, LINE_ENDS, st.booleans())
def test_jsonl(objects: list[dict[str, Any]], end: str, ascii_only: bool) -> None:
    text = "".join(json.dumps(one, ensure_ascii=ascii_only) + end for one in objects)
    assert read_back("rows.jsonl", text) == objects


@settings(deadline=None, max_examples=60)
@given(OBJECTS, st.sampled_from([None, 1]))
def test_json_array(objects: list[dict[str, Any]], indent: int | None) -> None:
    assert read_back("rows.json", json.dumps(objects, indent=indent, ensure_ascii=False)) == objects


@settings(deadline=None, max_examples=60)
@given(SENTENCES, LINE_ENDS, st.sampled_from([" ", "\t", " X Y "]))
def test_conll(sentences: list[list[tuple[str, str]]], end: str, between: str) -> None:
    text = "".join("".join(f"{token}{between}{tag}{end}" for token, tag in one) + end for one in sentences)
    assert read_back("rows.conll", text.removeprefix("\ufeff"), "ner") == [
        {"tokens": [token for token, _ in one], "tags": [tag for _, tag in one]} for one in strip_mark(sentences)
    ]


def strip_mark(sentences: list[list[tuple[str, str]]]) -> list[list[tuple[str, str]]]:
    """A byte order mark at the very start belongs to the file, not to the first token."""
    if not sentences:
        return sentences
    (token, tag), *rest = sentences[0]
    return [[(token.lstrip("\ufeff") or token, tag), *rest], *sentences[1:]]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=4).filter(str.strip)), max_size=6))
def test_csv(pairs: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *pairs])
        assert read_back("rows.csv", path.read_bytes().decode()) == [{"text": one, "label": two} for one, two in pairs]
