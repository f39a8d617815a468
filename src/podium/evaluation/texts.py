"""Metrics of free text against one reference text per row.

`exact_match` compares both texts in Unicode NFC without surrounding white space, and heeds case. `rouge1`, `rouge2`
and `rougeL` are the mean F-measures of rouge-score, without stemming: of words, of pairs of words, and of the longest
common subsequence. A word is a run of letters or digits in any script, where rouge-score itself drops all but ASCII.
`chrf` is sacrebleu's chrF2 over all rows together, from 0 to 1. A row without a valid answer counts as an empty text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from podium.tasks.metrics import Additive, Floats, Metric, grouped, ratio, share_of

ROUGE = ("rouge1", "rouge2", "rougeL")

_WORD = re.compile(r"[^\W_]+")
_BETA = 2


@dataclass(frozen=True, eq=False)
class TextAnswers:
    """The reference and the answer of each row; None where there is no valid answer."""

    truth: Sequence[str]
    predicted: Sequence[str | None]

    @cached_property
    def given(self) -> list[str]:
        return [text or "" for text in self.predicted]

    @cached_property
    def matches(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each answer is the reference, shape (rows,)."""
        pairs = zip(self.truth, self.predicted, strict=True)
        return np.array([one is not None and _plain(true) == _plain(one) for true, one in pairs], dtype=np.bool_)

    @cached_property
    def rouge(self) -> Floats:
        """F-measures, shape (rows, len(ROUGE))."""
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(list(ROUGE), tokenizer=_Words())
        scores = (scorer.score(true, one) for true, one in zip(self.truth, self.given, strict=True))
        return np.array([[found[name].fmeasure for name in ROUGE] for found in scores], dtype=np.float64)

    @cached_property
    def chrf(self) -> Floats:
        """What sacrebleu counts for each n-gram length: n-grams of the answer, of the reference, and of both."""
        from sacrebleu.metrics.chrf import CHRF

        return np.array(CHRF()._extract_corpus_statistics(self.given, [list(self.truth)]), dtype=np.float64)


class _Words:
    """The tokenizer that rouge-score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _rouge_sums(place: int) -> Any:
    return lambda answers: share_of(answers.rouge[:, place])


def chrf_of(sums: Floats) -> Floats:
    """The chrF of summed counts, shape (..., 3 * lengths): F2 of mean precision and mean recall over the lengths."""
    answer, reference, both = (sums[..., place::3] for place in range(3))
    counted = (answer > 0) & (reference > 0)
    lengths = counted.sum(axis=-1)
    precision, recall = (
        ratio(np.where(counted, ratio(both, size), 0).sum(axis=-1), lengths) for size in (answer, reference)
    )
    return ratio((1 + _BETA**2) * precision * recall, _BETA**2 * precision + recall)


TEXT_METRICS = (
    Metric("exact_match", lambda answers: share_of(answers.matches.astype(np.int64))),
    *(Metric(name, _rouge_sums(place), title=f"ROUGE-{name[5:]}") for place, name in enumerate(ROUGE)),
    Metric("chrf", lambda answers: Additive(*grouped(answers.chrf), chrf_of), title="chrF"),
)
"""By how much they ask of the wording, the most first."""
