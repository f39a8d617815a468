"""What `podium run --data PATH` infers, and what it refuses to guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.config.compose import compose
from podium.config.overrides import literal
from podium.data.infer import infer
from podium.errors import DataError, InputError

from .conftest import labelled, write_jsonl

LONG = "a fairly long text about nothing in particular number"


def fields(path: Path, **given: Any) -> dict[str, str]:
    found = infer(path, **given).given
    assert found.groups == {"dataset": "dataset=custom"}
    return {one.path[1]: one.value for one in found.assignments}


def test_columns_by_name(tmp_path: Path) -> None:
    rows = [{"id": str(n), "Review": f"{LONG} {n}", "Sentiment": n % 2, "title": f"{LONG * 3} {n}"} for n in range(20)]
    path = write_jsonl(tmp_path / "films.jsonl", rows)
    assert fields(path) == {
        "name": "films",
        "path": str(path),
        "task": "text-classification",
        "format": "jsonl",
        "text_column": "Review",
        "label_column": "Sentiment",
    }
    assert infer(path).lines == [
        f"data: {path}",
        "files: 1 as train (films.jsonl); validation and test are split off it",
        "format: jsonl",
        "task: text-classification (from the columns)",
        "text column: 'Review' (by its name; not read, though of texts, too: title)",
        "label column: 'Sentiment' (by its name)",
        "labels seen: 0, 1",
        "columns: id, Review, Sentiment, title (20 rows seen)",
    ]


def test_columns_by_contents(tmp_path: Path) -> None:
    lines = "".join(f"{n};,{LONG} {n},{'yes' if n % 3 else 'no'}\n" for n in range(60))
    (tmp_path / "x.csv").write_text(f"key,said,verdict\n{lines}")
    found = fields(tmp_path / "x.csv")
    assert (found["text_column"], found["label_column"]) == ("said", "verdict")


def test_short_texts_are_told_from_a_column_that_is_named_like_labels(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("utterance,Intent\n" + "".join(f"lamp {n} on,switch{n % 3}\n" for n in range(30)))
    found = infer(tmp_path / "x.csv").lines
    assert "text column: 'utterance' (the texts beside 'Intent')" in found
    assert "label column: 'Intent' (by its name)" in found


def test_an_empty_cell_is_no_label(tmp_path: Path) -> None:
    lines = "".join(f"{LONG} {n},{'' if n % 3 else 'ab'[n % 2]},{'' if n % 3 else 'x'}\n" for n in range(60))
    (tmp_path / "x.csv").write_text(f"said,verdict,flag\n{lines}")
    found = infer(tmp_path / "x.csv").lines
    assert "label column: 'verdict' (2 different values)" in found and "labels seen: a, b" in found


def test_given_columns_are_taken(tmp_path: Path) -> None:
    rows = [{"text": f"{LONG} {n}", "label": "a", "other": f"{n}", "stars": n} for n in range(5)]
    found = fields(write_jsonl(tmp_path / "x.jsonl", rows), text_column="other", label_column="stars")
    assert (found["text_column"], found["label_column"]) == ("other", "stars")


@pytest.mark.parametrize(
    ("rows", "given", "said"),
    [
        (
            [{"one": f"{LONG} {n}", "two": f"{LONG} {n}!", "label": "a"} for n in range(9)],
            {},
            "the text column cannot be told from the data; give --text-column NAME, one of: one, two, label",
        ),
        (
            [{"text": f"{LONG} {n}", "x": "ab"[n % 2], "y": "cd"[n % 2]} for n in range(40)],
            {},
            "the label column cannot be told from the data; give --label-column NAME, one of: text, x, y",
        ),
        (
            [{"text": f"{LONG} {n}", "n": n} for n in range(40)],
            {},
            "the label column cannot be told from the data; give --label-column NAME, one of: text, n",
        ),
        (
            [{"text": "x", "label": "a"}],
            {"text_column": "body"},
            "--text-column must name a column, but 'body' is none of: text, label",
        ),
        ([{"n": 1, "label": 2}], {}, "must have a text column, but its columns are: n, label"),
        (
            [{"a": ["x"], "b": ["y"], "c": ["O"]}],
            {},
            "the tokens column cannot be told from the data; give --text-column NAME, one of: a, b, c",
        ),
        (
            [{"a": ["x"], "b": ["O"], "c": ["O"]}],
            {},
            "the tags column cannot be told from the data; give --label-column NAME, one of: a, b, c",
        ),
        ([{"text": "x", "label": "a"}], {"task": "summarize"}, "--task must be one of text-classification, ner"),
    ],
)
def test_what_is_ambiguous_is_not_guessed(
    tmp_path: Path, rows: list[dict[str, Any]], given: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError) as failure:
        infer(write_jsonl(tmp_path / "x.jsonl", rows), **given)
    assert said in str(failure.value)


def test_token_and_tag_columns_mean_ner(tmp_path: Path) -> None:
    rows = [{"id": n, "words": ["Ada", "ran"], "ner_tags": ["B-PER", "O"], "pos": ["N", "V"]} for n in range(5)]
    found = fields(write_jsonl(tmp_path / "x.jsonl", rows))
    assert (found["task"], found["text_column"], found["label_column"]) == ("ner", "words", "ner_tags")
    rows = [{"left": ["Ada", "ran"], "right": ["B-PER", "O"]} for _ in range(5)]
    found = fields(write_jsonl(tmp_path / "y.jsonl", rows))
    assert (found["task"], found["text_column"], found["label_column"]) == ("ner", "left", "right")


def test_conll_by_contents_and_a_directory_of_splits(tmp_path: Path) -> None:
    for name in ("train.txt", "dev.txt", "test.txt"):
        (tmp_path / name).write_text("-DOCSTART- -X- O\n\nEU NNP B-ORG\n\nrejects VBZ O\n")
    found = fields(tmp_path)
    assert (found["task"], found["format"]) == ("ner", "conll")
    assert [Path(found[name]).name for name in ("path", "validation_path", "test_path")] == [
        "train.txt",
        "dev.txt",
        "test.txt",
    ]
    with pytest.raises(InputError, match="conll holds rows for ner, not text-classification"):
        infer(tmp_path, "text-classification")
    with pytest.raises(InputError, match="--text-column and --label-column are for formats with columns"):
        infer(tmp_path, label_column="tags")


def test_folders_and_json(tmp_path: Path) -> None:
    for row in labelled(a=2, b=2):
        (tmp_path / "d" / row["label"]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / row["label"] / row["text"]).write_text(row["text"])
    assert fields(tmp_path / "d")["format"] == "folder"
    (tmp_path / "lines.json").write_text('{"text": "x", "label": "a"}\n')
    (tmp_path / "array.json").write_text('\n [{"text": "x", "label": "a"}]')
    assert fields(tmp_path / "lines.json")["format"] == "jsonl"
    assert fields(tmp_path / "array.json")["format"] == "json"


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("")
    with pytest.raises(DataError, match=r"must have rows, but .*x\.jsonl has none$"):
        infer(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").write_text("broken\n")
    with pytest.raises(DataError, match=r"has none that can be read: x\.jsonl line 1: is not JSON"):
        infer(tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="does not exist"):
        infer(tmp_path / "nowhere.csv")


ODD = [
    "with space,comma=equals.csv",
    "it's.csv",
    "'quoted'.csv",
    'double".csv',
    "$HOME.csv",
    "${HOME}.csv",
    "${a.b}.csv",
    "back\\slash\\",
    "a\\'b",
    "a\\${b}",
    "{}[]()",
    "null",
    "~",
    "#:%@!",
    "ünï 東京",
    "1e5",
    "new\nline",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_mean_themselves(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / "rows.csv"
    column = name.replace("\n", " ").replace('"', "")
    path.write_text(f'text,"{column}"\nhello,a\nthere,b\n')
    found = infer(path, label_column=column).given
    config = compose(["entrant=[bert-tiny]", "preset=smoke"], tmp_path, given=found).config
    assert (config.dataset.path, config.dataset.label_column) == (str(path), column)


@pytest.mark.parametrize("text", ODD)
def test_literal_text_means_itself_to_interpolation(text: str) -> None:
    from omegaconf import OmegaConf

    assert OmegaConf.create({"key": literal(text)}).key == text
