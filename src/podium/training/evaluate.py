"""A fine-tuned model asked about the held-out rows of a data set that it may not come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

from podium.data.artifact import DataArtifact
from podium.errors import ModelError
from podium.evaluation.predictions import Predictions
from podium.models.backbone import load_config, load_tokenizer, tokenizer_digest
from podium.models.network import load_model
from podium.training.heldout import HeldOut
from podium.training.tokenization import tokenised

_HEADS = {"text-classification": "ForSequenceClassification", "ner": "ForTokenClassification"}
_BATCH = 64


def predict_test_rows(model: Path, data: DataArtifact, *, data_digest: str, cache: Path, threads: int) -> Predictions:
    """Predictions of the model in the directory `model` for the test rows, in the label order of the data.

    Rows are cut where the model's own tokenizer cuts them, as in deployment. Sets the number of torch threads of this
    process.

    Args:
        data_digest: digest of the data artifact, the name its tokenised form is cached under.
        cache: directory of tokenised data.

    Raises:
        ModelError: the model is for another task or other labels, or cannot be loaded.
    """
    order = _order_of_labels(model, data)
    tokenizer = load_tokenizer(model, data.task)
    own = [data.labels[place] for place in np.argsort(order)]
    network = load_model(model, data.task, own, tokenizer).eval()
    torch.set_num_threads(threads)
    longest = tokenizer.model_max_length
    tokens = tokenised(
        data.test,
        tokenizer=tokenizer,
        tokenizer_digest=tokenizer_digest(model),
        data_digest=data_digest,
        split="test",
        task=data.task,
        max_length=min(longest, getattr(network.config, "max_position_embeddings", longest)),
        cache=cache,
    )
    held = HeldOut.of(data.task, data.labels, data.test, tokens, np.arange(len(data.test)))
    outputs, marks = _outputs(network, tokenizer, held, order)
    return held.predictions(outputs, marks)


def _order_of_labels(model: Path, data: DataArtifact) -> np.ndarray:
    """For every label of the data, the number of the model's output that stands for it."""
    config = load_config(model)
    head = _HEADS[data.task]
    architectures = list(config.architectures or ())
    if not any(name.endswith(head) for name in architectures):
        raise ModelError(f"a model for {data.task} is a {head}, but {model} is {', '.join(architectures) or 'unknown'}")
    names = [config.id2label[number] for number in range(config.num_labels)]
    if set(names) != set(data.labels):
        raise ModelError(
            f"the model's labels must be those of the data, but it has {', '.join(sorted(names))} and the data "
            f"{', '.join(sorted(data.labels))}"
        )
    return np.array([names.index(label) for label in data.labels])


def _outputs(network: Any, tokenizer: Any, held: HeldOut, order: np.ndarray) -> tuple[Any, Any]:
    """What `HeldOut.predictions` takes: probabilities by label of the data, or the best label of each position."""
    text = held.task == "text-classification"
    collate = (DataCollatorWithPadding if text else DataCollatorForTokenClassification)(tokenizer)
    names = [name for name in held.tokens.column_names if name not in ("length", "words")]
    loader = DataLoader(held.tokens.select_columns(names), batch_size=_BATCH, collate_fn=collate)
    outputs: list[Any] = []
    marks: list[Any] = []
    places = np.argsort(order)
    with torch.inference_mode():
        for batch in loader:
            labels = batch.pop("labels")
            logits = network(**batch).logits.float()
            if text:
                outputs.append(torch.softmax(logits.double(), dim=-1).numpy()[:, order])
            else:
                outputs.extend(places[logits.argmax(dim=-1).numpy()])
                marks.extend(labels.numpy())
    return (np.concatenate(outputs), None) if text else (outputs, marks)
