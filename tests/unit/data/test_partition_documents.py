"""Documents of sentences: read, kept on one side of every split, and written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.config.schema import DatasetConfig
from podium.data.artifact import DataArtifact
from podium.data.index import RowIndex, ValidRow, documents, keep_rows
from podium.data.partition import Partition, partition
from podium.data.readers.base import Row
from podium.data.sources import Role
from podium.errors import DataError

from .conformance import read
from .conftest import Configure

Prepare = Callable[..., Any]
Sentence = tuple[int, int]
"""Content of a sentence, and the number of its document."""

START = "-DOCSTART- -X- O O\n\n"


def index_of(rows: list[Sentence], file: str = "rows", role: Role = "train") -> RowIndex:
    """Every third content has an entity of another type."""
    index = RowIndex("ner")
    add(index, rows, file, role)
    return index


def add(index: RowIndex, rows: list[Sentence], file: str, role: Role) -> None:
    for line, (content, document) in enumerate(rows, 1):
        digest = content.to_bytes(8, "big") + (content * 7919).to_bytes(8, "big")
        tags = [["B-PER"], ["B-LOC"], ["O"]][content % 3]
        index.add(ValidRow(file, line, ["x"], tags, digest, 1, document=document), role, "line")


def split(rows: list[Sentence], **fields: Any) -> Partition:
    config = DatasetConfig.model_validate({"name": "x", "path": "x", "task": "ner", **fields})
    index = index_of(rows)
    groups = index.groups()
    kept, _ = keep_rows(index, groups, config.deduplicate)
    return partition(index, groups, kept, config, 13, documents(index))


SIZES = st.lists(st.integers(1, 12), min_size=8, max_size=40)


def of_sizes(sizes: list[int], repeated: int) -> list[Sentence]:
    """Documents of so many sentences; of all contents, `repeated` occur in many documents."""
    numbers = [number for number, size in enumerate(sizes, 1) for _ in range(size)]
    return [(row % 7 if row % 5 < repeated else 100 + row, number) for row, number in enumerate(numbers)]


@settings(deadline=None, max_examples=80)
@given(SIZES, st.integers(0, 2), st.booleans(), st.none() | st.integers(30, 60))
def test_no_document_is_on_two_sides_or_in_two_folds(
    sizes: list[int], repeated: int, deduplicate: bool, most: int | None
) -> None:
    rows = of_sizes(sizes, repeated)
    try:
        parts = split(rows, deduplicate=deduplicate, max_rows=most, folds=2)
    except DataError as error:
        assert "must have" in str(error)
        return
    sides = [{rows[row][1] for row in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    fold_of: dict[int, int] = {}
    for row, fold in zip((*parts.train, *parts.validation), parts.folds, strict=True):
        assert fold_of.setdefault(rows[row][1], int(fold)) == fold
    counts = np.bincount(list(fold_of.values()), minlength=2)
    assert deduplicate is False or counts.max() - counts.min() <= 1
    contents = [{rows[row][0] for row in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, contents)) == len(set.union(*contents)), "no content is on two sides either"


@settings(deadline=None, max_examples=40)
@given(SIZES, st.data())
def test_splits_do_not_follow_the_order_of_documents(sizes: list[int], data: st.DataObject) -> None:
    named = [[(100 * number + row, number) for row in range(size)] for number, size in enumerate(sizes, 1)]
    turned = data.draw(st.permutations(named))

    def contents(order: list[list[Sentence]]) -> list[set[Sentence]]:
        rows = [sentence for document in order for sentence in document]
        parts = split(rows, folds=2)
        return [{rows[row] for row in part} for part in (parts.train, parts.validation, parts.test)]

    assert contents(named) == contents(turned)


@given(st.lists(st.integers(0, 9), min_size=8, max_size=40, unique=False))
def test_documents_of_one_sentence_are_no_documents(contents: list[int]) -> None:
    index = index_of([(content, number) for number, content in enumerate(contents, 1)])
    assert documents(index) is None


def test_max_rows_takes_sentences_and_as_many_as_it_says() -> None:
    rows = of_sizes([10] * 40, 0)
    parts = split(rows, max_rows=100)
    chosen = [*parts.train, *parts.validation, *parts.test]
    assert len(chosen) == 100
    assert len({rows[row][1] for row in chosen}) > 30


def test_what_stands_before_the_first_start_is_a_document_where_there_is_one() -> None:
    index = index_of([(1, 0), (2, 0), (3, 7), (4, 7), (5, 9)])
    add(index, [(6, 0), (7, 0)], "silent", "train")
    found = documents(index)
    assert found is not None and found.tolist() == [0, 0, 2, 2, 4, 5, 6]


def test_a_start_at_the_top_of_a_file_alone_tells_nothing() -> None:
    index = index_of([(1, 1), (2, 1), (3, 1)])
    assert documents(index) is None
    add(index, [(4, 1), (5, 1)], "more", "train")
    found = documents(index)
    assert found is not None and found.tolist() == [0, 0, 0, 3, 3]
    add(index, [(6, 1), (7, 1)], "test", "test")
    found = documents(index)
    assert found is not None and found.tolist() == [0, 0, 0, 3, 3, 5, 6]


def conll(path: Path, sizes: list[int], start: str = START) -> Path:
    """Documents of so many sentences, no two alike."""
    lines = [
        start + "".join(f"{path.stem}{number}.{row} B-PER\nruns O\n\n" for row in range(size))
        for number, size in enumerate(sizes)
    ]
    path.write_text("".join(lines))
    return path


def test_the_reader_names_the_line_where_a_document_begins(tmp_path: Path, configure: Configure) -> None:
    text = "before O\n" + START + "a O\n\nb O\n-DOCSTART-\nbad\nd O\n\nc O\n"
    (tmp_path / "rows.conll").write_text(text)
    found = read(configure(tmp_path / "rows.conll", task="ner"))
    assert [row.document for row in found if isinstance(row, Row)] == [0, 2, 2, 7]
    assert str(found[3]) == "rows.conll line 8, field 'tags': must have a token and a tag, but has only 'bad'"


def test_the_artifact_names_documents_by_their_first_sentences(tmp_path: Path, prepared: Prepare) -> None:
    path = conll(tmp_path / "rows.conll", [3, 1] * 10)
    _, artifact = prepared(path, task="ner", folds=2)
    seen: dict[str, set[str]] = {}
    for name in ("train", "validation", "test"):
        part = getattr(artifact, name)
        assert part.column_names == ["id", "tokens", "tags", "document"]
        for row in part:
            seen.setdefault(row["document"], set()).add(f"{name} {row['tokens'][0].split('.')[0]}")
    assert len(seen) == 20 and all(len(found) == 1 for found in seen.values())
    assert {"rows.conll:3", "rows.conll:14"} <= set(seen)
    of_fold = [{artifact.development["document"][row] for row in artifact.fold(k)[1]} for k in range(2)]
    assert of_fold[0].isdisjoint(of_fold[1])


def test_a_file_without_documents_is_as_it_was(tmp_path: Path, prepared: Prepare) -> None:
    _, artifact = prepared(conll(tmp_path / "rows.conll", [20], start=""), task="ner", folds=2)
    assert artifact.test.column_names == ["id", "tokens", "tags"]
    assert "document" not in artifact.test.column_names


def test_declared_splits_stay_and_have_one_schema(tmp_path: Path, prepared: Prepare) -> None:
    train = conll(tmp_path / "train.conll", [3, 2, 4, 1] * 3)
    test = conll(tmp_path / "held.conll", [3], start="")
    found, artifact = prepared(train, task="ner", folds=2, test_path=str(test))
    assert found.rows["test"] == 3 and artifact.test["document"][:] == artifact.test["id"][:]
    assert len(set(artifact.development["document"])) == 12


def test_equal_sentences_of_held_out_documents_leave_train(tmp_path: Path, prepared: Prepare) -> None:
    path = tmp_path / "rows.conll"
    path.write_text("".join(f"{START}Monday O\n\nn{number} B-PER\n\n" for number in range(20)))
    found, artifact = prepared(path, task="ner", folds=2, deduplicate=False)
    splits = (artifact.train, artifact.validation, artifact.test)
    assert [["Monday"] in list(split["tokens"]) for split in splits] == [False, False, True]
    assert found.duplicates == 16 and sum(found.rows.values()) == 24
    assert found.warnings == (
        "sentences removed from train and validation because a document held out for validation or test has the same: "
        "16",
    )


def test_documents_that_leave_a_split_empty_are_counted(tmp_path: Path, prepared: Prepare) -> None:
    with pytest.raises(DataError, match="validation would have none of the 10 of 5 documents that stay whole"):
        prepared(conll(tmp_path / "rows.conll", [2] * 5), task="ner")


def test_too_few_documents_say_what_to_do(tmp_path: Path, prepared: Prepare) -> None:
    with pytest.raises(DataError, match=r"at least 5 distinct documents .* but has 3; add documents") as failure:
        prepared(conll(tmp_path / "rows.conll", [20, 20, 20]), task="ner")
    assert "remove the -DOCSTART- lines to split by sentence" in str(failure.value)


def test_documents_are_stratified_by_the_rarest_type_in_them(tmp_path: Path, prepared: Prepare) -> None:
    rare = [f"{START}n{number} O\n\nx{number} {'B-LOC' if number < 5 else 'B-PER'}\n\n" for number in range(50)]
    (tmp_path / "rows.conll").write_text("".join(rare))
    found, artifact = prepared(tmp_path / "rows.conll", task="ner", folds=2)
    assert found.label_counts["test"]["B-LOC"] == 1 and found.warnings == ()
    assert isinstance(artifact, DataArtifact)
