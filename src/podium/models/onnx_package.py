"""Runs an exported package with onnxruntime, tokenizers and numpy alone.

It imports nothing of Podium, since it is deployed with the model: this code is checked, measured and served.
A package is a directory with

- `model.onnx`: int64 inputs of shape (rows, tokens), named as the tokenizer names them; output `logits`, float32, of
  shape (rows, labels), or (rows, tokens, labels) where the decoding is `tokens`;
- `tokenizer.json`: the tokenizer with its truncation and padding, as the `tokenizers` library reads it;
- `podium.json`: `task`; `decoding`, see `answer`; `labels` in the order of the logits; and `max_length`, see below.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

ABOUT, GRAPH, TOKENIZER = "podium.json", "model.onnx", "tokenizer.json"
OUTSIDE = "O"


class OnnxPackage:
    """A sequence or token classifier, loaded and ready.

    Attributes:
        decoding: how logits become answers, see `answer`. Rows are lists of words for `tokens`, otherwise texts.
        labels: in the order of the logits.
        max_length: how many tokens it reads at most; None for no limit, or where the package does not say.
    """

    def __init__(
        self, folder: Path, threads: int | None = None, provider: str = "CPUExecutionProvider", profile: str = ""
    ):
        """Load a package onto an execution provider of onnxruntime; ValueError if a file is missing or damaged.

        Operators run one after another, each with so many `threads`; None for all cores. With `profile`, the beginning
        of a file's name, onnxruntime notes the time of each, and `end_profile` writes it.
        """
        about = _read(folder / ABOUT, lambda path: json.loads(path.read_text(encoding="utf-8")))
        try:
            self.task, self.decoding = str(about["task"]), str(about["decoding"])
            self.labels = tuple(map(str, about["labels"]))
            self.max_length: int | None = about.get("max_length")
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / ABOUT} must give task, decoding and labels, but: {error!r}") from error
        self._tokenizer = _read(folder / TOKENIZER, lambda path: Tokenizer.from_file(str(path)))
        # A special token that stands in a text is text. The file does not say so.
        self._tokenizer.encode_special_tokens = True
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads or 0, 1
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        self._session = _read(
            folder / GRAPH, lambda path: onnxruntime.InferenceSession(str(path), options, providers=[provider])
        )
        self._inputs = [item.name for item in self._session.get_inputs()]

    def __call__(self, rows: Sequence[str | list[str]]) -> list[Any]:
        """The answer for each row."""
        encoded = self.encode(rows)
        return self.answers(rows, encoded, self.forward(encoded))

    def logits(self, rows: Sequence[str | list[str]]) -> list[NDArray[np.float32]]:
        """Logits of each text, shape (labels,), or of the words of each row, as `word_logits` gives them."""
        encoded = self.encode(rows)
        return self._of_rows(rows, encoded, self.forward(encoded))

    def forward(self, encoded: Sequence[Encoding]) -> NDArray[np.float32]:
        """Scores of encoded rows, as the graph gives them."""
        known = {
            "input_ids": lambda item: item.ids,
            "attention_mask": lambda item: item.attention_mask,
            "token_type_ids": lambda item: item.type_ids,
        }
        feed = {name: np.array([known[name](item) for item in encoded], dtype=np.int64) for name in self._inputs}
        found: NDArray[np.float32] = self._session.run(["logits"], feed)[0]
        return found

    def answers(self, rows: Sequence[Any], encoded: Sequence[Encoding], outputs: NDArray[np.float32]) -> list[Any]:
        return [answer(one, self.labels, self.decoding) for one in self._of_rows(rows, encoded, outputs)]

    def _of_rows(self, rows: Sequence[Any], encoded: Any, scores: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if self.decoding != "tokens":
            return list(scores)
        return [
            word_logits(first_pieces(item.word_ids), row, len(words))
            for item, row, words in zip(encoded, scores, rows, strict=True)
        ]

    def end_profile(self) -> Path:
        """The file with the times of all operators so far, in the trace format of Chrome."""
        return Path(self._session.end_profiling())

    def tokens(self, rows: Sequence[str | list[str]]) -> list[int]:
        """Number of model input tokens of each row, after truncation."""
        return [sum(item.attention_mask) for item in self.encode(rows)]

    def encode(self, rows: Any) -> list[Encoding]:
        """The tokens of rows, cut and padded."""
        return list(self._tokenizer.encode_batch(rows, is_pretokenized=self.decoding == "tokens"))


def answer(logits: NDArray[np.float32], labels: Sequence[str], decoding: str) -> Any:
    """What one row is answered: for `single` the best label, for `multi` all labels of a probability above one half.

    For `tokens` it is the best label of each word, and `O` for a word that was cut off, whose logits are NaN.
    """
    if decoding == "single":
        return labels[int(logits.argmax())]
    if decoding == "multi":
        return [label for label, logit in zip(labels, logits, strict=True) if logit > 0]
    best = logits.argmax(axis=-1).tolist()
    return [OUTSIDE if cut else labels[one] for cut, one in zip(np.isnan(logits[:, 0]).tolist(), best, strict=True)]


def first_pieces(words: Sequence[int | None]) -> dict[int, int]:
    """Position of the first sub-word of each word, by number of the word, from the word behind each position."""
    found: dict[int, int] = {}
    for position, word in enumerate(words):
        if word is not None:
            found.setdefault(word, position)
    return found


def word_logits(first: dict[int, int], scores: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Logits of `count` words, shape (words, labels), each those of its first sub-word; NaN where it is cut off."""
    found = np.full((count, scores.shape[-1]), np.nan, dtype=np.float32)
    found[list(first)] = scores[list(first.values())]
    return found


def _read(path: Path, read: Any) -> Any:
    if not path.is_file():
        raise ValueError(f"a package must have {path.name}, but {path.parent} has none; export the model again")
    try:
        return read(path)
    except Exception as error:  # onnxruntime and tokenizers raise classes derived from Exception alone
        raise ValueError(f"{path} must be whole, but cannot be read: {error}; export the model again") from error
