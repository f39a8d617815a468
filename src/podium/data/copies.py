"""Copies of texts, which a model that has learned one answers without having understood anything.

A text is a copy of another one where both are equal after Unicode normalisation, in lower case and without differences
in white space, or where their sets of runs of five characters overlap by at least `NEAR` (Jaccard). Candidates for that
are found by bottom-k sketches (Broder, On the resemblance and containment of documents, 1997) and checked exactly.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NEAR = 0.8
"""Overlap from which on a text is a near copy."""

_RUN = 5
_SKETCH = 64
_CANDIDATE = 0.4
"""Share of a sketch in common from which on a pair is checked: well below what texts with an overlap of `NEAR` have."""


class Copies:
    """Knows some texts, such as the rows that are asked, and finds which of them another text copies."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._runs = [_runs(_plain(text)) for text in texts]
        self._equal: dict[str, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            self._equal[_plain(text)].append(place)
        self._by_run: dict[int, list[int]] = defaultdict(list)
        for place, runs in enumerate(self._runs):
            for run in runs[:_SKETCH].tolist():
                self._by_run[run].append(place)

    def of(self, text: str) -> list[int]:
        """The places of the texts that `text` copies."""
        plain = _plain(text)
        runs, shared = _runs(plain), defaultdict[int, int](int)
        for run in runs[:_SKETCH].tolist():
            for place in self._by_run.get(run, ()):
                shared[place] += 1
        least = _CANDIDATE * min(_SKETCH, len(runs))
        near = [place for place, count in shared.items() if count >= least]
        found = {place for place in near if _overlap(runs, self._runs[place]) >= NEAR}
        return sorted(found.union(self._equal.get(plain, ())))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _runs(text: str) -> NDArray[np.uint64]:
    """Hashes of all runs of characters of a text, each once, in ascending order."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    size = max(1, len(codes) - _RUN + 1)
    found = np.zeros(size, dtype=np.uint64)
    for offset in range(min(_RUN, len(codes))):
        found = found * np.uint64(0x100000001B3) + codes[offset : offset + size]
    # Without this, runs that begin alike would have hashes that lie together, and sketches would be of few words.
    found ^= found >> np.uint64(31)
    found *= np.uint64(0x9E3779B97F4A7C15)
    found ^= found >> np.uint64(29)
    return np.unique(found)


def _overlap(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    shared = np.intersect1d(one, other, assume_unique=True).size
    return shared / max(1, one.size + other.size - shared)
