"""Runs a linear model with numpy alone.

It imports nothing of Podium, since it is deployed with the model: this code is checked, measured and served.
A package is a directory with

- `model.safetensors`: `coefficients` of shape (features, labels), `intercepts` of shape (labels,), and for texts `idf`
  of shape (features,), the weight of each term;
- `linear.json`: `task`; `decoding`, see `LinearPackage.__call__`; `labels`, in the order of the logits; `vocabulary`,
  the features by name; and `features`, the arguments of `text_terms` or `word_features`, whose names differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ABOUT, TENSORS = "linear.json", "model.safetensors"
SHORTEST_CHARACTERS = 2
"""Characters of the shortest term where terms are made of characters."""


class LinearPackage:
    """A linear model of texts or of words in sentences, loaded and ready.

    Attributes:
        decoding: how logits become answers, see `__call__`. Rows are lists of words for `tokens`, otherwise texts.
        labels: in the order of the logits.
    """

    def __init__(self, folder: Path):
        """Load a package.

        Raises:
            ValueError: a file of the package is missing or damaged.
        """
        about, tensors = _read(folder / ABOUT, _json), _read(folder / TENSORS, _tensors)
        try:
            self.task, self.decoding = str(about["task"]), str(about["decoding"])
            self.labels = tuple(map(str, about["labels"]))
            self._settings: dict[str, Any] = dict(about["features"])
            self._places = {name: place for place, name in enumerate(about["vocabulary"])}
            self._intercepts: NDArray[Any] = tensors["intercepts"].astype(np.float64)
            self._coefficients: NDArray[Any] = tensors["coefficients"]
            self._idf: NDArray[Any] | None = None if self.decoding == "tokens" else tensors["idf"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} must be a linear model of Podium, but: {error!r}; write it again") from error
        shape = (len(self._places), len(self.labels))
        terms = len(self._places) if self._idf is None else len(self._idf)
        if self._coefficients.shape != shape or self._intercepts.shape != shape[1:] or terms != shape[0]:
            raise ValueError(
                f"{folder / TENSORS} must have coefficients of shape {shape} for the vocabulary and labels of {ABOUT}, "
                f"but they have {self._coefficients.shape}; write the model again"
            )
        if self._idf is None:
            # The last row is that of all features that are not in the vocabulary.
            self._coefficients = np.vstack([self._coefficients, np.zeros((1, shape[1]), self._coefficients.dtype)])

    def __call__(self, rows: Sequence[str | list[str]]) -> list[Any]:
        """The answer for each row.

        For `single` it is the best label, for `multi` the list of all labels of a probability above one half, for
        `tokens` the best label of each word.
        """
        encoded = self.encode(rows)
        return self.answers(rows, encoded, self.forward(encoded))

    def logits(self, rows: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Logits of each text, shape (labels,), or of the words of each row, shape (words, labels)."""
        return self.forward(self.encode(rows))

    def encode(self, rows: Sequence[Any]) -> list[Any]:
        """The features of each row: places in the vocabulary, of a text with their weights."""
        encode = self._terms if self._idf is not None else self._features
        return [encode(row) for row in rows]

    def forward(self, encoded: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Logits of encoded rows."""
        of_row = self._of_text if self._idf is not None else self._of_words
        return [of_row(row).astype(np.float32) for row in encoded]

    def answers(self, rows: Any, encoded: Any, outputs: Sequence[NDArray[np.float32]]) -> list[Any]:
        return [self._answer(scores) for scores in outputs]

    def tokens(self, rows: Sequence[str | list[str]]) -> list[int]:
        """Number of words of each row."""
        return [len(row.split() if isinstance(row, str) else row) for row in rows]

    def _answer(self, logits: NDArray[np.float32]) -> Any:
        if self.decoding == "multi":
            return [label for label, logit in zip(self.labels, logits, strict=True) if logit > 0]
        best = logits.argmax(axis=-1)
        return self.labels[int(best)] if best.ndim == 0 else [self.labels[label] for label in best.tolist()]

    def _terms(self, text: str) -> tuple[NDArray[Any], NDArray[Any]]:
        assert self._idf is not None
        known = [place for place in map(self._places.get, text_terms(text, **self._settings)) if place is not None]
        places, counts = np.unique(np.array(known, dtype=np.intp), return_counts=True)
        values = (1 + np.log(counts)) * self._idf[places]
        length = np.sqrt(values @ values)
        return places, values / length if length else values

    def _of_text(self, terms: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
        places, values = terms
        logits: NDArray[Any] = values @ self._coefficients[places] + self._intercepts
        return logits

    def _features(self, words: list[str]) -> list[list[int]]:
        unknown = len(self._places)
        return [[self._places.get(name, unknown) for name in names] for names in word_features(words, **self._settings)]

    def _of_words(self, places: list[list[int]]) -> NDArray[Any]:
        if not places:
            return np.zeros((0, len(self.labels)))
        found: NDArray[Any] = self._coefficients[places].sum(axis=1, dtype=np.float64) + self._intercepts
        return found


def text_terms(text: str, analyzer: str, longest: int) -> list[str]:
    r"""The terms of a text, repeated ones included.

    These are the terms that scikit-learn's `CountVectorizer(token_pattern=r"\S+")` finds, in another order: any run of
    characters without white space is a word, so that no script is left without terms.

    Args:
        text: it is lower-cased first.
        analyzer: `word` for words and runs of them; `char_wb` for runs of characters within a word and the blanks
            around it, which has a short word once.
        longest: words or characters of the longest term.
    """
    words = text.lower().split()
    if analyzer == "word":
        runs = (zip(*(words[start:] for start in range(size)), strict=False) for size in range(2, longest + 1))
        return [*words, *(" ".join(run) for of_size in runs for run in of_size)]
    return [term for word in words for term in _character_runs(f" {word} ", longest)]


def word_features(sentence: Sequence[str], window: int) -> Iterator[list[str]]:
    """The features of each word of a sentence by name; every word has the same number of them.

    Args:
        window: how many words to either side are looked at.
    """
    edge = [""] * window
    lower = [*edge, *(word.lower() for word in sentence), *edge]
    shapes = [*edge, *map(word_shape, sentence), *edge]
    around = [offset for offset in range(-window, window + 1) if offset]
    for place, word in enumerate(sentence, start=window):
        yield [
            f"word={word}",
            f"lower={lower[place]}",
            f"shape={shapes[place]}",
            f"prefix={word[:2]}",
            f"prefix={word[:3]}",
            f"suffix={word[-2:]}",
            f"suffix={word[-3:]}",
            *(f"{offset}={lower[place + offset]}" for offset in around),
            *(f"{offset} shape={shapes[place + offset]}" for offset in around),
        ]


def word_shape(word: str) -> str:
    """Letters and digits by kind, runs made one: `Xx` for Rome, `d` for 42."""
    kinds = ["X" if char.isupper() else "x" if char.islower() else "d" if char.isdigit() else char for char in word]
    return "".join(kind for kind, previous in zip(kinds, ["", *kinds], strict=False) if kind != previous)


def _character_runs(word: str, longest: int) -> Iterator[str]:
    for size in range(SHORTEST_CHARACTERS, longest + 1):
        if size >= len(word):
            yield word
            return
        yield from (word[start : start + size] for start in range(len(word) - size + 1))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file of safetensors: the length of a JSON header, the header, and the tensors in 32 bits."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, one in json.loads(data[8:start]).items():
        low, high = one["data_offsets"]
        if one["dtype"] != "F32" or start + high > len(data):
            raise ValueError(f"tensor {name} is not in 32 bits, or the file is cut off")
        tensors[name] = np.frombuffer(data[start + low : start + high], np.float32).reshape(one["shape"])
    return tensors


def _read(path: Path, read: Any) -> Any:
    if not path.is_file():
        raise ValueError(f"a linear model must have {path.name}, but {path.parent} has none; write the model again")
    try:
        return read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be whole, but cannot be read: {error}; write the model again") from error
