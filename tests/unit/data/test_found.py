"""What is found out about files that other people made: splits, delimiters, header, encoding, compression."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import DatasetConfig
from podium.data.formats import open_reader, resolve_sources
from podium.data.infer import infer
from podium.data.readers.base import Row
from podium.errors import DataError
from podium.local.inference_data import DataCommand, open_data

from .conftest import write_jsonl

LINES = [f"a text, short and plain; number {n}" for n in range(30)]


def dataset(path: Path, **fields: Any) -> DatasetConfig:
    """The config of a data set that a user only names, as composition would make it."""
    reading = {name: value for name, value in fields.items() if name not in ("text_column", "label_column")}
    columns = {name: value for name, value in fields.items() if name not in reading}
    values = {one.path[1]: one.value for one in infer(path, declared=reading, **columns).given.assignments}
    return DatasetConfig.model_validate({**values, **fields})


def rows(config: DatasetConfig) -> list[Row]:
    found = [row for source in resolve_sources(config) for row in open_reader(source, config).rows()]
    assert all(isinstance(row, Row) for row in found), found
    return found  # type: ignore[return-value]


def delimited(delimiter: str = ",", header: str | None = "text,label") -> str:
    lines = [f'"{line}"{delimiter}{n % 2}' for n, line in enumerate(LINES)]
    return "\n".join([*([] if header is None else [header.replace(",", delimiter)]), *lines]) + "\n"


def files(path: Path, text: str, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


class TestSplits:
    @pytest.mark.parametrize(
        ("names", "roles"),
        [
            (("xTrain.tsv", "xTest.tsv"), {"train": 1, "test": 1}),
            (("reuters-train.tab", "reuters-test.tab"), {"train": 1, "test": 1}),
            (("my-train.csv", "my-test.csv", "my-dev.csv"), {"train": 1, "validation": 1, "test": 1}),
            (("TRAIN.csv", "Validation.csv", "TEST.csv"), {"train": 1, "validation": 1, "test": 1}),
            (("reviews.csv", "reviews_test.csv"), {"train": 1, "test": 1}),
            (
                ("data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv", "data/test.csv"),
                {"train": 2, "test": 1},
            ),
            (("train/a.csv", "train/b.csv", "test/a.csv"), {"train": 2, "test": 1}),
            (("train_en.csv", "train_de.csv"), {"train": 2}),
            (("part-1.csv", "part-2.csv"), {"train": 2}),
            (("en.train.csv", "en.dev.csv", "en.test.csv"), {"train": 1, "validation": 1, "test": 1}),
            (("news.train", "news.valid"), {"train": 1, "validation": 1}),
            (("contest.csv", "strain.csv"), {"train": 2}),
            (("train.csv", "test.csv", "sample_submission.csv", "README.md"), {"train": 1, "test": 1}),
        ],
    )
    def test_words_of_names_say_the_split(self, tmp_path: Path, names: tuple[str, ...], roles: dict[str, int]) -> None:
        tabs = names[0].endswith(("tsv", "tab"))
        sources = resolve_sources(dataset(files(tmp_path, delimited("\t" if tabs else ","), *names)))
        assert {source.role: len(source.files) for source in sources} == roles

    def test_what_was_read_as_what_is_said(self, tmp_path: Path) -> None:
        files(tmp_path, delimited(), "my-train.csv", "my-test.csv", "README.md")
        assert "files: 1 as train (my-train.csv), 1 as test (my-test.csv)" in infer(tmp_path).lines
        assert (
            "files: 1 as train (my-test.csv); validation and test are split off it"
            in infer(tmp_path / "my-test.csv").lines
        )

    def test_a_snapshot_of_the_hub_is_no_folder_of_labels(self, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        table = pa.Table.from_pylist([{"text": f"number {n}", "label": n % 2} for n in range(20)])
        (tmp_path / "data").mkdir()
        for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
            pa.parquet.write_table(table, tmp_path / "data" / f"{name}.parquet")
        (tmp_path / "README.md").write_text("# about")
        config = dataset(tmp_path)
        assert config.format == "parquet"
        assert {one.role: len(one.files) for one in resolve_sources(config)} == {"train": 2, "test": 1}

    def test_a_readme_names_the_files_of_each_split(self, tmp_path: Path) -> None:
        files(tmp_path, delimited(), "a/one.csv", "a/two.csv", "b/one.csv")
        (tmp_path / "README.md").write_text(
            "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: a/*.csv\n"
            "  - split: test\n    path: b/one.csv\n---\n# about\n"
        )
        assert {one.role: len(one.files) for one in resolve_sources(dataset(tmp_path))} == {"train": 2, "test": 1}
        (tmp_path / "README.md").write_text(
            "---\nconfigs:\n- config_name: a\n  data_files: a/*.csv\n- config_name: b\n  data_files: b/*.csv\n---\n"
        )
        with pytest.raises(DataError, match=r"describes several data sets \(a, b\); set dataset\.path"):
            dataset(tmp_path)

    def test_folders_of_splits_may_hold_folders_of_labels(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            files(tmp_path, "a text", f"{split}/pos/1.txt", f"{split}/neg/1.txt")
        config = dataset(tmp_path)
        assert config.format == "folder"
        assert [(one.role, len(one.files)) for one in resolve_sources(config)] == [("train", 2), ("test", 2)]


class TestLayout:
    @pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("header", ["text,label", None])
    def test_delimiter_and_header_are_found(
        self, tmp_path: Path, name: str, delimiter: str, header: str | None
    ) -> None:
        (tmp_path / name).write_text(delimited(delimiter, header))
        config = dataset(tmp_path / name)
        found = rows(config)
        assert [row.values[config.text_column] for row in found] == LINES
        assert [row.values[config.label_column] for row in found] == [str(n % 2) for n in range(30)]
        assert any("parted by" in line for line in infer(tmp_path / name).lines)

    def test_a_row_above_rows_is_a_row_and_that_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("".join(f"a text {n},{'good' if n % 3 else 'bad'}\n" for n in range(60)))
        config = dataset(tmp_path / "x.csv")
        assert len(rows(config)) == 60
        assert any(
            "'bad' is one of the values below it" in line and "dataset.header=true" in line
            for line in infer(tmp_path / "x.csv").lines
        )
        assert len(rows(config.model_copy(update={"header": True}))) == 59

    @pytest.mark.parametrize(
        "header",
        ["said,verdict", "text,spam", "0,1", ",text,label", "What did you like most of all?,verdict", "x,good"],
    )
    def test_a_header_is_no_row(self, tmp_path: Path, header: str) -> None:
        lead = "7," if header.startswith(",") else ""
        lines = "".join(f"{lead}a text {n},{'ham' if n % 2 else 'spam'}\n" for n in range(20))
        (tmp_path / "x.csv").write_text(f"{header}\n{lines}")
        assert len(rows(DatasetConfig(name="x", path=str(tmp_path / "x.csv"), task="text-classification"))) == 20

    def test_a_long_first_line_is_asked_about(self, tmp_path: Path) -> None:
        lines = "".join(f"a text of several words {n},label{n % 2}\n" for n in range(20))
        (tmp_path / "x.csv").write_text(f"the first of all the texts,other\n{lines}")
        assert any(
            "is its first line a row?" in line and "dataset.header=false" in line
            for line in infer(tmp_path / "x.csv").lines
        )

    def test_what_the_user_says_of_it_is_done(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("text;a,b\none;1,2\ntwo;3,4\n")
        assert infer(tmp_path / "x.csv", text_column="text;a", declared={"delimiter": ","}).lines
        with pytest.raises(ValueError, match="delimiter must be one character, tab or auto"):
            dataset(tmp_path / "x.csv", delimiter="::")

    def test_columns_without_a_name_at_the_end(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        lines = [f"{'ab'[n % 2]},a text {n}{',,,' if n % 3 else ''}\n" for n in range(30)]
        (tmp_path / "x.csv").write_text("label,text,,,\n" + "".join(lines))
        assert prepared(tmp_path / "x.csv")[0].warnings == ()
        (tmp_path / "x.csv").write_text("label,text,,,\n" + "".join(lines) + "a,cut, off,,\n")
        assert "records with a value in a column without a name" in prepared(tmp_path / "x.csv")[0].warnings[0]

    def test_backslashes_and_blanks_before_quotes(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        lines = "".join(f"a text {n},{'ab'[n % 2]}\n" for n in range(20))
        (tmp_path / "x.csv").write_text('text,label\n"he said \\"no, never\\"",a\n"one, \\"two\\"",b\n' + lines)
        found, artifact = prepared(tmp_path / "x.csv")
        texts = {text for split in (artifact.development, artifact.test) for text in split["text"]}
        assert 'he said "no, never"' in texts and found.rejected == 0
        assert found.warnings == (
            "records whose quotes were read with blanks before them, or with backslashes in them: 2",
        )


class TestEncoding:
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json", "x.txt"])
    def test_a_byte_order_mark_tells_it(self, tmp_path: Path, encoding: str, name: str) -> None:
        said = ["café 東京", *LINES]
        objects = [json.dumps({"text": text, "label": "ab"[n % 2]}) for n, text in enumerate(said)]
        text = "text;label\n" + "".join(f"{line.replace(';', ',')};{'ab'[n % 2]}\n" for n, line in enumerate(said))
        text = {"jsonl": "\n".join(objects), "json": f"[{','.join(objects)}]"}.get(name[2:], text)
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert rows(dataset(tmp_path / name))[0].values["text"] == "café 東京"
        if encoding != "utf-8-sig":
            assert any("by its byte order mark" in line for line in infer(tmp_path / name).lines)

    @pytest.mark.parametrize(
        ("encoding", "text"),
        [
            ("cp1252", "le café était très bon – “déjà vu”"),
            ("cp1251", "Этот фильм был очень хорошим и мне понравился"),
            ("cp932", "この映画はとても面白かったです"),
            ("gb18030", "这部电影非常好看我很喜欢"),
            ("utf-16-le", "the plain words"),
        ],
    )
    def test_bytes_that_are_no_utf_8_are_guessed(self, tmp_path: Path, encoding: str, text: str) -> None:
        lines = "".join(f"{text} {n};{'ab'[n % 2]}\n" for n in range(20))
        (tmp_path / "x.csv").write_bytes(f"text;label\n{lines}".encode(encoding))
        config = dataset(tmp_path / "x.csv")
        assert config.encoding == encoding
        assert rows(config)[0].values["text"] == f"{text} 0"
        assert any(
            f"looks like {encoding}" in line and "dataset.encoding" in line for line in infer(tmp_path / "x.csv").lines
        )

    def test_files_that_mix_encodings_are_left_to_the_user(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_bytes("text,label\ncafé,a\n".encode() + "café,b\n".encode("cp1252"))
        assert any("dataset.fallback_encoding=cp1252" in line for line in infer(tmp_path / "x.csv").lines)


class TestCompressed:
    def test_files_are_read_as_what_they_hold(self, tmp_path: Path) -> None:
        import pyarrow as pa

        text = delimited().encode()
        (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text))
        (tmp_path / "x.csv.bz2").write_bytes(bz2.compress(text))
        (tmp_path / "x.csv.xz").write_bytes(lzma.compress(text))
        (tmp_path / "x.csv.zst").write_bytes(pa.compress(text, "zstd", asbytes=True))
        (tmp_path / "named-wrong.csv").write_bytes(gzip.compress(text))
        with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
            archive.writestr("inside/x.csv", text)
            archive.writestr("__MACOSX/._x.csv", b"")
        for path in tmp_path.iterdir():
            assert [row.values["text"] for row in rows(dataset(path))] == LINES, path

    def test_what_cannot_be_unpacked_is_said(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
            archive.writestr("a.csv", "")
            archive.writestr("b.csv", "")
        (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(delimited().encode())[:-20])
        (tmp_path / "x.tar.gz").write_bytes(gzip.compress(b"tar"))
        for name, said in (
            ("two.zip", r"must hold one file, but .* holds 2 \(a\.csv, b\.csv\)"),
            ("cut.csv.gz", "cannot be decompressed"),
            ("x.tar.gz", "is an archive of files"),
        ):
            with pytest.raises(DataError, match=said):
                rows(dataset(tmp_path / name))

    def test_jsonl_in_a_compressed_file_by_its_name(self, tmp_path: Path) -> None:
        path = write_jsonl(tmp_path / "x.jsonl", [{"text": line, "label": "ab"[n % 2]} for n, line in enumerate(LINES)])
        (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert dataset(tmp_path / "y.jsonl.gz").format == "jsonl"


class TestWorkbook:
    def write(self, path: Path, values: list[list[Any]], second: str = "") -> Path:
        import openpyxl

        book = openpyxl.Workbook()
        for row in values:
            book.active.append(row)
        if second:
            book.create_sheet(second).append(["text", "label"])
        book.save(path)
        return path

    def test_a_sheet_is_named_where_there_are_several(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path / "x.xlsx", [["text", "label"], *([line, n % 2] for n, line in enumerate(LINES))], "more"
        )
        config = dataset(path)
        assert [row.values["label"] for row in rows(config)] == [n % 2 for n in range(30)]
        assert any("not read: more (dataset.sheet=NAME)" in line for line in infer(path).lines)
        assert rows(config.model_copy(update={"sheet": "more"})) == []
        with pytest.raises(DataError, match=r"must be a sheet of x\.xlsx, but got 'mor'"):
            rows(config.model_copy(update={"sheet": "mor"}))

    def test_a_sheet_without_names(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "x.xlsx", [[line, n % 2] for n, line in enumerate(LINES)])
        assert [row.line for row in rows(dataset(path))] == list(range(1, 31))

    def test_no_workbook(self, tmp_path: Path) -> None:
        (tmp_path / "x.xlsx").write_bytes(b"PK\x03\x04 broken")
        with pytest.raises(DataError, match=r"x\.xlsx must be an Excel workbook, but cannot be read as one"):
            dataset(tmp_path / "x.xlsx")


class TestRowsWithoutLabels:
    @pytest.mark.parametrize(
        ("text", "why"),
        [("id,text\n1,new\n", "has no column 'label'"), ("text,label\nnew,\n", "has nothing in its column 'label'")],
    )
    def test_a_test_file_without_labels_is_predicted(self, tmp_path: Path, text: str, why: str) -> None:
        files(tmp_path, delimited(), "train.csv")
        files(tmp_path, text, "test.csv")
        files(tmp_path, "id,label\n1,0\n", "sample_submission.csv")
        config = dataset(tmp_path)
        assert (config.test_path, config.predict_path) == (None, str(tmp_path / "test.csv"))
        lines = infer(tmp_path).lines
        assert any(f"test.csv {why}, so it is no test set" in line for line in lines)
        assert any(line.startswith("files: 1 as train (train.csv)") and "as test" not in line for line in lines)
        given = {
            "path": str(tmp_path / "train.csv"),
            "test_path": str(tmp_path / "test.csv"),
            "task": "text-classification",
        }
        with pytest.raises(DataError, match=r"dataset\.predict_path|field 'label': is missing"):
            from podium.data.prepare import prepare

            prepare(DatasetConfig.model_validate({"name": "x", **given}), 1, tmp_path / "out")

    @pytest.mark.parametrize("text", ["id,text\n1,new\n", "text,label\nnew,\n"])
    def test_several_of_them_beside_several_training_files(
        self, tmp_path: Path, text: str, prepared: Callable[..., Any]
    ) -> None:
        place = tmp_path / "shards"
        names = [f"data/train-0000{n}-of-00002.csv" for n in range(2)]
        for number, name in enumerate(names):
            files(place, delimited().replace("number", f"number {number}"), name)
        files(place, text, "data/test-00000-of-00002.csv", "data/test-00001-of-00002.csv")
        config = dataset(place)
        assert (config.path, config.test_path, config.predict_path) == (str(place), None, str(place))
        assert any(
            line.startswith("each of data/test-00000-of-00002.csv, data/test-00001") for line in infer(place).lines
        )
        found, _ = prepared(place, predict_path=str(place))
        assert found.read_rows == 60 and [*found.sources] == names

    def test_tokens_without_tags(self, tmp_path: Path) -> None:
        files(tmp_path, "".join(f"Ada B-PER\nran{n} O\n\n" for n in range(20)), "train.txt")
        files(tmp_path, "Ada\nran\n\nBob\nsat\n", "test.txt")
        config = dataset(tmp_path)
        assert (config.task, config.predict_path) == ("ner", str(tmp_path / "test.txt"))
        assert "test.txt has no column 'tags', so it is no test set" in "\n".join(infer(tmp_path).lines)
        found = open_data(DataCommand("test.txt", settings=["format=conll"]), tmp_path, "ner", ("O", "B-PER", "I-PER"))
        assert [row.content for row in found.source] == [["Ada", "ran"], ["Bob", "sat"]]

    def test_a_split_of_a_saved_data_set(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

        features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
        train = [{"text": f"old {n}", "label": n % 2} for n in range(20)]
        test = [{"text": f"new {n}", "label": -1} for n in range(4)]
        parts = {"train": train, "test": test}
        saved = {name: Dataset.from_list(part, features=features) for name, part in parts.items()}
        DatasetDict(saved).save_to_disk(tmp_path / "saved")
        config = dataset(tmp_path / "saved")
        assert config.predict_path == config.path
        assert "test has nothing in its column 'label', so it is no test set" in "\n".join(
            infer(tmp_path / "saved").lines
        )
        assert prepared(config.path, predict_path=config.path)[0].read_rows == 20
