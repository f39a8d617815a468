"""What `prepare` finds and what the artifact holds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.data.formats import fingerprint
from podium.data.prepare import prepare
from podium.errors import StoreError
from podium.keys import digest_tree
from podium.records import DataRecord

from .conftest import Configure, labelled, write_jsonl

Prepare = Callable[..., Any]


def test_the_artifact_holds_every_row_once(tmp_path: Path, prepared: Prepare) -> None:
    rows = labelled(b=40, a=20, c=40)
    found, artifact = prepared(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert found.rows == {"train": 70, "validation": 10, "test": 20}
    assert found.labels == artifact.labels == ("a", "b", "c") and artifact.task == "text-classification"
    assert found.label_counts["test"] == {"a": 4, "b": 8, "c": 8}
    assert (found.read_rows, found.duplicates, found.rejected, found.warnings) == (100, 0, 0, ())
    seen = {}
    for split in (artifact.train, artifact.validation, artifact.test):
        assert split.column_names == ["id", "text", "label"]
        seen |= {row["id"]: {"text": row["text"], "label": artifact.labels[row["label"]]} for row in split}
    assert seen == {f"rows.jsonl:{line}": row for line, row in enumerate(rows, 1)}


def test_what_scores_cannot_tell_is_a_caution(tmp_path: Path, prepared: Prepare) -> None:
    rows = [
        {"text": f"row {n}" + (f" ({label.upper()})" if n % 4 else ""), "label": label}
        for label in "abc"
        for n in range(9)
    ]
    path, test = write_jsonl(tmp_path / "train.jsonl", rows), write_jsonl(tmp_path / "test.jsonl", labelled(a=3, c=3))
    assert prepared(path, test_path=str(test))[0].cautions == (
        "labels that no test row has, so that no score tells how they are answered: 'b'",
        "texts that name their own label and no other: 15 of 18 train rows; a model can read it off, so the score "
        "holds for new texts only if they name it, too",
    )
    rows = [{"text": f"row {label}{n} {'abc'[n % 3]}", "label": label} for label in "abc" for n in range(9)]
    assert prepared(write_jsonl(tmp_path / "named.jsonl", rows))[0].cautions == ()
    rows = [{"text": f"ticket {1000 + n}", "label": "abc"[n // 20]} for n in range(60)]
    (said,) = prepared(write_jsonl(tmp_path / "ids.jsonl", rows))[0].cautions
    assert said.startswith("texts with a number of their own that nearly decides the label: 42 of 42 train rows")
    rows = [{"text": f"ticket {1000 + n}", "label": "abc"[n % 3]} for n in range(60)]
    assert prepared(write_jsonl(tmp_path / "other.jsonl", rows))[0].cautions == ()


def test_a_column_that_decides_the_label_is_a_caution(tmp_path: Path, prepared: Prepare) -> None:
    def rows(label: Callable[[int], int]) -> list[dict[str, Any]]:
        about = ({"id": f"r{n}", "author": f"author {n % 15}", "stars": label(n)} for n in range(300))
        return [{"text": f"row {n}", "label": "ab"[label(n)], **one} for n, one in enumerate(about)]

    own, other = rows(lambda n: n % 15 % 2), rows(lambda n: n % 2)
    path = write_jsonl(tmp_path / "own.jsonl", own)
    (said,) = prepared(path)[0].cautions
    assert said.startswith("rows with the same 'author' nearly always have the same label, and its 15 values stand")
    assert prepared(write_jsonl(tmp_path / "other.jsonl", other))[0].cautions == (), "authors of both minds"
    test = write_jsonl(tmp_path / "test.jsonl", [{**row, "text": f"new {row['text']}"} for row in own])
    assert prepared(path, test_path=str(test))[0].cautions == ()


def test_development_and_folds(tmp_path: Path, prepared: Prepare) -> None:
    _, artifact = prepared(write_jsonl(tmp_path / "rows.jsonl", labelled(a=50, b=50)), folds=4)
    assert artifact.development["id"] == [*artifact.train["id"], *artifact.validation["id"]]
    held_out = []
    for k in range(4):
        train, held = artifact.fold(k)
        assert sorted([*train, *held]) == list(range(80))
        held_out += held.tolist()
    assert sorted(held_out) == list(range(80))


def test_ner(tmp_path: Path, prepared: Prepare) -> None:
    rows = [{"words": [f"n{n}", "of", "X"], "ner_tags": ["I-PER" if n % 2 else "O", "O", "I-LOC"]} for n in range(40)]
    found, artifact = prepared(write_jsonl(tmp_path / "rows.jsonl", rows), task="ner")
    assert found.labels == ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")
    assert found.warnings == ("tags that began an entity with I- and were rewritten to B- (BIO1 to BIO2): 60",)
    assert artifact.train.column_names == ["id", "tokens", "tags"]
    for split in (artifact.train, artifact.validation, artifact.test):
        for row in split:
            n = int(row["tokens"][0][1:])
            assert [found.labels[tag] for tag in row["tags"]] == ["B-PER" if n % 2 else "O", "O", "B-LOC"]
    assert sum(counts["B-LOC"] for counts in found.label_counts.values()) == 40
    assert found.label_counts["test"] == {"O": 12, "B-LOC": 8, "B-PER": 4, "I-LOC": 0, "I-PER": 0}


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(tmp_path: Path, configure: Configure) -> None:
    digests = []
    for folder, seed in (("one", 13), ("two", 13), ("three", 14)):
        (tmp_path / folder).mkdir()
        path = write_jsonl(tmp_path / folder / "rows.jsonl", labelled(a=50, b=50))
        prepare(configure(path), seed, tmp_path / folder / "out")
        assert sorted(path.name for path in (tmp_path / folder / "out").iterdir()) == [
            "folds.json",
            "test",
            "train",
            "validation",
        ]
        digests.append(digest_tree(tmp_path / folder / "out"))
    assert digests[0] == digests[1] != digests[2]


def test_duplicates_are_dropped_and_counted(tmp_path: Path, prepared: Prepare) -> None:
    rows = [*labelled(a=20, b=20), {"text": "  a text 3\r\n", "label": "a"}, {"text": "cafe\u0301", "label": "a"}]
    found, artifact = prepared(write_jsonl(tmp_path / "rows.jsonl", [*rows, {"text": "café", "label": "a"}]))
    assert (found.read_rows, found.duplicates, sum(found.rows.values())) == (43, 2, 41)
    ids = {*artifact.development["id"], *artifact.test["id"]}
    assert "rows.jsonl:42" in ids and not {"rows.jsonl:41", "rows.jsonl:43"} & ids


def test_conflicting_labels_keep_the_first_and_warn(tmp_path: Path, prepared: Prepare) -> None:
    rows = [*labelled(a=20, b=20), {"text": "a text 3", "label": "b"}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    found, artifact = prepared(path)
    assert found.duplicates == 1 and "rows.jsonl:41" not in {*artifact.development["id"], *artifact.test["id"]}
    assert found.warnings == (
        "contents that occur with different labels: 1 of 40 (rows that disagree with the first: 1); the first of each "
        "was kept. "
        "For example rows.jsonl line 4 and rows.jsonl line 41",
    )
    kept, _ = prepared(path, deduplicate=False)
    assert kept.duplicates == 0 and "all were kept" in kept.warnings[0]


@pytest.mark.parametrize("deduplicate", [True, False])
def test_rows_of_fixed_splits_leave_train(tmp_path: Path, prepared: Prepare, deduplicate: bool) -> None:
    rows = labelled(a=20, b=20)
    validation = [*rows[:2], {"text": "v a", "label": "a"}, {"text": "v b", "label": "b"}]
    test = [rows[1], rows[30], {"text": "t a", "label": "a"}, {"text": "t b", "label": "b"}]
    found, artifact = prepared(
        write_jsonl(tmp_path / "train.jsonl", rows),
        validation_path=str(write_jsonl(tmp_path / "valid.jsonl", validation)),
        test_path=str(write_jsonl(tmp_path / "test.jsonl", test)),
        deduplicate=deduplicate,
    )
    assert artifact.test["text"] == [row["text"] for row in test]
    assert artifact.validation["text"] == ["a text 0", "v a", "v b"]
    assert set(artifact.train["text"]) == {row["text"] for row in rows} - {"a text 0", "a text 1", "b text 10"}
    assert found.duplicates == 4
    assert found.warnings == (
        "train rows removed because the same content is in the fixed validation or test rows: 3",
        "validation rows removed because the same content is in the fixed test rows: 1",
    )
    assert set(found.sources) == {"train.jsonl", "validation:valid.jsonl", "test:test.jsonl"}
    assert artifact.test["id"][0] == "test:test.jsonl:1"


def test_a_fixed_test_split_leaves_validation_to_be_made(tmp_path: Path, prepared: Prepare) -> None:
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": f"t {n}", "label": "ab"[n % 2]} for n in range(10)])
    found, _ = prepared(write_jsonl(tmp_path / "train.jsonl", labelled(a=50, b=50)), test_path=str(test))
    assert found.rows == {"train": 90, "validation": 10, "test": 10}


def test_max_rows(tmp_path: Path, prepared: Prepare) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(a=300, b=100))
    found, _ = prepared(path, max_rows=40)
    assert found.rows == {"train": 28, "validation": 4, "test": 8} and found.read_rows == 400
    assert sum(counts["b"] for counts in found.label_counts.values()) == 10


def test_labels_become_text(tmp_path: Path, prepared: Prepare) -> None:
    labels = [1, 1.0, " 1 ", True, 0, 0.5]
    rows = [{"text": f"x {n}", "label": labels[n % 6]} for n in range(60)]
    found, _ = prepared(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert found.labels == ("0", "0.5", "1", "true")


def test_sql(tmp_path: Path, prepared: Prepare) -> None:
    with sqlite3.connect(tmp_path / "data.db") as connection:
        connection.execute("CREATE TABLE t (body TEXT, stars INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"text {n}", n % 2) for n in range(50)] + [(None, 1)])
    connection.close()
    found, artifact = prepared(
        f"sqlite:///{tmp_path / 'data.db'}",
        format="sql",
        query="SELECT body, stars FROM t ORDER BY body",
        text_column="body",
        label_column="stars",
        on_bad_row="drop",
    )
    assert found.labels == ("0", "1") and found.rejected_examples == ("query row 1, field 'body': is missing",)
    assert list(found.sources) == ["query"] and artifact.train["id"][0].startswith("query:")


def test_what_prepare_returns_fits_the_record(tmp_path: Path, prepared: Prepare) -> None:
    found, _ = prepared(write_jsonl(tmp_path / "rows.jsonl", labelled(a=9, b=9)))
    record = DataRecord(key="k", **dict(found))
    assert DataRecord.from_json(record.to_json()) == record


def test_the_splits_are_what_datasets_itself_would_save(tmp_path: Path, prepared: Prepare) -> None:
    from datasets import Dataset, load_from_disk

    _, artifact = prepared(write_jsonl(tmp_path / "rows.jsonl", labelled(a=20, b=20)))
    again = Dataset.from_list(list(artifact.train), features=artifact.train.features)
    again.save_to_disk(tmp_path / "again")
    assert load_from_disk(tmp_path / "again").features == artifact.train.features
    ours, theirs = (
        json.loads((folder / "state.json").read_text()) for folder in (artifact.path / "train", tmp_path / "again")
    )
    assert ours.pop("_fingerprint") != theirs.pop("_fingerprint") and ours == theirs
    assert len({artifact.train._fingerprint, artifact.validation._fingerprint, artifact.test._fingerprint}) == 3


def test_progress_is_told(tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_EVENTS", str(tmp_path / "events"))
    monkeypatch.setattr("podium.data.staging._PROGRESS_SECONDS", 0.0)
    prepared(write_jsonl(tmp_path / "rows.jsonl", labelled(a=1000, b=1000)))
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [(event["event"], event["done"], event["total"]) for event in events] == [
        ("rows", done, None) for done in (512, 1024, 1536, 2000)
    ]


def test_a_full_disk(tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("podium.data.prepare.write_artifact", full)
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(a=9, b=9))
    with pytest.raises(StoreError, match=r"is full .*; free some space"):
        prepare(configure(path), 1, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_swapping_files_is_another_fingerprint(tmp_path: Path, configure: Configure) -> None:
    one = write_jsonl(tmp_path / "one.jsonl", labelled(a=3))
    two = write_jsonl(tmp_path / "two.jsonl", labelled(b=3))
    assert fingerprint(configure(one, test_path=str(two))) != fingerprint(configure(two, test_path=str(one)))
    assert fingerprint(configure(one, test_path=str(two))) != fingerprint(configure(one, validation_path=str(two)))


def test_folds_are_integers(tmp_path: Path, prepared: Prepare) -> None:
    _, artifact = prepared(write_jsonl(tmp_path / "rows.jsonl", labelled(a=9, b=9)))
    assert artifact.folds.dtype == np.int64 and set(artifact.folds) == {0, 1, 2}
