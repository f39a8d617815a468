"""A trained model as what answers rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from podium.inference.rows import InputRow
from podium.inference.trained import TrainedModel


class Fake:
    """A model of two labels: the logits of a text say how many times it has an `a`, or are not finite for `nan`."""

    labels = ("no", "yes")
    max_length = 4

    def __init__(self, generates: bool = False) -> None:
        self.generates = generates
        self.batches: list[list[str]] = []

    def __call__(self, rows: list[str]) -> list[Any]:
        return [None if "?" in row else "yes" for row in rows]

    def logits(self, rows: list[str]) -> list[Any]:
        self.batches.append(rows)
        return [np.array([0.0, np.nan if "nan" in row else row.count("a")], np.float32) for row in rows]

    def tokens(self, rows: list[str]) -> list[int]:
        return [min(len(row), 4) for row in rows]


def rows(*texts: str) -> list[InputRow]:
    return [InputRow(f"r{number}", {}, text) for number, text in enumerate(texts)]


def model(fake: Fake, **fields: Any) -> TrainedModel:
    return TrainedModel(lambda: fake, "text-classification", (), {}, **fields)  # type: ignore[arg-type, return-value]


def test_rows_are_computed_by_length_in_batches_and_each_has_its_own_answer() -> None:
    fake = Fake()
    system = model(fake, batch=2)
    found = {entry.id: entry for entry in system.answer(rows("b", "aaa", "bb", "nan", "aaaaaa"))}
    assert fake.batches == [["aaaaaa", "aaa"], ["nan", "bb"], ["b"]]
    assert [found[f"r{n}"].answer for n in range(5)] == ["no", "yes", "no", None, "yes"]
    assert found["r0"].probabilities == pytest.approx((0.5, 0.5))
    assert (found["r3"].outcome, "NaN" in str(found["r3"].error)) == ("permanent", True)
    assert (found["r4"].prompt_tokens, system.longest, system.labels) == (4, 4, ("no", "yes"))


def test_a_model_that_writes_its_answers_has_no_probabilities_and_may_give_none() -> None:
    found = {entry.id: entry for entry in model(Fake(generates=True)).answer(rows("a", "?"))}
    assert (found["r0"].outcome, found["r0"].answer, found["r0"].probabilities) == ("ok", "yes", None)
    assert (found["r1"].outcome, found["r1"].answer) == ("unparseable", None)


def test_a_model_is_loaded_when_it_is_needed_and_only_then() -> None:
    calls: list[int] = []

    def load() -> Any:
        calls.append(1)
        return Fake()

    system = TrainedModel(load, "text-classification", ("no", "yes"), {"model": "d"})
    assert (system.labels, system.identity(), calls) == (("no", "yes"), {"model": "d"}, [])
    list(system.answer(rows("a")))
    system.count_tokens(rows("a"))
    assert calls == [1]
