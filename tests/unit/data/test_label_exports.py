"""Labels as tools export them: what is read as classes, what as several labels, and what is left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from podium.data.infer import infer
from podium.data.staging import read_texts
from podium.errors import DataError, InputError
from podium.tasks.annotations import DISPUTED, REJECTED, SKIPPED, UNLABELLED

from .conftest import write_jsonl
from .test_found import dataset

TEXTS = [f"a text, number {n}" for n in range(24)]


def lines(path: Path, rows: Iterable[str]) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


class TestListsOfOne:
    def test_they_are_classes(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [{"id": n, "text": text, "label": ["ab"[n % 2]], "Comments": []} for n, text in enumerate(TEXTS)]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        assert dataset(path).task == "text-classification"
        assert prepared(path)[0].labels == ("a", "b")
        write_jsonl(path, [*rows, {"text": "one more", "label": ["a", "b"]}])
        with pytest.raises(DataError, match=r"line 25, field 'label': must be one label, .*dataset\.task=multi-label"):
            prepared(path)
        write_jsonl(path, [*rows, {"text": "one more", "label": []}])
        with pytest.raises(DataError, match=r"line 25, field 'label': is missing"):
            prepared(path)

    @pytest.mark.parametrize(
        ("cell", "labels"),
        [
            ("['a' 'b']", {"a", "b"}),
            ("['an a'\n \"b's\"]", {"an a", "b's"}),
            ("{'a', 'b'}", {"a", "b"}),
            ("('a', 'b')", {"a", "b"}),
            ("[0 12]", {"0", "12"}),
        ],
    )
    def test_as_python_and_numpy_write_several(self, tmp_path: Path, cell: str, labels: set[str]) -> None:
        with (tmp_path / "x.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("text", "labels"), *((text, cell) for text in TEXTS)])
        config = dataset(tmp_path / "x.csv")
        assert config.task == "multi-label" and read_texts(config).labels == labels

    def test_lists_of_one_or_none_are_doubted(self, tmp_path: Path) -> None:
        rows = [{"text": text, "label": ["ab"[n % 2]] if n % 5 else []} for n, text in enumerate(TEXTS)]
        found = infer(write_jsonl(tmp_path / "x.jsonl", rows))
        assert found.task == "multi-label" and any("of one or none; if those" in line for line in found.lines)

    @pytest.mark.parametrize("name", ["label", "answers"])
    def test_in_cells(self, tmp_path: Path, name: str) -> None:
        path = lines(tmp_path / "x.csv", [f"text,{name}", *(f"a text {n},\"['{'ab'[n % 2]}']\"" for n in range(24))])
        config = dataset(path)
        assert config.task == "text-classification" and read_texts(config).labels == {"a", "b"}

    def test_numbers_with_fractions_are_no_labels(self, tmp_path: Path) -> None:
        rows = [{"text": text, "label": "ab"[n % 2], "vector": [0.5, n / 7]} for n, text in enumerate(TEXTS)]
        config = dataset(write_jsonl(tmp_path / "x.jsonl", rows))
        assert (config.task, config.label_column) == ("text-classification", "label")

    def test_joined_by_a_hash(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        cells = ["a", "b", "a#b"]
        path = lines(tmp_path / "x.csv", ["id,text,label", *(f"{n},a text {n},{cells[n % 3]}" for n in range(24))])
        found, _ = prepared(path)
        assert any("--task multi-label (dataset.options.label_separator='#')" in one for one in found.warnings)


class TestFastText:
    def test_one_label_or_several(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "news.train", [f"__label__{'ab'[n % 2]} {text}" for n, text in enumerate(TEXTS)])
        config = dataset(path)
        assert (config.format, config.task) == ("fasttext", "text-classification")
        assert read_texts(config) == (TEXTS, {"a", "b"})
        lines(path, [f"__label__a __label__c-{n % 2} {text}" for n, text in enumerate(TEXTS)])
        config = dataset(path)
        assert config.task == "multi-label" and read_texts(config) == (TEXTS, {"a", "c-0", "c-1"})

    def test_a_line_without_label_is_bad(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [f"__label__{'ab'[n % 2]} {text}" for n, text in enumerate(TEXTS)]
        path = lines(tmp_path / "x.txt", [*rows, "", "no label"])
        with pytest.raises(DataError, match=r"x\.txt line 26, field 'label': is missing"):
            prepared(path)
        with pytest.raises(DataError, match="fasttext cannot; use one of"):
            prepared(path, format="fasttext", task="ner")

    def test_a_test_file_without_labels_is_predicted(self, tmp_path: Path) -> None:
        lines(tmp_path / "train.txt", [f"__label__{'ab'[n % 2]} {text}" for n, text in enumerate(TEXTS)])
        lines(tmp_path / "test.txt", ["unknown one", "unknown two"])
        assert "test.txt has nothing in its column 'label'" in "\n".join(infer(tmp_path).lines)


def task(number: int, *annotations: Any, **more: Any) -> dict[str, Any]:
    """A task of Label Studio: each annotation is a list of choices."""
    return {
        "id": number,
        "data": {"text": f"a text, number {number}", "label": "as imported"},
        "annotations": [
            {"id": place, "completed_by": place, "was_cancelled": False, "result": [choice(one)], **more}
            for place, one in enumerate(annotations)
        ],
        "predictions": [],
        "project": 3,
    }


def choice(names: list[str]) -> dict[str, Any]:
    return {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": names}}


def flat(number: int, **more: Any) -> dict[str, Any]:
    return {"text": f"a text, number {number}", "id": number, "annotator": 1, "annotation_id": number, **more}


STUDIO = "annotations.sentiment"


class TestLabelStudio:
    @pytest.mark.parametrize("suffix", ["json", "jsonl"])
    def test_choices(self, tmp_path: Path, suffix: str, prepared: Callable[..., Any]) -> None:
        rows = [task(n, ["Good", "Bad"][n % 2 :][:1]) for n in range(24)]
        rows += [task(30, ["Bad"], ["Good"], ["Good"]), task(31), task(32, ["Bad"], was_cancelled=True)]
        path = tmp_path / f"x.{suffix}"
        path.write_text(json.dumps(rows) if suffix == "json" else "".join(json.dumps(row) + "\n" for row in rows))
        config = dataset(path)
        assert (config.task, config.text_column, config.label_column) == ("text-classification", "data.text", STUDIO)
        found, _ = prepared(path, text_column="data.text", label_column=STUDIO)
        assert found.labels == ("Bad", "Good") and found.read_rows == 25
        assert sum(found.label_counts[split]["Good"] for split in found.label_counts) == 13
        for note in (DISPUTED, UNLABELLED, SKIPPED):
            assert f"{note}: 1" in found.warnings

    def test_columns_of_these_names_alone_mean_nothing(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [{"data": text, "annotations": [[0, 1, "X"]] if n % 2 else []} for n, text in enumerate(TEXTS)]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        assert prepared(path, task="ner", text_column="data", label_column="annotations")[0].read_rows == 24
        rows = [{"text": text, "annotation_id": n, "labels": "a, b"} for n, text in enumerate(TEXTS)]
        assert prepared(write_jsonl(path, rows), task="multi-label")[0].labels == ("a", "b")

    def test_ground_truth_counts_alone(self, tmp_path: Path) -> None:
        rows = [task(n, ["Bad"], ["Bad"], ["Good"]) for n in range(9)]
        for row in rows:
            row["annotations"][2]["ground_truth"] = True
        assert read_texts(dataset(write_jsonl(tmp_path / "x.jsonl", rows))).labels == {"Good"}

    def test_several_choices(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [task(n, ["Good", "Bad"][: 1 + n % 2]) for n in range(24)]
        rows[3]["annotations"][0]["result"] = []
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        config = dataset(path)
        assert (config.task, config.label_column) == ("multi-label", STUDIO)
        found, _ = prepared(path, task="multi-label", text_column="data.text", label_column=STUDIO)
        assert found.labels == ("Bad", "Good") and found.rejected == 0

    @pytest.mark.parametrize("several", [False, True])
    def test_flat_exports(self, tmp_path: Path, several: bool, prepared: Callable[..., Any]) -> None:
        names = [
            {"choices": ["Good", "So, so"]} if several and n % 3 == 0 else ["Good", "So, so"][n % 2] for n in range(24)
        ]
        rows = [flat(n, sentiment=name, was_cancelled=False) for n, name in enumerate(names)]
        rows.append(flat(30, was_cancelled=True))
        path = tmp_path / "x.json"
        path.write_text(json.dumps(rows))
        cells = [
            [row["text"], name if isinstance(name := row.get("sentiment", ""), str) else json.dumps(name)]
            for row in rows
        ]
        table = tmp_path / "x.csv"
        with table.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "sentiment", "annotation_id", "annotator", "was_cancelled"])
            writer.writerows([*cell, n, 1, n == 24] for n, cell in enumerate(cells))
        expected = "multi-label" if several else "text-classification"
        for one in (path, table):
            config = dataset(one)
            assert (config.task, config.label_column) == (expected, "sentiment")
            found, _ = prepared(one, task=expected, label_column="sentiment")
            assert found.labels == ("Good", "So, so") and f"{SKIPPED}: 1" in found.warnings

    def test_spans_of_cancelled_annotations_are_no_entities(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        span = {"start": 0, "end": 3, "labels": ["PER"]}
        rows = [task(n, []) for n in range(12)]
        for n, row in enumerate(rows):
            row["data"]["text"] = f"Ada ran {n}"
            row["annotations"][0]["result"] = [{"value": span, "from_name": "l", "to_name": "text", "type": "labels"}]
        rows[8]["annotations"][0] |= {"result": [], "was_cancelled": True}
        rows[9]["annotations"] = []
        rows[10]["annotations"].insert(0, {"result": [], "was_cancelled": True})
        rows[11]["annotations"].insert(0, {"result": []})
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        assert dataset(path).task == "ner"
        found, _ = prepared(path, task="ner", text_column="data.text", label_column="annotations")
        assert found.read_rows == 10 and {f"{one}: 1" for one in (SKIPPED, UNLABELLED, DISPUTED)} <= {*found.warnings}

    def test_spans_in_cells_of_which_the_first_is_empty(self, tmp_path: Path) -> None:
        span = json.dumps([{"start": 0, "end": 1, "text": "a", "labels": ["X"]}])
        with (tmp_path / "x.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["annotation_id", "annotator", "label", "text", "was_cancelled"])
            writer.writerows([n, 1, span if n else "", text, False] for n, text in enumerate(TEXTS))
        config = dataset(tmp_path / "x.csv")
        assert config.task == "ner" and len(read_texts(config).rows) == 24


class TestProdigy:
    @staticmethod
    def chosen(number: int, *labels: str, answer: str = "accept") -> dict[str, Any]:
        options = [{"id": one, "text": one} for one in ("a", "b")]
        return {"text": TEXTS[number], "_task_hash": number, "options": options, "accept": [*labels], "answer": answer}

    def test_choices(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [self.chosen(n, "ab"[n % 2]) for n in range(22)]
        rows += [self.chosen(22, answer="ignore"), self.chosen(23, "a", answer="reject")]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        config = dataset(path)
        assert (config.task, config.label_column) == ("text-classification", "accept")
        found, _ = prepared(path, label_column="accept")
        assert found.read_rows == 22 and {f"{SKIPPED}: 1", f"{REJECTED}: 1"} <= {*found.warnings}
        rows = [self.chosen(n, *"ab"[: n % 3]) for n in range(22)]
        assert dataset(write_jsonl(path, rows)).task == "multi-label"

    def test_one_label_that_is_accepted_or_rejected(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        said = ["accept", "reject", "accept", "ignore"]
        rows = [{"text": one, "label": "spam", "answer": said[n % 4], "spans": []} for n, one in enumerate(TEXTS)]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        config = dataset(path)
        assert (config.task, config.label_column) == ("text-classification", "answer")
        assert prepared(path, label_column="answer")[0].labels == ("accept", "reject")


def argilla(number: int, *answers: tuple[Any, str], shape: str) -> dict[str, Any]:
    given = [{"value": value, "user_id": str(n), "status": state} for n, (value, state) in enumerate(answers)]
    text, suggested = TEXTS[number], {"value": "a", "score": None, "agent": "m"}
    if shape == "old":
        return {"text": text, "topic": given, "topic-suggestion": "a", "external_id": str(number)}
    if shape == "flat":
        named = {"topic.responses": [one["value"] for one in given] or None}
        named["topic.responses.users"] = [one["user_id"] for one in given] or None
        named["topic.responses.status"] = [one["status"] for one in given] or None
        return {"id": str(number), "_server_id": "x", "text": text, **named, "topic.suggestion": "a"}
    responses = {"topic": given} if given else {}
    return {"id": str(number), "fields": {"text": text}, "responses": responses, "suggestions": {"topic": suggested}}


class TestArgilla:
    @pytest.mark.parametrize(
        ("shape", "column"), [("nested", "responses.topic"), ("flat", "topic.responses"), ("old", "topic")]
    )
    @pytest.mark.parametrize("several", [False, True])
    def test_what_annotators_answered(
        self, tmp_path: Path, shape: str, column: str, several: bool, prepared: Callable[..., Any]
    ) -> None:
        labels = [["a", "b"][: 1 + n % 2] if several else "ab"[n % 2] for n in range(21)]
        rows = [argilla(n, (label, "submitted"), shape=shape) for n, label in enumerate(labels)]
        rows.append(argilla(21, (labels[0], "draft"), (labels[1], "submitted"), (labels[0], "submitted"), shape=shape))
        rows += [argilla(22, shape=shape), argilla(23, (labels[0], "discarded"), shape=shape)]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        config = dataset(path)
        expected = "multi-label" if several else "text-classification"
        assert (config.task, config.label_column) == (expected, column)
        text = config.text_column
        found, _ = prepared(path, task=expected, text_column=text, label_column=column)
        assert found.labels == ("a", "b") and found.read_rows == 22
        assert {f"{one}: 1" for one in (SKIPPED, UNLABELLED, DISPUTED)} <= {*found.warnings}

    def test_flat_records_in_parquet(self, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        rows = [argilla(n, ("ab"[n % 2], "submitted"), shape="flat") for n in range(12)]
        pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
        config = dataset(tmp_path / "x.parquet")
        assert (config.task, config.label_column) == ("text-classification", "topic.responses")
        assert read_texts(config) == (TEXTS[:12], {"a", "b"})

    def test_spans(self, tmp_path: Path) -> None:
        rows = [argilla(n, ([{"start": 0, "end": 1, "label": "X"}], "submitted"), shape="nested") for n in range(12)]
        config = dataset(write_jsonl(tmp_path / "x.jsonl", rows))
        assert config.task == "ner" and read_texts(config).labels == {"B-X", "O"}


class TestColumnsOfZeroAndOne:
    @staticmethod
    def table(path: Path, cells: Callable[[int], tuple[Any, Any]], names: str = "toxic,threat") -> Path:
        return lines(
            path,
            [
                f"id,text,{names}",
                *(f"{n},{text.replace(',', '')},{cells(n)[0]},{cells(n)[1]}" for n, text in enumerate(TEXTS)),
            ],
        )

    def test_several_labels(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        path = self.table(tmp_path / "x.csv", lambda n: (n % 2, int(n % 3 == 0)))
        found = infer(path)
        assert "labels column: 'toxic,threat' (columns of 0 and 1)" in found.lines
        assert "columns: id, text, toxic, threat (24 rows seen)" in found.lines
        config = dataset(path)
        assert (config.task, config.label_column) == ("multi-label", "toxic,threat")
        data, _ = prepared(path, task="multi-label", label_column="toxic,threat")
        assert data.labels == ("threat", "toxic") and sum(one["toxic"] for one in data.label_counts.values()) == 12

    @pytest.mark.parametrize("one", [(1, 0), ("1.0", "0.0"), ("True", "False")])
    def test_a_single_one_in_each_row_is_a_class(
        self, tmp_path: Path, one: tuple[Any, Any], prepared: Callable[..., Any]
    ) -> None:
        path = self.table(tmp_path / "x.csv", lambda n: one if n % 2 else one[::-1], "good,bad")
        found = infer(path)
        assert "label column: 'good,bad' (a single 1 in each row seen, so they are classes)" in found.lines
        assert prepared(path, label_column="good,bad")[0].labels == ("bad", "good")
        path.write_text(path.read_text() + "30,both,1,1\n31,neither,0,0\n32,odd,2,0\n")
        with pytest.raises(DataError, match=r"line 26, field 'good,bad': must be one label.*multi-label") as caught:
            prepared(path, label_column="good,bad")
        assert "line 27, field 'good,bad': is missing" in str(caught.value)
        assert "line 28, field 'good': must be 0 or 1, but got str '2'" in str(caught.value)

    def test_a_column_that_looks_like_labels_is_not_passed_over(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "x.csv", lambda n: (n % 2, f"{int(n % 3 == 0)},{'ab'[n % 2]}"), "new,top,label")
        assert dataset(path).label_column == "label"
        path = self.table(tmp_path / "x.csv", lambda n: (n % 2, f"{int(n % 3 == 0)},{'ab'[n % 2]}"), "new,top,kind")
        with pytest.raises(InputError, match="; several columns of 0 and 1 as new,top"):
            infer(path)
        assert dataset(path, label_column="new,top").task == "multi-label"

    def test_a_name_may_have_a_comma(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        path = self.table(tmp_path / "x.csv", lambda n: (n % 2, int(n % 3 == 0)), '"new, or old",top')
        config = dataset(path)
        assert config.label_column == '"new, or old",top'
        data, _ = prepared(path, task="multi-label", label_column=config.label_column)
        assert data.labels == ("new, or old", "top")

    def test_a_test_file_without_them_is_predicted(self, tmp_path: Path) -> None:
        self.table(tmp_path / "train.csv", lambda n: (n % 2, int(n % 3 == 0)))
        lines(tmp_path / "test.csv", ["id,text", "1,new"])
        assert any("test.csv has no column 'toxic'" in line for line in infer(tmp_path).lines)

    def test_fields_of_one_object(self, tmp_path: Path, prepared: Callable[..., Any]) -> None:
        rows = [{"text": text, "cats": {"spam": float(n % 2), "ad": float(n % 3 == 0)}} for n, text in enumerate(TEXTS)]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        config = dataset(path)
        assert (config.task, config.label_column) == ("multi-label", "cats.spam,cats.ad")
        assert prepared(path, task="multi-label", label_column=config.label_column)[0].labels == ("ad", "spam")


class TestWhichColumnIsMeant:
    def test_a_column_named_label_comes_before_a_list_of_something(self, tmp_path: Path) -> None:
        rows = [{"text": one, "label": "ab"[n % 2], "keywords": ["x", "y"][: 1 + n % 2]} for n, one in enumerate(TEXTS)]
        config = dataset(write_jsonl(tmp_path / "x.jsonl", rows))
        assert (config.task, config.label_column) == ("text-classification", "label")
        for row in rows:
            row["labels"] = row.pop("keywords")
        assert dataset(write_jsonl(tmp_path / "x.jsonl", rows)).task == "multi-label"

    def test_the_votes_beside_a_gold_label_are_not_several_labels(self, tmp_path: Path) -> None:
        rows = [{"text": one, "gold_label": "ab"[n % 2], "votes": [*"ab", "ab"[n % 2]]} for n, one in enumerate(TEXTS)]
        config = dataset(write_jsonl(tmp_path / "x.jsonl", rows))
        assert (config.task, config.label_column) == ("text-classification", "gold_label")

    def test_lists_of_paragraphs_are_no_labels(self, tmp_path: Path) -> None:
        rows = [{"id": f"row {n}", "text": [one, one], "label": "ab"[n % 2]} for n, one in enumerate(TEXTS)]
        with pytest.raises(InputError, match=r"column 'text' has lists; join each list into one text"):
            dataset(write_jsonl(tmp_path / "x.jsonl", rows))

    def test_texts_that_are_not_read_are_named(self, tmp_path: Path) -> None:
        rows = [
            {"title": f"about number {n}", "text": f"{one} and more", "label": "ab"[n % 2], "url": f"http://x/{n}"}
            for n, one in enumerate(TEXTS)
        ]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        assert "text column: 'text' (by its name; not read, though of texts, too: title)" in infer(path).lines
