from __future__ import annotations

import numpy as np
from datasets import Dataset

from podium.training.heldout import HeldOut

TAGS = ("O", "B-PER")


def held_out(documents: list[str] | None) -> HeldOut:
    """Three sentences of one, three and two words; all words are seen."""
    sizes = [1, 3, 2]
    columns = {
        "id": ["a", "b", "c"],
        "tokens": [["x"] * size for size in sizes],
        "tags": [[0] * size for size in sizes],
    }
    source = Dataset.from_dict(columns if documents is None else {**columns, "document": documents})
    tokens = Dataset.from_dict({"length": sizes, "words": [list(range(size)) for size in sizes]})
    return HeldOut.of("ner", TAGS, source, tokens, np.arange(3))


def test_documents_follow_their_rows_into_the_order_of_the_split() -> None:
    held = held_out(["one", "two", "one"])
    assert held.rows["id"][:] == ["b", "c", "a"] and held.rows["document"][:] == ["two", "one", "one"]
    outputs = [np.full(size, 1) for size in (3, 2, 1)]
    found = held.predictions(outputs, [np.zeros_like(row) for row in outputs])
    assert found.ids == ("a", "b", "c") and found.documents == ("one", "two", "one")
    assert found.predicted == (("B-PER",), ("B-PER",) * 3, ("B-PER",) * 2)


def test_without_documents_predictions_have_none() -> None:
    held = held_out(None)
    outputs = [np.zeros(size, dtype=int) for size in (3, 2, 1)]
    assert held.predictions(outputs, outputs).documents is None
