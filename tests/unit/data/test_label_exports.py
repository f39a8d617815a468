"""Labels as tools export them: what is read as classes, what as several labels, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from podium.data.infer import infer
from podium.data.staging import read_texts
from podium.errors import DataError

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
