"""A small random module that is profiled like a model, for tests and to try the tools: it needs no files."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import nn

from podium.inference.predictor import Row
from podium.profiling.workload import Workload

_WORDS, _WIDTH, _HEADS, _LONGEST, _LABELS = 512, 64, 4, 64, 3


class SyntheticModule(nn.Module):  # type: ignore[misc]
    """An embedding, one block of attention and a feed-forward network, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_WORDS, _WIDTH)
        # With relu or gelu torch runs all of it as one operator, which no profiler looks into.
        self.block = nn.TransformerEncoderLayer(
            _WIDTH, _HEADS, 4 * _WIDTH, dropout=0.0, activation=nn.functional.silu, batch_first=True
        )
        self.head = nn.Linear(_WIDTH, _LABELS)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Scores of shape (rows, labels)."""
        scores: torch.Tensor = self.head(self.block(self.embedding(input_ids)).mean(dim=1))
        return scores


class SyntheticSubject:
    """The module, with words that are numbered by their checksum."""

    def __init__(self, workload: Workload):
        torch.set_num_threads(workload.threads)
        torch.manual_seed(0)
        self.device = torch.device(workload.device)
        self.model = SyntheticModule().eval().to(self.device)

    def __call__(self, rows: list[Row], ranges: Any) -> list[int]:
        with ranges("tokenise"):
            ids = self.encode(rows)
        with ranges("forward"), torch.inference_mode():
            scores = self.model(ids.to(self.device)).cpu()
        with ranges("postprocess"):
            found: list[int] = scores.argmax(dim=1).tolist()
            return found

    def encode(self, rows: list[Row]) -> torch.Tensor:
        """Numbers of the words of each row, padded with zeros to the longest."""
        words = [(row.split() if isinstance(row, str) else row)[:_LONGEST] or [""] for row in rows]
        ids = torch.zeros(len(rows), max(map(len, words)), dtype=torch.long)
        for place, own in enumerate(words):
            ids[place, : len(own)] = torch.tensor([zlib.crc32(word.encode()) % _WORDS for word in own])
        return ids
