"""Data that cannot be used: one clear error each, with what to do."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.data.formats import fingerprint
from podium.errors import DataError, InputError

from .conftest import Configure, labelled, write_jsonl

Prepare = Callable[..., Any]


def refused(prepared: Prepare, path: Path | str, **fields: Any) -> str:
    with pytest.raises(DataError) as failure:
        prepared(path, **fields)
    return str(failure.value)


def test_a_missing_file(tmp_path: Path, prepared: Prepare) -> None:
    message = refused(prepared, tmp_path / "nowhere.csv")
    assert "dataset.path" in message and "nowhere.csv does not exist" in message


def test_a_missing_test_file(tmp_path: Path, prepared: Prepare) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(a=9, b=9))
    assert "dataset.test_path" in refused(prepared, path, test_path=str(tmp_path / "test.jsonl"))


@pytest.mark.parametrize(
    ("name", "text"), [("e.jsonl", ""), ("e.csv", "text,label\n"), ("e.csv", ""), ("e.json", "[]"), ("e.json", "")]
)
def test_an_empty_data_set(tmp_path: Path, prepared: Prepare, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert "must have rows" in refused(prepared, tmp_path / name)


def test_an_empty_directory(tmp_path: Path, prepared: Prepare) -> None:
    assert "must hold one folder per label" in refused(prepared, tmp_path)
    (tmp_path / "label").mkdir()
    assert "needs folders with one file per row" in refused(prepared, tmp_path)


def test_nothing_but_bad_rows(tmp_path: Path, prepared: Prepare) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": "", "label": "a"}] * 3)
    message = refused(prepared, path, on_bad_row="drop")
    assert "of 3 rows read 3 are bad" in message and "rows.jsonl line 1, field 'text'" in message


def test_one_class_only(tmp_path: Path, prepared: Prepare) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(only=20))
    message = refused(prepared, path)
    assert "at least two labels, but the only one of its 20 rows is 'only'" in message and "label_column" in message


def test_no_entities(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "rows.conll").write_text("".join(f"t{n} O\n\n" for n in range(20)))
    assert "must have entities, but every tag is 'O'" in refused(prepared, tmp_path / "rows.conll", task="ner")


def test_classes_with_too_few_rows(tmp_path: Path, prepared: Prepare) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(common=30, few=3, one=1, enough=4))
    assert refused(prepared, path) == (
        "every class must have at least 4 distinct rows (3 for dataset.folds=3 and 1 to test on), but 'one' has 1, "
        "'few' has 3; add rows, drop these classes, or lower dataset.folds"
    )


def test_classes_with_just_enough_rows(tmp_path: Path, prepared: Prepare) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(common=300, rare=4))
    found, artifact = prepared(path)
    counts = {split: counts["rare"] for split, counts in found.label_counts.items()}
    assert counts == {"train": 2, "validation": 1, "test": 1}
    rare = [fold for fold, label in zip(artifact.folds, artifact.development["label"], strict=True) if label == 1]
    assert sorted(rare) == [0, 1, 2]


def test_thousands_of_classes_give_a_short_message(tmp_path: Path, prepared: Prepare) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": f"x {n}", "label": str(n)} for n in range(3000)])
    message = refused(prepared, path)
    assert len(message) < 500 and "and 2990 more are short" in message


@pytest.mark.parametrize("role", ["test", "validation"])
def test_a_held_out_label_that_train_lacks(tmp_path: Path, prepared: Prepare, role: str) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", labelled(a=9, b=9))
    other = write_jsonl(
        tmp_path / "other.jsonl", [{"text": f"o {n}", "label": "ab"[n % 2] * (n // 4 + 1)} for n in range(6)]
    )
    message = refused(prepared, path, **{f"{role}_path": str(other)})
    assert f"labels of the {role} rows must occur in train, but 'aa', 'bb' do not (train has 'a', 'b')" in message
    assert f"dataset.{role}_path" in message


def test_a_held_out_entity_type_that_train_lacks(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "train.conll").write_text("".join(f"t{n} B-PER\n\n" for n in range(20)))
    (tmp_path / "test.conll").write_text("u0 B-PER\n\nu1 B-LOC\n")
    message = refused(prepared, tmp_path / "train.conll", task="ner", test_path=str(tmp_path / "test.conll"))
    assert "entity types of the test rows must occur in train, but 'LOC' do not (train has 'PER')" in message


def test_a_rare_entity_type_is_a_warning(tmp_path: Path, prepared: Prepare) -> None:
    rows = [f"t{n} B-PER\n\n" for n in range(40)] + ["only B-LOC\n\n"]
    (tmp_path / "rows.conll").write_text("".join(rows))
    found, _ = prepared(tmp_path / "rows.conll", task="ner")
    assert found.cautions == ("entity types that no test row has, so that no score tells how they are answered: 'LOC'",)
    assert found.warnings == ("entity types in fewer than 4 sentences cannot be in every fold and split: 'LOC' has 1",)
    assert found.labels == ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")


def test_too_few_sentences(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "rows.conll").write_text("".join(f"t{n} B-PER\n\n" for n in range(4)))
    assert "at least 5 distinct sentences" in refused(prepared, tmp_path / "rows.conll", task="ner")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_a_missing_column_lists_those_there_are(tmp_path: Path, prepared: Prepare, name: str) -> None:
    rows = [{"Text": f"x {n}", "labels": "ab"[n % 2], "id": str(n)} for n in range(20)]
    if name.endswith("csv"):
        (tmp_path / name).write_text("Text,labels,id\n" + "".join(",".join(row.values()) + "\n" for row in rows))
    else:
        write_jsonl(tmp_path / name, rows)
    assert refused(prepared, tmp_path / name, label_column="labels") == (
        f"dataset.text_column must name a column, but {name} has no 'text'; did you mean \"Text\"? Its columns: "
        "Text, labels, id. Set dataset.text_column=NAME"
    )
    found, _ = prepared(tmp_path / name, text_column="Text", label_column="labels")
    assert found.labels == ("a", "b")


def test_a_file_that_may_not_be_read(tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows").write_text("x")
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(a=9, b=9))

    def forbidden(self: Path, *arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", forbidden)
    for unreadable in (tmp_path / "rows", path):
        with pytest.raises(DataError, match="cannot be read: Permission denied; check its permissions"):
            fingerprint(configure(unreadable))


def test_an_unknown_format(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "rows.doc").write_bytes(b"\xd0\xcf\x11\xe0 what an old document begins with")
    message = refused(prepared, tmp_path / "rows.doc")
    assert (
        "'.doc'" in message
        and "jsonl, json, csv, tsv, parquet, arrow, fasttext, conll, folder, xlsx, sql, datasets" in message
    )


def test_a_format_that_does_not_exist(tmp_path: Path, configure: Configure) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(a=2, b=2))
    with pytest.raises(InputError, match=r"dataset.format must be one of jsonl, .*'jsnl'; did you mean \"jsonl\"\?"):
        fingerprint(configure(path, format="jsnl"))


def test_a_format_that_cannot_hold_the_task(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "rows" / "a").mkdir(parents=True)
    (tmp_path / "rows" / "a" / "1.txt").write_text("tokens\n")
    message = refused(prepared, tmp_path / "rows", task="ner")
    assert "folder cannot" in message and "conll" in message
    (tmp_path / "rows.conll").write_text("a O\n")
    assert "conll cannot" in refused(prepared, tmp_path / "rows.conll")


def test_files_that_only_pretend(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"not parquet")
    assert "rows.parquet must be a Parquet file" in refused(prepared, tmp_path / "rows.parquet")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    assert "must be a folder that `datasets` saved" in refused(prepared, tmp_path / "saved")


def test_a_directory_of_mixed_files(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.jsonl").touch()
    assert "must share one format" in refused(prepared, tmp_path)


def test_a_directory_whose_files_are_splits(tmp_path: Path, prepared: Prepare) -> None:
    for name in ("train", "test"):
        rows = [{**row, "text": f"{name} {row['text']}"} for row in labelled(a=5, b=5)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    assert prepared(tmp_path)[0].rows == {"train": 8, "validation": 2, "test": 10}
    write_jsonl(tmp_path / "train.jsonl", rows)
    assert "each has the content of a row that is held out" in refused(prepared, tmp_path)


def test_label_folders_one_level_too_deep(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "train" / "pos").mkdir(parents=True)
    assert "holds the folder 'pos'" in refused(prepared, tmp_path)


class TestSql:
    @pytest.mark.parametrize("fields", [{"format": "sql"}, {"query": "SELECT 1"}])
    def test_a_query_belongs_to_its_format(self, tmp_path: Path, prepared: Prepare, fields: dict[str, str]) -> None:
        path = write_jsonl(tmp_path / "rows.jsonl", labelled(a=2, b=2))
        assert "dataset.query goes together with dataset.format=sql" in refused(prepared, path, **fields)

    def test_a_missing_database_is_not_created(self, tmp_path: Path, prepared: Prepare) -> None:
        message = refused(prepared, f"sqlite:///{tmp_path / 'no.db'}", format="sql", query="SELECT 1")
        assert "must name an existing database" in message and not (tmp_path / "no.db").exists()

    def test_a_query_that_fails(self, tmp_path: Path, prepared: Prepare) -> None:
        (tmp_path / "empty.db").touch()
        message = refused(prepared, f"sqlite:///{tmp_path / 'empty.db'}", format="sql", query="SELECT * FROM absent")
        assert "dataset.query must run" in message and "no such table: absent" in message

    def test_what_is_no_url(self, prepared: Prepare) -> None:
        assert "must be a database URL" in refused(prepared, "/some/file.db", format="sql", query="SELECT 1")

    def test_a_password_is_never_shown(self, prepared: Prepare) -> None:
        for url in ("nosuchdb://me:hunter2@host/db", "sqlite+nodriver://me:hunter2@host/db"):
            message = refused(prepared, url, format="sql", query="SELECT 1")
            assert "hunter2" not in message and "driver" in message
