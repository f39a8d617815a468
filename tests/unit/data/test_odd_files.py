"""Files that are not as the tools of their format write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.data.formats import resolve_sources
from podium.data.infer import infer
from podium.errors import DataError

from .conftest import write_jsonl
from .test_found import dataset, delimited, files, rows


class TestOddFiles:
    """Kinds of files that people have, each read whole, or refused with its place."""

    def table(self, *above: str, end: str = "\n", quote: str = "", header: str = "text,label") -> str:
        lines = [f"{quote}the text, or number {n}{quote},{quote}{'ab'[n % 2]}{quote}" for n in range(20)]
        names = ",".join(f"{quote}{name}{quote}" for name in header.split(","))
        return end.join([*above, names, *(lines if quote else [line.replace(", or", " or") for line in lines])]) + end

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param({"end": "\r"}, id="old Macintosh line ends"),
            pytest.param({"quote": "'"}, id="single quotes"),
            pytest.param({"above": ("sep=,",)}, id="sep="),
            pytest.param({"above": ("# made by a tool", "# in 2024")}, id="comments"),
            pytest.param({"above": ("", "", "")}, id="empty lines"),
            pytest.param({"header": "tweet,class"}, id="usual names"),
            pytest.param({"header": " Text , Label "}, id="blanks around names"),
            pytest.param({"header": "x,y"}, id="names of statistics"),
        ],
    )
    def test_all_rows_are_read(self, tmp_path: Path, text: dict[str, Any]) -> None:
        above = text.pop("above", ())
        (tmp_path / "x.csv").write_text(self.table(*above, **text), newline="")
        config = dataset(tmp_path / "x.csv")
        assert [row.values[config.label_column] for row in rows(config)] == ["ab"[n % 2] for n in range(20)]

    def test_a_first_row_with_a_hash_is_kept(self, tmp_path: Path) -> None:
        lines = "".join(f"# title {n},{'ab'[n % 2]}\n" for n in range(20))
        (tmp_path / "x.csv").write_text(lines)
        assert len(rows(dataset(tmp_path / "x.csv"))) == 20

    @pytest.mark.parametrize("label", ["2024-01-0{}", "😀{}", "100000000000000000000{}", "a label of words {}", "NA{}"])
    def test_labels_stay_what_they_are(self, tmp_path: Path, label: str, prepared: Callable[..., Any]) -> None:
        lines = "".join(f"number\x00 {n}\ufeff,{label.format(1 + n % 2)}\n" for n in range(20))
        (tmp_path / "x.csv").write_text(f"text,label\n{lines}")
        assert prepared(tmp_path / "x.csv")[0].labels == (label.format(1), label.format(2))

    def test_files_of_splits_in_different_formats(self, tmp_path: Path) -> None:
        write_jsonl(tmp_path / "train.jsonl", [{"text": f"old {n}", "label": "ab"[n % 2]} for n in range(20)])
        files(tmp_path, self.table(), "test.csv")
        config = dataset(tmp_path)
        assert [one.format for one in resolve_sources(config)] == ["jsonl", "csv"] and len(rows(config)) == 40

    @pytest.mark.parametrize("text", ["", "text,label\n"])
    def test_a_test_file_without_rows_is_said(self, tmp_path: Path, text: str, prepared: Callable[..., Any]) -> None:
        files(tmp_path, self.table(), "train.csv")
        files(tmp_path, text, "test.csv")
        config = dataset(tmp_path)
        found, _ = prepared(config.path, test_path=config.test_path)
        assert any("test.csv has no rows; they are split off train" in line for line in found.warnings)

    def test_a_footer_is_refused_with_its_place(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        (tmp_path / "x.csv").write_text(self.table() + "Total: 20\n")
        with pytest.raises(DataError, match=r"x\.csv line 22: .* must have the 2 fields of the header, but has 1"):
            prepared(tmp_path / "x.csv")

    def test_a_file_of_another_format_counts_as_bad(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        write_jsonl(tmp_path / "train.jsonl", [{"text": f"old {n}", "label": "ab"[n % 2]} for n in range(20)])
        files(tmp_path, self.table(), "test.csv")
        with pytest.raises(DataError, match=r"test:test\.csv line 1: is not JSON"):
            prepared(tmp_path / "train.jsonl", test_path=str(tmp_path / "test.csv"), format="jsonl")


def test_an_unknown_encoding_is_said_before_anything_is_read(tmp_path: Path) -> None:
    files(tmp_path, delimited(), "x.csv")
    with pytest.raises(DataError, match=r"dataset\.encoding must be an encoding that Python knows, but got 'nope'"):
        dataset(tmp_path / "x.csv", encoding="nope")


class TestMoreOddFiles:
    def test_a_comment_with_as_many_commas_as_the_names_below_it(self, tmp_path: Path) -> None:
        lines = ["# exported in May, by a tool", "text,label", *(f"a text {n},{n % 2}" for n in range(20))]
        files(tmp_path, "".join(f"{line}\n" for line in lines), "x.csv")
        config = dataset(tmp_path / "x.csv")
        assert config.label_column == "label" and len(rows(config)) == 20

    def test_texts_as_bytes_and_labels_in_an_object(self, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        found = [{"text": f"é {n}".encode(), "labels": {"spam": n % 2, "ad": n % 3 // 2}} for n in range(20)]
        pa.parquet.write_table(pa.Table.from_pylist(found), tmp_path / "x.parquet")
        config = dataset(tmp_path / "x.parquet")
        assert (config.task, config.label_column) == ("multi-label", "labels.spam,labels.ad")
        assert rows(config)[1].values["text"] == "é 1"

    def test_folders_of_splits_beside_a_vocabulary(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            for label in ("pos", "neg"):
                files(tmp_path, f"a {label} text", f"{split}/{label}/1.txt", f"{split}/{label}/2.txt")
        files(tmp_path, "x", "imdb.vocab", "README", "train/unsup/1.txt", "train/urls_pos.txt")
        config = dataset(tmp_path)
        assert {row.values["label"] for row in rows(config)} == {"pos", "neg"} and config.test_path
        assert "2 not read (unsup, urls_pos.txt)" in infer(tmp_path).lines[1]

    def test_a_table_beside_folders_of_splits_is_the_data(self, tmp_path: Path) -> None:
        files(tmp_path, delimited(), "reviews.csv", "train/1.png", "test/1.png")
        assert dataset(tmp_path).format == "csv"

    def test_records_without_any_value(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        lines = ["text,label,,", *(f"a text {n},{n % 2},," for n in range(20)), *[",,,"] * 3]
        files(tmp_path, "".join(f"{line}\n" for line in lines), "x.csv")
        found, _ = prepared(tmp_path / "x.csv")
        assert found.read_rows == 20 and "records without any value, which were left out: 3" in found.warnings

    def test_json_as_chat_tools_have_it(self, tmp_path: Path) -> None:
        pairs = [[f"a text {n}", "ab"[n % 2]] for n in range(20)]
        examples = [{"text": text, "intent": label, "entities": []} for text, label in pairs]
        (tmp_path / "rasa.json").write_text(json.dumps({"nlu": {"common_examples": examples, "regex_features": []}}))
        config = dataset(tmp_path / "rasa.json")
        assert (config.text_column, config.label_column) == ("text", "intent") and len(rows(config)) == 20
        (tmp_path / "pairs.json").write_text(json.dumps(pairs))
        config = dataset(tmp_path / "pairs.json")
        assert (config.text_column, config.label_column) == ("column_1", "column_2") and len(rows(config)) == 20
        (tmp_path / "clinc.json").write_text(json.dumps({"train": pairs, "test": pairs}))
        with pytest.raises(DataError, match="holds several lists of rows: train, test; put each into a file"):
            dataset(tmp_path / "clinc.json")

    def test_several_labels_of_which_only_one_stands_alone(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        lines = ["text,label", *(f"a text {n},{'a;b' if n % 3 else 'a'}" for n in range(20))]
        files(tmp_path, "".join(f"{line}\n" for line in lines), "x.csv")
        assert any("--task multi-label" in line for line in prepared(tmp_path / "x.csv")[0].warnings)

    @pytest.mark.parametrize("line", ["{label}\t{text}", "{text}\t{label}\t"])
    def test_a_first_label_may_be_a_usual_name_of_a_column(self, tmp_path: Path, line: str) -> None:
        lines = [line.format(text=f"a text {n}", label="pos" if n % 2 == 0 else "neg") for n in range(20)]
        files(tmp_path, "".join(f"{one}\n" for one in lines), "x.txt")
        config = dataset(tmp_path / "x.txt")
        assert {row.values[config.label_column] for row in rows(config)} == {"pos", "neg"} and len(rows(config)) == 20

    def test_a_column_of_splits_is_named(self, tmp_path: Path) -> None:
        lines = ["text,label,part", *(f"a text {n},{n % 2},{'train' if n % 4 else 'test'}" for n in range(20))]
        files(tmp_path, "".join(f"{one}\n" for one in lines), "x.csv")
        assert any(
            one.startswith("column 'part' has test, train, but splits are drawn anew")
            for one in infer(tmp_path / "x.csv").lines
        )
