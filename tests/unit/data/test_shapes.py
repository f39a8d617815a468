"""Words with tags, and JSON, as people have them: what of it is read, and how it is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import DatasetConfig
from podium.data.infer import infer
from podium.data.staging import read_texts
from podium.errors import DataError, InputError
from podium.tasks.spans import Span, align, spans_of
from podium.tasks.tags import to_bio

from .conftest import write_jsonl
from .test_found import dataset

PEOPLE = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Emmy Noether"]
TEXTS = [f"{PEOPLE[n % 4]} met number {n} in New York." for n in range(24)]
WORDS = [*["Ada", "Lovelace", "met", "number"], "0", "in", "New", "York", "."]
TAGS = ["B-PER", "I-PER", "O", "O", "O", "O", "B-LOC", "I-LOC", "O"]


def spans(text: str) -> list[tuple[int, int, str]]:
    place = text.index("New York")
    return [(0, len(" ".join(text.split()[:2])), "PER"), (place, place + 8, "LOC")]


def named(text: str, *names: str) -> list[dict[str, Any]]:
    start, end, label = names
    return [{start: a, end: b, label: kind} for a, b, kind in spans(text)]


def studio(text: str) -> list[dict[str, Any]]:
    return [{"start": a, "end": b, "text": text[a:b], "labels": [kind]} for a, b, kind in spans(text)]


def results(text: str) -> list[dict[str, Any]]:
    return [{"value": one, "from_name": "label", "to_name": "text", "type": "labels"} for one in studio(text)]


EXPORTS: dict[str, Callable[[str], Any]] = {
    "doccano, old": lambda text: {"id": 1, "text": text, "labels": spans(text)},
    "doccano, label": lambda text: {"id": 1, "text": text, "label": spans(text), "Comments": []},
    "doccano, new": lambda text: {
        "text": text,
        "entities": [{"id": 1, **one} for one in named(text, "start_offset", "end_offset", "label")],
        "relations": [],
    },
    "spaCy": lambda text: [text, {"entities": spans(text)}],
    "Prodigy": lambda text: {"text": text, "spans": named(text, "start", "end", "label"), "answer": "accept"},
    "Label Studio": lambda text: {"id": 1, "data": {"text": text}, "annotations": [{"id": 2, "result": results(text)}]},
    "Label Studio, JSON-MIN": lambda text: {"id": 1, "text": text, "label": studio(text), "annotator": 1},
}


class TestSpans:
    @pytest.mark.parametrize("tool", EXPORTS)
    @pytest.mark.parametrize("suffix", ["jsonl", "json"])
    def test_what_tools_export_is_read(self, tmp_path: Path, tool: str, suffix: str) -> None:
        rows = [EXPORTS[tool](text) for text in TEXTS]
        if suffix == "json":
            (tmp_path / "x.json").write_text(json.dumps(rows))
        else:
            write_jsonl(tmp_path / "x.jsonl", rows)
        config = dataset(tmp_path / f"x.{suffix}")
        assert config.task == "ner"
        found = read_texts(config)
        assert found.rows[0] == WORDS and found.labels == {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}

    def test_prodigy_without_spans_and_what_was_rejected(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [EXPORTS["Prodigy"](text) for text in TEXTS]
        rows += [{"text": "nobody", "answer": "accept"}, {"text": "no", "spans": [], "answer": "reject"}]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        found, _ = prepared(path, task="ner", text_column="text", label_column="spans")
        assert found.read_rows == 25
        assert "rows that an annotator rejected (answer), which were left out: 1" in found.warnings

    def test_spans_that_cut_words_are_counted(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [{"text": f"Hoppers {n}", "entities": [[0, 6, "PER"], [0, 4, "LOC"]]} for n in range(9)]
        found, _ = prepared(write_jsonl(tmp_path / "x.jsonl", rows), task="ner", label_column="entities")
        assert "spans that begin or end inside a word, which was taken whole: 9" in found.warnings
        assert "spans that were left out because a longer one is over them: 9" in found.warnings
        rows.append({"text": "short", "entities": [[0, 60, "PER"]]})
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        with pytest.raises(
            DataError, match=r"x\.jsonl line 10, field 'entities': must hold spans of the text's 5 char"
        ):
            prepared(path, task="ner", label_column="entities")

    def test_alignment(self) -> None:
        found = align("in São Paulo-City", [Span(3, 12, "LOC")])
        assert (found.words, found.tags, found.cutting) == (
            ["in", "São", "Paulo", "-", "City"],
            ["O", "B-LOC", "I-LOC", "O", "O"],
            0,
        )
        assert spans_of([]) == [] and spans_of([1, 2]) is None and spans_of("x") is None
        assert spans_of([[0, True, "x"]]) is None


class TestTags:
    @pytest.mark.parametrize(
        ("scheme", "tags"),
        [
            ("IOBES", "B-PER E-PER O S-LOC B-LOC I-LOC E-LOC"),
            ("BILOU", "B-PER L-PER O U-LOC B-LOC I-LOC L-LOC"),
            ("BMEWO", "B-PER E-PER O W-LOC B-LOC M-LOC E-LOC"),
            ("tags with '_'", "B_PER I_PER O B_LOC B_LOC I_LOC I_LOC"),
        ],
    )
    def test_schemes_become_bio(self, scheme: str, tags: str) -> None:
        found, name, rewritten = to_bio(tags.split())
        assert found == ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "I-LOC"] and rewritten
        assert name == scheme or (scheme == "BMEWO" and name == "IOBES")

    def test_bare_types_and_what_is_none(self) -> None:
        assert to_bio(["PER", "PER", "O", "LOC", "PER"])[0] == ["B-PER", "I-PER", "O", "B-LOC", "B-PER"]
        for tags in (["B-"], ["Q-PER"], ["B-PER", "PER"], ["NN", "VB", "DT", "NN", "IN"]):
            assert to_bio(tags) == (tags, "", 0)

    def test_they_are_counted(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        text = "".join(f"Ada S-PER\nran{n} O\n\n" for n in range(9))
        (tmp_path / "x.conll").write_text(text)
        assert (
            "tags that were rewritten from IOBES to BIO2: 9" in prepared(tmp_path / "x.conll", task="ner")[0].warnings
        )
        rows = [{"tokens": ["Ada", "ran", str(n)], "ner_tags": ["PER", "O", "O"]} for n in range(9)]
        config = dataset(write_jsonl(tmp_path / "x.jsonl", rows))
        assert (config.task, config.label_column) == ("ner", "ner_tags")

    def test_numbers_need_names(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [{"tokens": ["Ada", "ran", str(n)], "ner_tags": [1, 0, 0]} for n in range(9)]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        config = dataset(path)
        fields = {"task": "ner", "text_column": config.text_column, "label_column": config.label_column}
        with pytest.raises(DataError, match=r"name numbers with dataset\.label_names="):
            prepared(path, **fields)
        assert prepared(path, label_names=("O", "B-PER"), **fields)[0].labels == ("O", "B-PER", "I-PER")
        with pytest.raises(DataError, match=r"must hold places in dataset\.label_names, which has 1, but got 1"):
            prepared(path, label_names=("O",), **fields)
        (tmp_path / "labels.txt").write_text("O\nB-ORG\n")
        assert prepared(path, **fields)[0].labels == ("O", "B-ORG", "I-ORG")

    def test_numbers_of_the_hub_have_names(self, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        names = {"_type": "ClassLabel", "names": ["no", "yes"]}
        tags = {"_type": "List", "feature": {"_type": "ClassLabel", "names": ["O", "B-PER"]}}
        features = {"info": {"features": {"label": names, "ner_tags": tags}}}
        rows = [{"tokens": ["Ada", "ran"], "ner_tags": [1, 0], "label": n % 2, "text": f"t {n}"} for n in range(4)]
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": json.dumps(features)})
        pa.parquet.write_table(table.select(["text", "label"]), tmp_path / "a.parquet")
        pa.parquet.write_table(table.select(["tokens", "ner_tags"]), tmp_path / "b.parquet")
        assert read_texts(dataset(tmp_path / "a.parquet")).labels == {"no", "yes"}
        assert read_texts(dataset(tmp_path / "b.parquet")).labels == {"O", "B-PER"}

    def test_names_for_the_numbers_of_classes(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("text,label\n" + "".join(f"number {n},{n % 2}\n" for n in range(9)))
        assert read_texts(dataset(tmp_path / "x.csv", label_names=("no", "yes"))).labels == {"no", "yes"}

    def test_lists_without_items_and_white_space(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [{"text": f"a text {n}", "label": "ab"[n % 2], "relations": []} for n in range(9)]
        assert dataset(write_jsonl(tmp_path / "x.jsonl", rows)).task == "text-classification"
        rows = [{"tokens": ["Ada", "\u00a0", str(n)], "tags": ["B-PER", "O", "O"]} for n in range(9)]
        assert prepared(write_jsonl(tmp_path / "y.jsonl", rows), task="ner")[0].rejected == 0


class TestConll:
    def test_comments_and_columns(self, tmp_path: Path) -> None:
        text = "# id 7\n# text = Ada ran\n1\tAda\t_\tB-PER\t_\n2\t#\t_\tO\t_\n\n# id 8\n1\tRan\t_\tO\t_\n"
        (tmp_path / "x.conll").write_text(text)
        config = dataset(tmp_path / "x.conll", text_column="2", label_column="4")
        found = read_texts(config)
        assert found.rows == [["Ada", "#"], ["Ran"]] and found.labels == {"B-PER", "O"}
        (tmp_path / "x.conll").write_text("# global.columns = ID FORM NER MISC\n" + text.replace("\t_\t", "\t", 1))
        with pytest.raises(DataError, match="must be the number of a column, or one of ID, FORM, NER, MISC"):
            read_texts(config.model_copy(update={"text_column": "WORD"}))
        (tmp_path / "y.conll").write_text("# O\nAda B-PER\n\n#tag O\n")
        assert read_texts(dataset(tmp_path / "y.conll")).rows == [["#", "Ada"], ["#tag"]]

    def test_a_column_that_counts_is_doubted(self, tmp_path: Path) -> None:
        (tmp_path / "x.conll").write_text("1 Ada B-PER\n2 ran O\n\n1 Far O\n2 off O\n")
        assert any("dataset.text_column=2" in line for line in infer(tmp_path / "x.conll").lines)


class TestTokenRows:
    TABLE = "".join(
        f"{'Sentence: ' + str(n) if place == 0 else ''},{word},{tag}\n"
        for n in range(12)
        for place, (word, tag) in enumerate([(f"Ada{n}", "B-PER"), ("ran", "O"), ('"1,000"', "O")])
    )

    def test_one_token_a_row(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        (tmp_path / "x.csv").write_text("Sentence #,Word,Tag\n" + self.TABLE)
        config = dataset(tmp_path / "x.csv")
        assert (config.task, config.text_column, config.label_column) == ("ner", "Word", "Tag")
        found, _ = prepared(tmp_path / "x.csv", task="ner", text_column="Word", label_column="Tag")
        assert found.read_rows == 12 and "sentences put together from one token a row: 12" in found.warnings
        (tmp_path / "y.csv").write_text("group,Word,Tag\n" + self.TABLE)
        fields = {"task": "ner", "text_column": "Word", "label_column": "Tag"}
        with pytest.raises(DataError, match=r"set dataset\.sentence_column to one of: group, Word, Tag"):
            prepared(tmp_path / "y.csv", **fields)
        assert prepared(tmp_path / "y.csv", sentence_column="group", **fields)[0].read_rows == 12

    def test_lists_as_text(self, tmp_path: Path) -> None:
        lines = "".join(f"\"['Ada{n}', 'ran']\",\"['B-PER', 'O']\"\n" for n in range(6))
        (tmp_path / "x.csv").write_text("tokens,ner_tags\n" + lines)
        assert read_texts(dataset(tmp_path / "x.csv")).rows[0] == ["Ada0", "ran"]


ROWS = [{"text": f"a text {n}", "label": "ab"[n % 2]} for n in range(12)]
COLUMNS = {name: [row[name] for row in ROWS] for name in ("text", "label")}
DOCUMENTS = {
    "data": {"version": "1", "data": ROWS},
    "rows": {"features": [{"name": "text"}], "rows": [{"row_idx": n, "row": row} for n, row in enumerate(ROWS)]},
    "columns": {name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ("text", "label")},
    "split": {"columns": ["text", "label"], "index": [*range(12)], "data": [[*row.values()] for row in ROWS]},
    "index": {str(n): row for n, row in enumerate(ROWS)},
    "ids": {f"id-{n}": row for n, row in enumerate(ROWS)},
    "table": {"schema": {"fields": [{"name": "text"}]}, "data": ROWS},
    "list": COLUMNS,
    "records": ROWS,
    "nested": [{"doc": {"text": row["text"]}, "meta": {"label": row["label"], "n": 1}} for row in ROWS],
}


class TestJson:
    @pytest.mark.parametrize("shape", DOCUMENTS)
    @pytest.mark.parametrize("indent", [None, 1])
    def test_rows_are_found_in_documents(self, tmp_path: Path, shape: str, indent: int | None) -> None:
        (tmp_path / "x.json").write_text(json.dumps(DOCUMENTS[shape], indent=indent))
        found = read_texts(dataset(tmp_path / "x.json"))
        assert found.rows == COLUMNS["text"] and found.labels == {"a", "b"}

    def test_lists_of_several_splits_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text(json.dumps({"train": ROWS, "test": ROWS}))
        with pytest.raises(DataError, match="holds several lists of rows: train, test"):
            dataset(tmp_path / "x.json")

    def test_objects_one_after_another(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text("\n".join(json.dumps(row, indent=1) for row in ROWS))
        assert read_texts(dataset(tmp_path / "x.json")).rows == COLUMNS["text"]
        (tmp_path / "x.json").write_text(json.dumps(ROWS[0], indent=1) + "\n{broken\n")
        with pytest.raises(DataError, match=r"x\.json line 5: is not JSON"):
            dataset(tmp_path / "x.json")

    def test_lists_as_labels_point_to_several_labels(self, tmp_path: Path) -> None:
        path = write_jsonl(
            tmp_path / "x.jsonl", [{"text": f"t {n}", "label": ["a", "b"][: 1 + n % 2]} for n in range(9)]
        )
        assert dataset(path).task == "multi-label"
        (tmp_path / "x.csv").write_text("text,label\n" + "".join(f"t {n},\"['a', 'b']\"\n" for n in range(9)))
        assert read_texts(dataset(tmp_path / "x.csv")).labels == {"a", "b"}
        config = DatasetConfig(name="x", path=str(path), task="text-classification")
        with pytest.raises(InputError, match=r"dataset\.task=multi-label"):
            from podium.data.prepare import prepare

            prepare(config, 1, tmp_path / "out")

    def test_a_name_may_have_a_dot(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text(json.dumps(DOCUMENTS["nested"]))
        assert "text column: 'doc.text' (by its name)" in infer(tmp_path / "x.json").lines
