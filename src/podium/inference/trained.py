"""A trained model as the system that answers rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import Any

from podium.inference.journal import Entry
from podium.inference.predictor import Predictor, check_finite, row_length
from podium.inference.rows import InputRow
from podium.inference.run import System
from podium.tasks import TASKS

BATCH = 32


class TrainedModel(System):
    """A model of a task.

    Args:
        load: loads it; called when it is needed, for a run whose rows are all answered needs none.
        labels: as its files say; empty where they say it only once it is loaded.
        identity: what shapes its answers: digest, variant, device.
        batch: rows that are computed together.
    """

    labels: tuple[str, ...]

    def __init__(
        self,
        load: Callable[[], Predictor],
        task: str,
        labels: tuple[str, ...],
        identity: dict[str, Any],
        batch: int = BATCH,
    ) -> None:
        self._load = load
        self._task = TASKS.get(task)
        self._identity = identity
        self._batch = batch
        self.task = task
        self.labels = labels or tuple(self._predictor.labels)

    @cached_property
    def _predictor(self) -> Predictor:
        found = self._load()
        self.longest = getattr(found, "max_length", None)
        return found

    def identity(self) -> dict[str, Any]:
        return self._identity

    def shown(self, row: InputRow) -> str:
        return row.content if isinstance(row.content, str) else " ".join(row.content)

    def count_tokens(self, rows: Sequence[InputRow]) -> list[int | None]:
        return [*self._predictor.tokens([row.content for row in rows])]

    def answer(self, rows: Sequence[InputRow]) -> Generator[Entry]:
        """The rows sorted by length, so that a batch is padded little."""
        ordered = sorted(rows, key=lambda row: -row_length(row.content))
        for at in range(0, len(ordered), self._batch):
            yield from self._answers(ordered[at : at + self._batch])

    def _answers(self, rows: Sequence[InputRow]) -> Generator[Entry]:
        contents = [row.content for row in rows]
        predictor = self._predictor  # loaded before the clock runs
        began = time.perf_counter()
        if predictor.generates:
            answers, tokens = predictor(contents), predictor.tokens(contents)
            seconds = (time.perf_counter() - began) / len(rows)
            for row, answer, count in zip(rows, answers, tokens, strict=True):
                unclear = None if answer is not None else "the model's reply holds no valid answer"
                yield Entry(
                    id=row.id,
                    outcome="ok" if unclear is None else "unparseable",
                    answer=answer,
                    prompt_tokens=count,
                    seconds=seconds,
                    error=unclear,
                )
            return
        logits = predictor.logits(contents)
        tokens = predictor.tokens(contents)
        seconds = (time.perf_counter() - began) / len(rows)
        finite = [_finite(scores) for scores in logits]
        for row, count, fine in zip(rows, tokens, finite, strict=True):
            if not fine:
                reason = "the model's logits for it are NaN or infinite"
                yield Entry(id=row.id, outcome="permanent", prompt_tokens=count, seconds=seconds, error=reason)
        kept = [place for place, fine in enumerate(finite) if fine]
        if not kept:
            return
        found = self._task.decode([self._task.reduce(logits[place]) for place in kept], self.labels)
        named = self._task.named(found.predicted, self.labels)
        for number, (place, answer) in enumerate(zip(kept, named, strict=True)):
            chances = None if found.probabilities is None else tuple(found.probabilities[number].tolist())
            yield Entry(
                id=rows[place].id,
                outcome="ok",
                answer=answer,
                probabilities=chances,
                prompt_tokens=tokens[place],
                seconds=seconds,
            )


def _finite(scores: Any) -> bool:
    try:
        check_finite([scores])
    except FloatingPointError:
        return False
    return True
