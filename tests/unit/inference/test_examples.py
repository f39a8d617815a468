from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from podium.data.copies import Copies
from podium.inference.examples import chosen, spread

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


def text(seed: int, words: int = 120) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(words))


@pytest.fixture(scope="module")
def asked() -> Copies:
    return Copies([text(seed) for seed in range(50)] + ["Ｆｕｌｌ  width", ""])


def test_equal_texts_are_copies_whatever_their_case_spaces_and_width(asked: Copies) -> None:
    assert asked.of(text(3)) and asked.of(f"  {text(3).upper()}\n") and asked.of("full WIDTH")


def test_texts_with_a_few_changed_words_are_copies(asked: Copies) -> None:
    for seed in range(50):
        words = text(seed).split()
        words[seed : seed + 4] = ["other"]
        assert asked.of(" ".join(words))


def test_other_texts_are_no_copies(asked: Copies) -> None:
    assert not any(asked.of(text(seed)) for seed in range(1000, 1200))
    half = " ".join([*text(1).split()[:60], *text(2000).split()[:60]])
    assert not asked.of(half)


def test_copies_are_passed_over_and_counted(asked: Copies) -> None:
    texts = [text(1), text(1000), text(2), text(1001), text(1002)]
    assert chosen(texts, iter(range(5)), 2, asked) == ([1, 3], 2)
    assert chosen(texts, iter(range(5)), 9, asked) == ([1, 3, 4], 2)


def test_every_beginning_is_balanced() -> None:
    classes = np.array([0] * 90 + [1] * 8 + [2] * 2)
    order = list(spread(classes, 100, 1))
    assert sorted(order) == list(range(100)) and order == list(spread(classes, 100, 1)) != list(spread(classes, 100, 2))
    assert sorted(classes[list(islice(order, 6))]) == [0, 0, 1, 1, 2, 2]
    assert sorted(spread(None, 10, 1)) == list(range(10))
