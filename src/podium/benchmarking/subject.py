"""What is measured, and how several of them are measured together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from podium.config.benchmark import VariantName

T = TypeVar("T")

MOST_TOGETHER = 4
"""Subjects of one session: so many models are in memory at once."""


@dataclass(frozen=True)
class Subject:
    """One variant of one model.

    Attributes:
        files: directory of the variant: a saved sequence or token classifier with its tokenizer, where that truncates
            is its `model_max_length`; or an exported package.
        name: of the backbone, or what else people know the model by.
        model_digest: of the refit that the variant was made from.
    """

    files: Path
    name: str
    variant: VariantName
    model_digest: str
    trust_remote_code: bool = False


def sessions(items: Sequence[T]) -> list[list[T]]:
    """Cut what is to be measured, in order, into as few sessions as hold it, of nearly equal size."""
    count = math.ceil(len(items) / MOST_TOGETHER)
    edges = [len(items) * number // count for number in range(count + 1)] if count else []
    return [list(items[low:high]) for low, high in pairwise(edges)]
