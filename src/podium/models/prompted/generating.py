"""Continues many prompts at once. It imports nothing of Podium, since it is deployed with prompted models.

Reading prompts costs arithmetic, so they are read in batches of like length. A step that writes the next token of each
row costs a pass over all weights, so as many rows as memory allows take it together, whatever their lengths, and the
next prompts are read as soon as enough rows have ended (continuous batching: Yu et al., "Orca", OSDI 2022).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from .replies import is_whole

if TYPE_CHECKING:
    from .causal_lm import CausalModel

_ROWS = {"cpu": 64, "cuda": 256}
"""Rows that are continued together at most, by device; more gain little and make each row wait."""
_MEMORY = 1 << 29
"""Bytes that their key-value cache may take on a CPU, beside what is read next; on a GPU a quarter of what is free."""
_ENDED = 0.25
"""Share of the rows that must have ended before others take their place, since all of the cache is copied then."""
_SPARE = 64
"""Tokens by which the memory of a cache grows."""


class Generated(NamedTuple):
    """What was generated for a prompt.

    Attributes:
        text: with its special tokens.
        tokens: how many were written.
        cut: whether it was cut off.
        seconds: its share of the time that its batches took.
    """

    text: str
    tokens: int
    cut: bool
    seconds: float


class _SpareLayer(DynamicLayer):  # type: ignore[misc]
    """Writes new tokens into memory that was reserved, where a `DynamicLayer` copies all tokens at every step."""

    keys: torch.Tensor
    values: torch.Tensor
    _reserved: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        size = self.get_seq_length()
        total = size + key_states.shape[-2]
        if self._reserved is None or total > self._reserved[0].shape[-2]:
            old, news = (self.keys, self.values), (key_states, value_states)
            self._reserved = tuple(new.new_empty((*new.shape[:2], total + _SPARE, new.shape[-1])) for new in news)
            if size:
                for wide, held in zip(self._reserved, old, strict=True):
                    wide[:, :, :size] = held
        for wide, new in zip(self._reserved, (key_states, value_states), strict=True):
            wide[:, :, size:total] = new
        self.keys, self.values = (wide[:, :, :total] for wide in self._reserved)
        return self.keys, self.values


class _Batch:
    """Rows side by side, with the keys and values of what was read of them, and the last token of each, read next."""

    def __init__(self, rows: list[int], real: torch.Tensor, cache: Any, last: list[int]) -> None:
        """
        Args:
            rows: their numbers.
            real: which tokens in the cache are of the row and no padding, shape (rows, tokens).
        """
        self.rows, self.real, self.cache, self.last = rows, real, cache, last

    def step(self, model: CausalModel) -> torch.Tensor:
        """Read the last token of every row; scores of the next, shape (rows, vocabulary)."""
        self.real = torch.cat([self.real, self.real.new_ones(len(self.rows), 1)], dim=1)
        return model.continued(torch.tensor(self.last)[:, None], self.real, self.cache)

    @classmethod
    def joined(cls, parts: Sequence[_Batch], going: set[int]) -> _Batch | None:
        """The rows of several batches that go on, without the tokens that none of them has; None if there are none.

        The batches are given up: their caches are freed layer by layer, so that memory holds hardly more than one.
        """
        picked = []
        for part in parts:
            if places := [place for place, row in enumerate(part.rows) if row in going]:
                picked.append((part, places, part.real[places].any(dim=0).nonzero()[:, 0]))
        if not picked:
            return None
        size = max(len(columns) for *_, columns in picked)
        cache = DynamicCache()
        cache.layers = [_SpareLayer() for _ in picked[0][0].cache.layers]
        for number, layer in enumerate(cache.layers):
            old = [part.cache.layers[number] for part, *_ in picked]
            if old[0].get_seq_length():  # A layer that uses the keys of another one holds none.
                keys, values = (
                    torch.cat(
                        [
                            pad(getattr(one, name)[places][:, :, columns], (0, 0, 0, size - len(columns)))
                            for one, (_, places, columns) in zip(old, picked, strict=True)
                        ]
                    )
                    for name in ("keys", "values")
                )
                layer.update(keys, values)
            for part, *_ in picked:
                part.cache.layers[number] = None
        return cls(
            [part.rows[place] for part, places, _ in picked for place in places],
            torch.cat(
                [pad(part.real[places][:, columns], (0, size - len(columns))) for part, places, columns in picked]
            ),
            cache,
            [part.last[place] for part, places, _ in picked for place in places],
        )


class Generation:
    """Continues prompts up to the end of their turns, or to a number of tokens; see `CausalModel.generate`."""

    def __init__(
        self,
        model: CausalModel,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float,
        seeds: Sequence[int],
        start: str | None,
    ) -> None:
        self._model, self._prompts, self._seeds = model, prompts, seeds
        self._most, self._temperature, self._start = max_new_tokens, temperature, start
        self._waiting = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        self._going: dict[int, list[int]] = {}  # Tokens that were written, by row.
        self._draws: dict[int, torch.Generator] = {}
        self._ended: dict[int, Generated] = {}
        self._seconds = [0.0] * len(prompts)
        self._batch: _Batch | None = None
        self._rows = _ROWS[model.device.type]
        self._tokens: float | None = None  # What the memory for a cache holds, known from the first prompt on.

    def __iter__(self) -> Iterator[tuple[list[int], list[Generated]]]:
        """Numbers of the rows that have ended, and what was generated for each."""
        began = time.perf_counter()
        self._shared, self._prefix = self._model.shared(self._prompts)
        self._spend(range(len(self._prompts)), began)
        while self._waiting or self._going:
            try:
                with torch.inference_mode():
                    if self._tokens is None:
                        self._read()  # One prompt, which shows how many more the memory holds.
                    self._read()
                    self._step()
            except torch.OutOfMemoryError:
                if len(self._going) < 2:
                    raise
                self._halve()
            if self._ended:
                yield list(self._ended), list(self._ended.values())
                self._ended = {}

    def _read(self) -> None:
        """Let the next prompts take the places of rows that have ended, if those are enough."""
        held = len(self._batch.rows) if self._batch else 0
        room = self._room() if self._waiting else held
        if len(self._going) > (1 - _ENDED) * room:
            return
        parts = [self._batch] if self._batch else []
        # The longest first, so that a lack of memory shows at once.
        taken = [self._waiting.pop() for _ in range(min(room - len(self._going), len(self._waiting)))]
        for row in taken:
            self._going[row] = []
            self._draws[row] = torch.Generator().manual_seed(self._seeds[row])
        for places in self._model.batches([self._prompts[row] for row in taken], self._prefix, 0, 1):
            parts.append(self._first([taken[place] for place in places]))
        self._batch = _Batch.joined(parts, set(self._going))

    def _first(self, rows: list[int]) -> _Batch:
        """Read prompts and write their first tokens."""
        began = time.perf_counter()
        prompts = [self._prompts[row] for row in rows]
        ids, real = self._model.padded(prompts, self._prefix)
        real = torch.cat([real.new_ones(len(rows), self._prefix), real], dim=1)
        cache = self._model.copied(self._shared, len(rows)) or DynamicCache()
        scores = self._model.continued(ids, real, cache)
        batch = _Batch(rows, real, cache, [0] * len(rows))
        if self._tokens is None:
            held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers if layer.get_seq_length())
            self._tokens = _memory(self._model.device) * real.numel() / held
        self._take(batch, scores, began)
        return batch

    def _step(self) -> None:
        """Write the next token of every row."""
        if self._batch is not None and self._going:
            began = time.perf_counter()
            self._take(self._batch, self._batch.step(self._model), began)

    def _take(self, batch: _Batch, scores: torch.Tensor, began: float) -> None:
        """Choose the next token of the rows of a batch that go on, and see which have ended with it."""
        places = [place for place, row in enumerate(batch.rows) if row in self._going]
        rows = [batch.rows[place] for place in places]
        chosen = _chosen(scores[places].float(), self._temperature, [self._draws[row] for row in rows])
        self._spend(rows, began)
        for place, row, token in zip(places, rows, chosen, strict=True):
            batch.last[place] = token
            self._going[row].append(token)
            if (end := self._end(row)) is not None:
                self._ended[row] = end
                del self._going[row], self._draws[row]

    def _end(self, row: int) -> Generated | None:
        """What was generated for a row if it has ended."""
        written, model = self._going[row], self._model
        stopped = written[-1] in model.stops
        whole = (
            self._start is not None
            and written[-1] in model.closing
            and is_whole(model.tokenizer.decode(written), self._start)
        )
        if not stopped and not whole and len(written) < self._most:
            return None
        text = model.tokenizer.decode(written[:-1] if stopped else written)
        return Generated(text, len(written), not stopped and not whole, self._seconds[row])

    def _room(self) -> int:
        """How many rows may be continued together."""
        if self._tokens is None:
            return 1
        longest = max(len(self._prompts[row]) for row in (self._waiting[-1], *self._going)) + self._most
        return max(1, min(self._rows, int(self._tokens / longest)))

    def _spend(self, rows: Sequence[int], began: float) -> None:
        taken = time.perf_counter() - began
        for row in rows:
            self._seconds[row] += taken / len(rows)

    def _halve(self) -> None:
        """Begin again with half of the rows."""
        self._rows = len(self._going) // 2
        self._waiting = sorted([*self._waiting, *self._going], key=lambda row: len(self._prompts[row]))
        self._going, self._batch = {}, None
        torch.cuda.empty_cache()


def _memory(device: torch.device) -> int:
    """Bytes that the cache of all rows may take."""
    return int(torch.cuda.mem_get_info(device)[0] // 4) if device.type == "cuda" else _MEMORY


def _chosen(scores: torch.Tensor, temperature: float, draws: Sequence[torch.Generator]) -> list[int]:
    """The next token of each row."""
    if temperature == 0:
        found: list[int] = scores.argmax(dim=-1).tolist()
        return found
    likely = (scores / temperature).softmax(dim=-1).cpu()
    return [int(torch.multinomial(row, 1, generator=draw)) for row, draw in zip(likely, draws, strict=True)]
