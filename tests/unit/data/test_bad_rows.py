"""Rows that break the schema: each is named by file, line and field, and counted."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.errors import DataError

from .conformance import read
from .conftest import Configure, labelled, write_jsonl

GOOD = labelled(a=6, b=6)


def write_with(path: Path, line: int, broken: bytes) -> Path:
    """Good rows, with `broken` as the line of that number."""
    lines = [json.dumps(row).encode() for row in GOOD]
    lines.insert(line - 1, broken)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b'{"text": "cut off', "rows.jsonl line 7: is not JSON: Unterminated string starting at (column 10)"),
        (b"[1, 2]", "rows.jsonl line 7: must be an object with named fields, but got list"),
        (b"[" * 100_000, "rows.jsonl line 7: is not JSON: "),
        (b'{"n": ' + b"9" * 5000 + b"}", "rows.jsonl line 7: is not JSON: Exceeds the limit"),
        (b'{"label": "a"}', "rows.jsonl line 7, field 'text': is missing"),
        (b'{"text": null, "label": "a"}', "rows.jsonl line 7, field 'text': is missing"),
        (b'{"text": NaN, "label": "a"}', "rows.jsonl line 7, field 'text': is missing"),
        (b'{"text": " \\n", "label": "a"}', "rows.jsonl line 7, field 'text': must hold text, but is empty"),
        (b'{"text": 3, "label": "a"}', "rows.jsonl line 7, field 'text': must be text, but got int 3"),
        (b'{"text": "x"}', "rows.jsonl line 7, field 'label': is missing"),
        (b'{"text": "x", "label": "  "}', "rows.jsonl line 7, field 'label': is missing"),
        (b'{"text": "x", "label": ["a", "b"]}', "rows.jsonl line 7, field 'label': must be one label"),
        (b'{"text": "\\ud800", "label": "a"}', "rows.jsonl line 7, field 'text': holds a character that UTF-8 cannot"),
        (b'{"text": "x", "label": "\\udfff"}', "rows.jsonl line 7, field 'label': holds a character that UTF-8 cannot"),
        (
            b'{"text": "caf\xe9", "label": "a"}',
            "rows.jsonl line 7: byte 0xe9 at offset 13 is not utf-8; set dataset.enc",
        ),
        (b'{"text": "' + b"x" * 1000 + b'"}', "rows.jsonl line 7: is longer than dataset.max_row_bytes=900"),
    ],
)
def test_the_place_and_the_reason_are_named(
    tmp_path: Path, prepared: Callable[..., Any], broken: bytes, said: str
) -> None:
    path = write_with(tmp_path / "rows.jsonl", 7, broken)
    limit = {"max_row_bytes": 900} if "max_row_bytes" in said else {}
    with pytest.raises(DataError) as failure:
        prepared(path, **limit)
    assert said in str(failure.value)
    assert "1 of 13 do not" in str(failure.value) and "dataset.on_bad_row=drop" in str(failure.value)
    found, _ = prepared(path, on_bad_row="drop", **limit)
    assert (found.read_rows, found.rejected, sum(found.rows.values())) == (13, 1, 12)
    assert len(found.rejected_examples) == 1 and said in found.rejected_examples[0]
    assert found.warnings == ("rows that break the schema and were dropped: 1 of 13",)


def test_every_bad_row_is_counted_and_the_first_are_kept(tmp_path: Path, prepared: Callable[..., Any]) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [*({"text": "", "label": "a"} for _ in range(30)), *GOOD])
    with pytest.raises(DataError, match="30 of 42 do not") as failure:
        prepared(path)
    assert str(failure.value).count("rows.jsonl line") == 5 and "and 25 more" in str(failure.value)
    found, _ = prepared(path, on_bad_row="drop")
    assert found.rejected == 30
    assert [f"line {n}," in example for n, example in enumerate(found.rejected_examples, 1)] == [True] * 20


def test_a_line_of_ten_megabytes_is_never_held(tmp_path: Path, configure: Configure) -> None:
    path = write_with(tmp_path / "rows.jsonl", 3, b'{"text": "' + b"x" * 10_000_000 + b'", "label": "a"}')
    config = configure(path, max_row_bytes=100_000)
    tracemalloc.start()
    found = read(config)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert "rows.jsonl line 3: is longer than dataset.max_row_bytes=100000" in str(found[2])
    assert [row.line for row in found] == list(range(1, 14))


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path, configure: Configure) -> None:
    line = json.dumps({"text": "x" * 50, "label": "a"})
    (tmp_path / "rows.jsonl").write_text(f"{line}\n{line}x\n{line}")
    kinds = [type(row).__name__ for row in read(configure(tmp_path / "rows.jsonl", max_row_bytes=len(line)))]
    assert kinds == ["Row", "BadRow", "Row"]


def test_fallback_encoding_is_used_per_row_and_counted(tmp_path: Path, prepared: Callable[..., Any]) -> None:
    path = write_with(tmp_path / "rows.jsonl", 2, '{"text": "£5 café", "label": "a"}'.encode("latin-1"))
    with path.open("ab") as stream:
        stream.write('{"text": "£6 café", "label": "a"}\n'.encode())
    found, artifact = prepared(path, fallback_encoding="latin-1")
    texts = {text for split in (artifact.development, artifact.test) for text in split["text"]}
    assert {"£5 café", "£6 café"} <= texts
    assert found.warnings == ("rows that are not utf-8 and were read as latin-1: 1",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "shift_jis", "utf-8-sig"])
def test_other_encodings(tmp_path: Path, configure: Configure, encoding: str) -> None:
    lines = [{"text": "東京 ਊ" if encoding.startswith("utf") else "東京", "label": "a"} for _ in range(3)]
    (tmp_path / "rows.jsonl").write_bytes(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines).encode(encoding)
    )
    assert [row.values for row in read(configure(tmp_path / "rows.jsonl", encoding=encoding))] == lines  # type: ignore[union-attr]


def test_an_unknown_encoding(tmp_path: Path, prepared: Callable[..., Any]) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", GOOD)
    with pytest.raises(DataError, match=r"dataset\.fallback_encoding must be an encoding .* but got 'latin-one'"):
        prepared(path, fallback_encoding="latin-one")


def test_a_file_that_is_not_utf_16(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "odd"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl is not utf-16"):
        read(configure(tmp_path / "rows.jsonl", encoding="utf-16"))


class TestCsv:
    def found(self, tmp_path: Path, configure: Configure, text: str, **fields: Any) -> list[str]:
        path = tmp_path / ("rows.tsv" if "\t" in text else "rows.csv")
        path.write_text(text, newline="")
        return [
            str(row) if hasattr(row, "reason") else f"{row.line} {row.values}"
            for row in read(configure(path, **fields))
        ]  # type: ignore[union-attr]

    def test_a_record_with_too_few_fields(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, "text,label\nx,a\nonly\ny,b\n")
        assert found[1].startswith(
            "rows.csv line 3: is not a valid record: must have the 2 fields of the header, but has 1"
        )
        assert found[2] == "4 {'text': 'y', 'label': 'b'}"

    def test_an_unclosed_quote_costs_one_row(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, 'text,label\nx,a\n"open,a\ny,b\n' + "z,c\n" * 50, max_row_bytes=100)
        assert found[1].startswith("rows.csv line 3: is longer than dataset.max_row_bytes=100")
        assert "a quote is not closed" in found[1]
        assert found[2:] == ["4 {'text': 'y', 'label': 'b'}"] + [
            f"{n} {{'text': 'z', 'label': 'c'}}" for n in range(5, 55)
        ]

    def test_an_unclosed_quote_at_the_end(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, 'text,label\n"open,a\ny,b\n')
        assert found[0].startswith("rows.csv line 2: is not a valid record")
        assert found[1] == "3 {'text': 'y', 'label': 'b'}"

    def test_rows_are_numbered_by_their_first_line(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, '\ufefftext,label\r\n"two\r\nlines",a\r\n\r\ny,b\r\n')
        assert found == ["2 {'text': 'two\\r\\nlines', 'label': 'a'}", "5 {'text': 'y', 'label': 'b'}"]

    def test_a_tsv_written_without_quoting_is_taken_literally(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, 'text\tlabel\n"Hi" she said\ta\n"open\tb\nlast\tc\n')
        assert found == [
            "2 {'text': '\"Hi\" she said', 'label': 'a'}",
            "3 {'text': '\"open', 'label': 'b'}",
            "4 {'text': 'last', 'label': 'c'}",
        ]

    def test_a_column_twice(self, tmp_path: Path, configure: Configure) -> None:
        with pytest.raises(DataError, match=r"column names must be unique, but rows\.csv has 'text' more than once"):
            self.found(tmp_path, configure, "text,text,label\n1,2,3\n")

    def test_an_undecodable_line(self, tmp_path: Path, configure: Configure) -> None:
        (tmp_path / "rows.csv").write_bytes(b"text,label\ncaf\xe9,a\ny,b\n")
        found = read(configure(tmp_path / "rows.csv"))
        assert str(found[0]).startswith("rows.csv line 2: byte 0xe9") and found[1].line == 3


class TestJsonArray:
    def test_elements_are_numbered(self, tmp_path: Path, configure: Configure) -> None:
        (tmp_path / "rows.json").write_text('\n[\n{"text":\n"x"},\n  5,\n{}]')
        found = read(configure(tmp_path / "rows.json"))
        assert [row.line for row in found] == [1, 2, 3]
        assert str(found[1]) == "rows.json row 2: must be an object with named fields, but got int"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('[{"text": "x"} {"text": "y"}]', "line 1: ',' or ']' must follow an element, but got '{'"),
            ('[{"text": "x"},\n{"text": }]', "line 2: is not JSON: Expecting value near character 9 of the element"),
            ('[{"text": "x"},\n{"text": "y"', "line 2: is not JSON: "),
            ('[{"text": "' + "x" * 200_000 + '"}]', "line 1: is longer than dataset.max_row_bytes=1000"),
            ('"text"', "must hold one JSON array of objects, but starts with"),
        ],
    )
    def test_what_cannot_be_read_on_is_one_error(
        self, tmp_path: Path, configure: Configure, text: str, said: str
    ) -> None:
        (tmp_path / "rows.json").write_text(text)
        with pytest.raises(DataError) as failure:
            read(configure(tmp_path / "rows.json", format="json", max_row_bytes=1000))
        assert said in str(failure.value)

    def test_an_undecodable_element(self, tmp_path: Path, configure: Configure) -> None:
        (tmp_path / "rows.json").write_bytes(b'[{"text": "caf\xe9"}, {"text": "caf\xc3\xa9"}]')
        found = read(configure(tmp_path / "rows.json"))
        assert "byte 0xe9" in str(found[0]) and found[1].values == {"text": "café"}  # type: ignore[union-attr]
        decoded = read(configure(tmp_path / "rows.json", fallback_encoding="cp1252"))
        assert [row.values for row in decoded] == [{"text": "café"}] * 2  # type: ignore[union-attr]


class TestConll:
    def found(self, tmp_path: Path, configure: Configure, text: str, **fields: Any) -> list[Any]:
        (tmp_path / "rows.conll").write_text(text)
        return read(configure(tmp_path / "rows.conll", task="ner", **fields))

    def test_first_and_last_columns_and_document_starts(self, tmp_path: Path, configure: Configure) -> None:
        text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n-DOCSTART- -X- O O\n\n\nNext\tO\n"
        assert [(row.line, row.values) for row in self.found(tmp_path, configure, text)] == [
            (3, {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}),
            (8, {"tokens": ["Next"], "tags": ["O"]}),
        ]

    def test_other_white_space_belongs_to_the_token(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, "10\u00a0000 O\nNew York\tB-LOC\n")
        assert found[0].values["tokens"] == ["10\u00a0000", "New York"]

    def test_a_line_without_a_tag_costs_its_sentence(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, "a O\nalone\nb O\n\nc O\n")
        assert str(found[0]) == "rows.conll line 2, field 'tags': must have a token and a tag, but has only 'alone'"
        assert found[1].values["tokens"] == ["c"]

    def test_a_file_without_blank_lines(self, tmp_path: Path, configure: Configure) -> None:
        found = self.found(tmp_path, configure, "token O\n" * 1000, max_row_bytes=500)
        assert len(found) == 1
        assert "line 1: is longer than dataset.max_row_bytes=500" in str(found[0]) and "blank lines" in str(found[0])

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            (
                {"tokens": ["a", "b"], "tags": ["O"]},
                "field 'tags': must have one tag per token, but 1 tags for 2 tokens",
            ),
            ({"tokens": ["a"], "tags": ["Q-PER"]}, "field 'tags': must hold BIO tags"),
            ({"tokens": ["a"], "tags": ["B-"]}, "field 'tags': must hold BIO tags"),
            ({"tokens": ["a"], "tags": [3]}, "field 'tags': must hold tags such as 'O' or 'B-PER' as text, but got 3"),
            ({"tokens": ["a", ""], "tags": ["O", "O"]}, "field 'tokens': must hold text tokens, but token 1 is empty"),
            ({"tokens": ["a", 2], "tags": ["O", "O"]}, "field 'tokens': must hold text tokens, but token 1 is int 2"),
            ({"tokens": [], "tags": []}, "field 'tokens': must hold tokens, but is empty"),
            ({"tokens": "a b", "tags": ["O", "O"]}, "field 'tokens': must be a list of tokens, but got str 'a b'"),
            ({"tokens": ["a"]}, "field 'tags': must be a list of tags, but is missing"),
        ],
    )
    def test_broken_sentences(
        self, tmp_path: Path, prepared: Callable[..., Any], row: dict[str, Any], said: str
    ) -> None:
        good = [{"tokens": [f"t{n}"], "tags": ["B-PER"]} for n in range(10)]
        path = write_jsonl(tmp_path / "rows.jsonl", [*good, row])
        with pytest.raises(DataError) as failure:
            prepared(path, task="ner")
        assert f"rows.jsonl line 11, {said}" in str(failure.value)


def test_an_overlong_parquet_text(tmp_path: Path, prepared: Callable[..., Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    rows = [*GOOD, {"text": "é" * 60, "label": "a"}]
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet row 13, field 'text': has 120 bytes, more than .*=100"):
        prepared(tmp_path / "rows.parquet", max_row_bytes=100)


def test_an_undecodable_and_an_overlong_file(tmp_path: Path, prepared: Callable[..., Any]) -> None:
    for row in GOOD:
        (tmp_path / "data" / row["label"]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / row["label"] / f"{row['text']}.txt").write_text(row["text"])
    (tmp_path / "data" / "a" / "x.txt").write_bytes(b"caf\xe9")
    (tmp_path / "data" / "a" / "y.txt").write_bytes(b"y" * 101)
    (tmp_path / "data" / "README").write_text("about")
    found, _ = prepared(tmp_path / "data", on_bad_row="drop", max_row_bytes=100)
    assert found.rejected_examples[0].startswith("a/x.txt, field 'text': byte 0xe9")
    assert found.rejected_examples[1].startswith("a/y.txt: is longer than dataset.max_row_bytes=100")
    assert "files beside the data that were ignored: 1 (README)" in found.warnings
