"""What is measured: a loaded model that turns rows into labels, one class per deployable variant.

Runs only in a benchmark worker, so torch and transformers are imported at the top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
import transformers

from podium.benchmarking.sampling import Row
from podium.benchmarking.spec import RepetitionSpec
from podium.errors import ModelError

_AUTO: dict[str, tuple[Any, Any]] = {
    "text-classification": (
        transformers.AutoModelForSequenceClassification,
        transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    ),
    "ner": (transformers.AutoModelForTokenClassification, transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING),
}
_UNBOUNDED = 100_000
"""A tokenizer without a limit of its own reports a number beyond this one."""


class Predictor(Protocol):
    """A variant of a model, loaded and ready."""

    def __call__(self, rows: list[Row]) -> list[Any]:
        """Predict rows from text to labels and return once the labels are on the host.

        Returns:
            One label per text; for `ner` one label per token that the truncated input still covers.
        """

    def tokens(self, rows: list[Row]) -> list[int]:
        """Number of model input tokens of each row, after truncation."""


class EagerPredictor:
    """The model as transformers runs it: eager PyTorch in fp32, its own tokenizer, inference mode."""

    def __init__(self, spec: RepetitionSpec):
        """Load model and tokenizer onto the device.

        Raises:
            ModelError: weights are missing, do not fit, or are for other labels.
            OSError, ValueError: a file is missing or cannot be read.
        """
        auto, _ = _AUTO[spec.task]
        options = {"local_files_only": True, "trust_remote_code": spec.trust_remote_code}
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(spec.model_dir, **options)
        model, loading = auto.from_pretrained(
            spec.model_dir, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **options
        )
        _check_complete(spec.model_dir, loading)
        names = tuple(model.config.id2label[index] for index in range(model.config.num_labels))
        if spec.labels is not None and names != spec.labels:
            raise ModelError(
                f"the model's labels must be those of the data, but {spec.model_dir} has {_shown(names)} and the data "
                f"has {_shown(spec.labels)}; benchmark a model that was trained on this data"
            )
        self._labels, self._device, self._task = names, torch.device(spec.device), spec.task
        self._model = model.eval().to(self._device)
        self._max_length = _max_length(self._tokenizer, model.config)
        self._synchronise()

    def __call__(self, rows: list[Row]) -> list[Any]:
        """Tokenise, run forward, take the arg-max and name the labels."""
        encoded = self._encode(rows, padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**encoded.to(self._device)).logits
            best = logits.argmax(dim=-1).tolist()
        self._synchronise()
        if self._task == "text-classification":
            return [self._labels[index] for index in best]
        return [self._of_words(encoded.word_ids(row), best[row]) for row in range(len(rows))]

    def tokens(self, rows: list[Row]) -> list[int]:
        """Number of model input tokens of each row, after truncation."""
        return [len(ids) for ids in self._encode(rows)["input_ids"]]

    def _encode(self, rows: list[Row], **options: Any) -> Any:
        words = self._task == "ner"
        return self._tokenizer(rows, truncation=True, max_length=self._max_length, is_split_into_words=words, **options)

    def _of_words(self, words: list[int | None], best: list[int]) -> list[str]:
        """Labels of the words: each takes the label of its first sub-word."""
        return [
            self._labels[best[position]]
            for position, word in enumerate(words)
            if word is not None and (position == 0 or words[position - 1] != word)
        ]

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


PREDICTORS: dict[str, type[EagerPredictor]] = {"eager": EagerPredictor}
"""Predictor classes by variant."""


def import_architecture(spec: RepetitionSpec) -> None:
    """Import the code of the model's architecture, so that the load time is that of the weights.

    Raises:
        OSError, ValueError: the directory has no readable model config.
    """
    config = transformers.AutoConfig.from_pretrained(
        spec.model_dir, local_files_only=True, trust_remote_code=spec.trust_remote_code
    )
    _, architectures = _AUTO[spec.task]
    architectures.get(type(config), None)


def _check_complete(model_dir: Path, loading: dict[str, Any]) -> None:
    """Refuse a model whose missing weights transformers has filled with random numbers."""
    missing = sorted(loading["missing_keys"]) + sorted(str(item) for item in loading["mismatched_keys"])
    if missing:
        raise ModelError(
            f"a model directory must hold every weight, but {model_dir} lacks {_shown(missing)}; it is damaged, a bare "
            "backbone, or a model for another task"
        )


def _max_length(tokenizer: Any, config: Any) -> int | None:
    """Where the deployed model truncates: the tokenizer's own limit, or the positions the model has."""
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    known = [limit for limit in limits if limit is not None and 0 < limit < _UNBOUNDED]
    return min(known, default=None)


def _shown(names: Any) -> str:
    """The first few of `names`, for a message."""
    names = list(names)
    rest = f", … ({len(names)} in all)" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest
